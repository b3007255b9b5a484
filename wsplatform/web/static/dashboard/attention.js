// What an operator has to look at, the worst first. Pure: state in, sentences out.
import { bytes, plural, seconds, span } from "./format.js";
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
  configuration: 5,
};

/** [{kind: "bad" | "warn" | "off", text, address, action}] */
export function attention({ nodes, links, plugins, config, trouble, silence, now }) {
  return [
    ...(nodes.length ? [] : [{ kind: "bad", text: "No node is registered: clients have nowhere to go.", address: to("nodes"), action: "Nodes" }]),
    ...nodes.flatMap((node) => ofNode(node, silence(node), config)),
    ...ofLinks(links, now),
    ...drops(trouble.drops),
    ...trouble.gone.map((one) => ofGone(one, now)),
    ...plugins.flatMap((plugin) => (plugin.name === "haproxy" ? ofBalancer(plugin, nodes, now) : ofPlugin(`Plugin ${plugin.name}`, plugin))),
  ].sort((a, b) => ORDER[a.kind] - ORDER[b.kind]);
}

const ORDER = { bad: 0, warn: 1, off: 2 };

function ofNode(node, silent, config) {
  const item = (kind, text) => ({ kind, text: `${node.id} ${text}`, address: to("nodes", node.id), action: node.id });
  const status = node.status;
  if (silent >= LIMITS.silence) return [item("bad", `has not reported for ${span(silent)}: its numbers are old.`)];
  const found = [];
  if (node.draining) found.push(item("off", `is draining: ${plural(status?.sessions ?? 0, "session")} left.`));
  else if (!node.ready) found.push(item("bad", `is not ready (${node.state}): it gets no new clients.`));
  if (status?.lag > LIMITS.lag) found.push(item(status.lag > 5 * LIMITS.lag ? "bad" : "warn", `is late: its event loop was blocked for ${seconds(status.lag)}.`));
  if (status?.delivery_p99 > LIMITS.delivery) found.push(item("warn", `delivers slowly: one in a hundred publications takes ${seconds(status.delivery_p99)}.`));
  if (config !== null && node.config < config && silent > 1) found.push(item("warn", "has not the newest rules and keys yet."));
  return found;
}

function ofLinks(links, now) {
  const found = [];
  const down = links.filter((link) => link.state !== "up" && link.state !== "left" && now - link.since > LIMITS.linking);
  if (down.length > 3) {
    found.push({ kind: "bad", text: `${down.length} links are not up.`, address: to("links"), action: "Links" });
  } else {
    for (const link of down) found.push(ofLink("bad", link, `is ${link.state}, not up, for ${span(now - link.since)}.`));
  }
  for (const link of links.filter((one) => one.state === "up")) {
    if (link.canary > LIMITS.canary) found.push(ofLink("warn", link, `is slow: a publication takes ${seconds(link.canary)} there and back.`));
    if (link.queued + link.unacknowledged > LIMITS.waiting) found.push(ofLink("warn", link, `holds ${bytes(link.queued + link.unacknowledged)} that have not arrived.`));
  }
  return found;
}

const ofLink = (kind, link, text) => ({
  kind, text: `Link ${link.node} → ${link.peer} ${text}`, address: to("links", null, { node: link.node }), action: "Links",
});

const ofPlugin = (name, plugin) => (plugin.healthy ? [] : [onPage("bad", `${name} is not in step: ${plugin.detail}`)]);

function ofBalancer(plugin, nodes, now) {
  const ends = certificate(plugin.facts, now);
  return [
    ...ofPlugin("HAProxy", plugin),
    ...servers(plugin.items, nodes).filter(unreached).map(({ name }) => onPage("bad", `HAProxy finds ${name} down, though it is ready: it sends nobody there.`)),
    ...(ends && ends.kind !== "ok" ? [onPage(ends.kind, ends.text)] : []),
  ];
}

const onPage = (kind, text) => ({ kind, text, address: to("haproxy"), action: "HAProxy" });

function drops(list) {
  const counts = new Map();
  for (const { where, count } of list) counts.set(where, (counts.get(where) ?? 0) + count);
  return [...counts].map(([where, count]) => ({
    kind: "bad",
    text: `${where} lost ${plural(count, "publication")} on the way to other nodes in the last minute.`,
    address: to("links", null, { node: where }),
    action: "Links",
  }));
}

function ofGone({ id, at, how, sessions }, now) {
  const when = `${span(now - at)} ago`;
  const [kind, text] = {
    order: ["off", `${id} has ended in order ${when}.`],
    silence: ["bad", `${id} fell silent and was given up ${when}; it had ${plural(sessions, "session")}.`],
    unseen: ["warn", `${id} left while there was no connection with the registry.`],
  }[how];
  return { kind, text, address: to("nodes", id), action: id };
}
