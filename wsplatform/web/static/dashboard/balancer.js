// What the balancer's plugin says of HAProxy, beside what the view says of the nodes. Pure.
import { span } from "./format.js";

/** Seconds before the end of a certificate from which it is a warning. */
export const SOON = 14 * 86400;

/** {kind: "ok" | "warn" | "bad", text}; null: there is none, or it is not known. */
export function certificate(facts, now) {
  const until = facts.certificate_until;
  if (until === undefined) return null;
  const left = until - now;
  if (left <= 0) return { kind: "bad", text: `HAProxy's certificate ended ${span(-left)} ago: clients refuse to connect with TLS.` };
  return { kind: left < SOON ? "warn" : "ok", text: `HAProxy's certificate ends in ${span(left)}.` };
}

/** One for each address: {address, name, state, weight, behind}. state, weight: null where HAProxy has none there. */
export function servers(items, nodes) {
  const found = new Map(items.map((item) => [item.address, { ...item, behind: [] }]));
  for (const node of nodes) {
    const address = addressOf(node.client_url);
    if (!found.has(address)) found.set(address, { address, name: node.id, state: null, weight: null, behind: [] });
    found.get(address).behind.push(node);
  }
  return [...found.values()].sort((a, b) => collator.compare(a.name, b.name));
}

export const takes = (node) => node.ready && !node.draining;

/** It has a node that would take clients, and HAProxy sends none there. */
export const unreached = (server) => server.state === "down" && server.behind.some(takes);

const collator = new Intl.Collator("en", { numeric: true });

// As the plugin writes it: host and port, 80 where the URL has none.
function addressOf(url) {
  const place = url.replace(/^http:\/\//, "").replace(/\/$/, "");
  return /:\d+$/.test(place) ? place : `${place}:80`;
}
