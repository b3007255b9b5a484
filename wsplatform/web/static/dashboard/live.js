// What events say, brought into the store: nodes with their rates, links, what got lost and who is gone.
import { recall } from "./past.js";
import { difference, total } from "./rates.js";
import { NO_TROUBLE, get, set } from "./store.js";

const HISTORY_SECONDS = 120;
const TROUBLE_SECONDS = 60;
const GONE_SECONDS = 900;
const BACK_SECONDS = 300;
/** A stall of a moment is over before anybody has read of it: for so long it is told. */
const SHORT_SECONDS = 15;
/** A node that starts is late, and nobody waits for it. */
const STARTING_SECONDS = 15;
/** A node reports each second; one that is given up was silent for cluster.dead_seconds, 3 by default. */
const SILENT_SECONDS = 2.2;
/** Events of nodes come each second, too. */
const UNSEEN_SECONDS = 5;

const READERS = {
  nodes: readNodes,
  links: (data) => set({ links: data.items }),
  plugins: (data) => set({ plugins: data.items }),
  rules: (data) => set({ config: data.config }),
  keys: (data) => set({ config: data.config, keysAt: Date.now() }),
  audit: (data) => set({ audit: data }),
  metrics: (data) => set({ metricsTo: data.to }),
};

export function apply(topic, data) {
  READERS[topic]?.(data);
}

/** Nothing is known any more: somebody has logged out. */
export function forgetLive() {
  set({
    view: null, nodes: null, links: null, plugins: null, config: null, audit: null, metricsTo: null,
    rates: {}, heard: {}, history: [], trouble: NO_TROUBLE,
    stream: { state: "connecting", since: Date.now() / 1000, retryAt: null, reason: "" },
  });
}

function readNodes({ view, items }) {
  const now = Date.now() / 1000;
  const { nodes: before, heard: heardBefore, rates: ratesBefore, trouble, history } = get();
  const known = new Map((before ?? []).map((node) => [node.id, node]));
  const newest = Math.max(...items.map((node) => node.last_seen));
  const rates = {};
  const heard = {};
  const drops = recent(trouble.drops, now, TROUBLE_SECONDS);
  const stalls = recent(trouble.stalls, now, SHORT_SECONDS);
  for (const node of items) {
    const old = known.get(node.id);
    const result = difference(old, node, ratesBefore[node.id]);
    rates[node.id] = result.rates;
    if (node.status?.uptime > STARTING_SECONDS && node.status.uptime !== old?.status?.uptime) {
      stalls.push({ at: now, id: node.id, lag: node.status.lag, delivery: node.status.delivery_p99 ?? 0 });
    }
    if (result.dropped > 0) drops.push({ at: now, where: node.id, count: result.dropped });
    // By this machine's clock, which may differ from the registry's: when was something new heard of it?
    const last = heardBefore[node.id];
    const fresh = !last || last.lastSeen !== node.last_seen;
    heard[node.id] = fresh ? { lastSeen: node.last_seen, at: last ? now : now - (newest - node.last_seen) } : last;
  }
  set({
    view, nodes: items, rates, heard,
    trouble: { drops, stalls, gone: gone(before, items, recent(trouble.gone, now, GONE_SECONDS), { heard: heardBefore, seen: history[history.length - 1]?.at, now }) },
    history: [...history.filter((one) => one.at > now - HISTORY_SECONDS), { at: now, ...total(items, rates) }],
  });
  if (before === null) recall();
}

/** how: "order": it was heard of until it left; "silence": it was not; "unseen": that was not seen; "back": it is. */
function gone(before, items, list, { heard, seen, now }) {
  const here = new Set(items.map((node) => node.id));
  const left = (before ?? []).filter((node) => !here.has(node.id));
  return [
    ...list.flatMap((one) => {
      if (here.has(one.id) === (one.how === "back")) return one.how === "back" && one.at < now - BACK_SECONDS ? [] : [one];
      return one.how === "silence" ? [{ ...one, at: now, how: "back", away: now - one.at }] : [];
    }),
    ...left.map((node) => {
      const order = node.draining || now - heard[node.id].at < SILENT_SECONDS;
      return { id: node.id, at: now, how: now - seen > UNSEEN_SECONDS ? "unseen" : order ? "order" : "silence", sessions: node.status?.sessions ?? 0 };
    }),
  ];
}

export const linkKey = (link) => `${link.node}/${link.peer}/${link.incarnation}`;
export const sum = (counts) => Object.values(counts).reduce((all, count) => all + count, 0);
const recent = (list, now, seconds) => list.filter((one) => one.at > now - seconds);
