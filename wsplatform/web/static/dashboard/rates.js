// Rates from two reports of one node: counters since its start, and how long it has run by its own clock.

const COUNTERS = {
  publications: "publications",
  deliveries: "deliveries",
  errors: "errors",
  dropped: "dropped",
  sent: "sent_bytes",
  received: "received_bytes",
  cpu: "cpu_seconds",
};
export const RATES = Object.keys(COUNTERS);
const UNKNOWN = Object.fromEntries(RATES.map((name) => [name, null]));

/** Rates per second of `after` since `before`; those of last time when nothing new was reported.
 *
 * A rate is null when it cannot be known: first report, another run of the node, a counter that the node has not. */
export function difference(before, after, last = UNKNOWN) {
  const old = before?.status;
  const now = after.status;
  if (!old || !now || before.incarnation !== after.incarnation) return { rates: UNKNOWN, dropped: 0 };
  const seconds = now.uptime - old.uptime;
  if (seconds === 0) return { rates: last, dropped: 0 };
  if (seconds < 0) return { rates: UNKNOWN, dropped: 0 };
  const rates = {};
  for (const [name, field] of Object.entries(COUNTERS)) {
    const grown = now[field] - old[field];
    rates[name] = grown >= 0 ? grown / seconds : null;
  }
  return { rates, dropped: Math.max(0, now.dropped - old.dropped || 0) };
}

/** Of all nodes together, those left out of which nothing is known; null when that is all of them. */
export function total(nodes, rates) {
  const all = { sessions: 0, subscriptions: 0 };
  for (const node of nodes) {
    all.sessions += node.status?.sessions ?? 0;
    all.subscriptions += node.status?.subscriptions ?? 0;
  }
  for (const name of RATES) {
    const known = nodes.map((node) => rates[node.id]?.[name]).filter((rate) => rate !== null && rate !== undefined);
    all[name] = known.length ? known.reduce((a, b) => a + b, 0) : null;
  }
  const times = nodes.map((node) => node.status?.delivery_p99).filter((time) => typeof time === "number");
  all.p99 = times.length ? Math.max(...times) : null;
  return all;
}
