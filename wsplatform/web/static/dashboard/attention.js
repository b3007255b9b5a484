// What an operator has to look at, the worst first. Pure: state in, sentences out.
import { bytes, clock, plural, seconds, span } from "./format.js";
import { certificate, servers, unreached } from "./balancer.js";
import { to } from "./router.js";

export const LIMITS = {
  /** Seconds without a report; a node reports each second. */
  silence: 3,
  lag: 0.1,
  delivery: 0.25,
  canary: 0.5,
  waiting: 1 << 20,
  /** A link may take this long to connect before it is a trouble. */
  linking: 3,
  /** And a node so long to start. */
  starting: 15,
  configuration: 5,
};

/** [{kind: "bad" | "warn" | "off", id, text, address, action}]; id: the same as long as it is the same trouble, for its text may count. */
export function attention({ nodes, links, plugins, config, trouble, silence, now, ahead = 0 }) {
  return [
    ...(nodes.length ? [] : [{ kind: "bad", id: "none", text: "No node is registered: clients have nowhere to go.", address: to("nodes"), action: "Nodes" }]),
    ...nodes.flatMap((node) => ofNode(node, silence(node), config)),
    ...stalls(trouble.stalls),
    ...ofLinks(links, now - ahead),
    ...drops(trouble.drops),
    ...trouble.gone.map((one) => ofGone(one, now)),
    ...plugins.flatMap((plugin) => (plugin.name === "haproxy" ? ofBalancer(plugin, nodes, now) : ofPlugin(`Plugin ${plugin.name}`, plugin))),
  ].sort((a, b) => ORDER[a.kind] - ORDER[b.kind]);
}

const ORDER = { bad: 0, warn: 1, off: 2 };

function ofNode(node, silent, config) {
  const item = (kind, what, text) => ({ kind, id: `${what} ${node.id}`, text: `${node.id} ${text}`, address: to("nodes", node.id), action: node.id });
  const status = node.status;
  if (silent >= LIMITS.silence) return [item("bad", "silent", `has not reported for ${span(silent)}: its numbers are old.`)];
  const found = [];
  if (node.draining) found.push(item("off", "draining", `is draining: ${plural(status?.sessions ?? 0, "session")} left.`));
  else if (!node.ready && (status?.uptime ?? 0) < LIMITS.starting) found.push(item("warn", "unready", `is starting: ${words(node.state)}.`));
  else if (!node.ready) found.push(item("bad", "unready", `is not ready (${words(node.state)}): it gets no new clients.`));
  if (node.clock_ahead) found.push(item("warn", "clock", `has a clock that is ${clock(node.clock_ahead)}. Set it: tokens expire by it.`));
  if (config !== null && node.config < config && silent > 1) found.push(item("warn", "old", "has not the newest rules and keys yet."));
  return found;
}

const words = (state) => state.replaceAll("_", " ");

/** By node the longest of the last moments, so that it can be read. */
function stalls(list) {
  const found = new Map();
  for (const { id, lag, delivery } of list) {
    const before = found.get(id) ?? { lag: 0, delivery: 0 };
    found.set(id, { lag: Math.max(before.lag, lag), delivery: Math.max(before.delivery, delivery) });
  }
  return [...found].flatMap(([id, { lag, delivery }]) => {
    const item = (kind, what, text) => ({ kind, id: `${what} ${id}`, text: `${id} ${text}`, address: to("nodes", id), action: id });
    return [
      ...(lag > LIMITS.lag ? [item(lag > 5 * LIMITS.lag ? "bad" : "warn", "lag", `was late: its event loop was blocked for ${seconds(lag)}.`)] : []),
      ...(delivery > LIMITS.delivery ? [item("warn", "delivery", `delivers slowly: one in a hundred publications took ${seconds(delivery)}.`)] : []),
    ];
  });
}

function ofLinks(links, now) {
  const found = [];
  const down = links.filter((link) => link.state !== "up" && link.state !== "left" && now - link.since > LIMITS.linking);
  if (down.length > 3) {
    found.push({ kind: "bad", id: "links", text: `${down.length} links are not up.`, address: to("links"), action: "Links" });
  } else {
    for (const link of down) found.push(ofLink("bad", "down", link, `is ${link.state}, not up, for ${span(now - link.since)}.`));
  }
  for (const link of links.filter((one) => one.state === "up")) {
    if (link.canary > LIMITS.canary) found.push(ofLink("warn", "slow", link, `is slow: a publication takes ${seconds(link.canary)} there and back.`));
    if (link.queued + link.unacknowledged > LIMITS.waiting) found.push(ofLink("warn", "full", link, `holds ${bytes(link.queued + link.unacknowledged)} that have not arrived.`));
  }
  return found;
}

const ofLink = (kind, what, link, text) => ({
  kind, id: `${what} ${link.node} ${link.peer}`, text: `Link ${link.node} → ${link.peer} ${text}`, address: to("links", null, { node: link.node }), action: "Links",
});

const ofPlugin = (name, plugin) => (plugin.healthy ? [] : [onPage("bad", `plugin ${plugin.name}`, `${name} is not in step: ${plugin.detail}`)]);

function ofBalancer(plugin, nodes, now) {
  const ends = certificate(plugin.facts, now);
  return [
    ...ofPlugin("HAProxy", plugin),
    ...servers(plugin.items, nodes).filter(unreached).map(({ name }) => onPage("bad", `unreached ${name}`, `HAProxy finds ${name} down, though it is ready: it sends nobody there.`)),
    ...(ends && ends.kind !== "ok" ? [onPage(ends.kind, "certificate", ends.text)] : []),
  ];
}

const onPage = (kind, id, text) => ({ kind, id, text, address: to("haproxy"), action: "HAProxy" });

function drops(list) {
  const counts = new Map();
  for (const { where, count } of list) counts.set(where, (counts.get(where) ?? 0) + count);
  return [...counts].map(([where, count]) => ({
    kind: "bad",
    id: `lost ${where}`,
    text: `${where} lost ${plural(count, "publication")} on the way to other nodes in the last minute.`,
    address: to("links", null, { node: where }),
    action: "Links",
  }));
}

function ofGone({ id, at, how, sessions, away }, now) {
  const when = `${span(now - at)} ago`;
  const [kind, text] = {
    order: ["off", `${id} was shut down in order ${when}.`],
    back: ["off", `${id} is back ${when === "0 s ago" ? "now" : `since ${span(now - at)}`}; it had been given up for ${span(away)}, with ${plural(sessions, "session")}.`],
    silence: ["bad", `${id} fell silent and was given up ${when}; it had ${plural(sessions, "session")}.`],
    unseen: ["warn", `${id} left while there was no connection with the registry.`],
  }[how];
  return { kind, id: `gone ${id}`, text, address: to("nodes", id), action: id };
}
