// The dashboard's modules that decide, without a browser: `node --test modules.mjs`.
import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.addEventListener = () => {};
globalThis.document = { addEventListener() {} };
const at = (name) => new URL(`../../../wsplatform/web/static/dashboard/${name}`, import.meta.url);
const { parser } = await import(at("sse.js"));
const { difference, total } = await import(at("rates.js"));
const { parse, to } = await import(at("router.js"));
const { attention } = await import(at("attention.js"));
const { servers } = await import(at("balancer.js"));
const format = await import(at("format.js"));

const ODD = ["a/b", "?x=1&y#z", "%41", "100%", "<b>\"'</b>", "é ☃ 𝕏", " a ", ".", "..", "#/nodes/x", "a+b"];

test("a stream is read the same wherever it is cut", () => {
  const text = ": hello\r\n\r\nevent: a\r\ndata: 1\r\ndata:2\r\n\r\ndata: {\"é\": \"☃\"}\n\nevent: b\rdata:  x\r\rid: 7\nevent: none\n\ndata: cut";
  const wanted = [["a", "1\n2"], ["message", '{"é": "☃"}'], ["b", " x"]];
  for (let first = 0; first <= text.length; first += 1) {
    for (let second = first; second <= text.length; second += 7) {
      const found = [];
      const feed = parser((name, data) => found.push([name, data]));
      [text.slice(0, first), text.slice(first, second), text.slice(second)].forEach(feed);
      assert.deepEqual(found, wanted, `cut at ${first} and ${second}`);
    }
  }
});

const node = (incarnation, uptime, publications, more = {}) => ({
  id: "n", incarnation, ready: true, draining: false, config: 1, last_seen: uptime,
  status: { uptime, publications, deliveries: 0, errors: 0, dropped: 0, sent_bytes: 0, received_bytes: 0, cpu_seconds: 0, sessions: 1, ...more },
});

test("rates are by the node's own clock, and unknown across a restart", () => {
  assert.equal(difference(node("a", 10, 100), node("a", 12, 150)).rates.publications, 25);
  assert.equal(difference(undefined, node("a", 12, 150)).rates.publications, null);
  assert.equal(difference(node("a", 10, 100), node("b", 1, 5)).rates.publications, null);
  assert.equal(difference(node("a", 10, 100), node("a", 11, 90)).rates.publications, null);
  assert.equal(difference(node("a", 10, 1, { dropped: 2 }), node("a", 11, 1, { dropped: 5 })).dropped, 3);
  const last = { publications: 7 };
  assert.equal(difference(node("a", 10, 100), node("a", 10, 100), last).rates, last);
  assert.equal(difference(node("a", 10, 1), { ...node("a", 11, 1), status: null }).rates.publications, null);
});

test("what is not known of a node does not make the sum unknown, nor zero", () => {
  const nodes = [node("a", 1, 1), { ...node("b", 1, 1), id: "m" }];
  assert.equal(total(nodes, { n: { publications: 4 }, m: { publications: null } }).publications, 4);
  assert.equal(total(nodes, { n: { publications: null } }).publications, null);
  assert.equal(total([], {}).sessions, 0);
});

test("any name comes back from the address that it was put into", () => {
  for (const name of ODD) {
    assert.equal(parse(to("channels", name)).argument, name);
    assert.equal(parse(to("sessions", null, { user: name })).query.get("user"), name);
  }
  assert.equal(parse("").page, "overview");
  assert.equal(parse("#/channels/%E0%A4%A").argument, "%E0%A4%A");
});

test("times and sizes are read in units of their size", () => {
  assert.deepEqual([0, 0.00042, 0.0123, 1.5, 90, 4000, null].map(format.seconds), ["0 ms", "420 µs", "12.3 ms", "1.5 s", "90 s", "1 h 6 min", "–"]);
  assert.deepEqual([0, 1023, 1536, 5 * 2 ** 30].map(format.bytes), ["0 B", "1,023 B", "1.5 KiB", "5 GiB"]);
  assert.deepEqual([0, 59.6, 61, 90061].map(format.span), ["0 s", "1 min", "1 min 1 s", "1 d 1 h"]);
  assert.deepEqual(format.marks([0, 50000, 100000]), ["0", "50K", "100K"]);
  assert.deepEqual(format.marks([0, 2500, 5000]), ["0", "2,500", "5,000"]);
  assert.match(format.zone(), /^UTC([+-]\d+)?/);
  assert.match(format.date(new Date(2020, 0, 2, 3).getTime() / 1000), /02 Jan 2020.*03:00:00/);
  assert.doesNotMatch(format.date(Date.now() / 1000), /\d{4}/);
  assert.deepEqual([0.123, 12.345, 1234.5, 2500000].map(format.rate), ["0.12/s", "12.3/s", "1,235/s", "2.5M/s"]);
});

test("the worst comes first, and nothing where nothing is", () => {
  const calm = { nodes: [node("a", 1, 1)], links: [], plugins: [], config: 1, trouble: { drops: [], stalls: [], gone: [] }, silence: () => 0, now: 100 };
  assert.deepEqual(attention(calm), []);
  const found = attention({
    ...calm,
    nodes: [node("a", 1, 1), { ...node("b", 100, 1), id: "m", ready: false, state: "loading_channels" }],
    links: [{ node: "n", peer: "m", state: "connecting", since: 90, dropped: {}, queued: 0, unacknowledged: 0 }],
    trouble: { drops: [{ where: "n", count: 2 }, { where: "n", count: 3 }], stalls: [{ id: "n", lag: 0.2, delivery: 0 }, { id: "n", lag: 0.01, delivery: 0 }], gone: [{ id: "x", at: 95, how: "order", sessions: 0 }] },
  });
  assert.deepEqual(found.map(({ kind }) => kind), ["bad", "bad", "bad", "warn", "off"]);
  assert.match(found.map(({ text }) => text).join(" "), /m is not ready \(loading channels\).*connecting.*lost 5 publications.*late.*200 ms.*x was shut down in order/);
  assert.equal(new Set(found.map(({ id }) => id)).size, found.length);
  assert.match(attention({ ...calm, nodes: [{ ...node("a", 2, 1), ready: false, state: "registered" }] })[0].text, /is starting: registered/);
  assert.match(attention({ ...calm, nodes: [{ ...node("a", 2, 1), clock_ahead: -120 }] })[0].text, /clock that is 2 min behind/);
  assert.match(attention({ ...calm, trouble: { ...calm.trouble, gone: [{ id: "x", at: 95, how: "back", away: 20, sessions: 3 }] } })[0].text, /back since 5 s; it had been given up for 20 s, with 3 sessions/);
  assert.match(attention({ ...calm, nodes: [] })[0].text, /nowhere to go/);
  assert.match(attention({ ...calm, silence: () => 4 })[0].text, /has not reported for 4 s/);
});

test("servers stand beside the nodes behind them, by address", () => {
  const behind = (id, client_url) => ({ ...node("a", 1, 1), id, client_url });
  const items = [
    { name: "n10", address: "10.0.0.9:8000", state: "leaving", weight: 1 },
    { name: "h-1", address: "[::1]:80", state: "up", weight: 2 },
  ];
  const found = servers(items, [behind("h-1", "http://[::1]"), behind("h-2", "http://[::1]:80/"), behind("n2", "http://node:8000")]);
  assert.deepEqual(found.map((one) => [one.name, one.state, one.behind.map(({ id }) => id)]), [
    ["h-1", "up", ["h-1", "h-2"]], ["n2", null, ["n2"]], ["n10", "leaving", []],
  ]);
});

test("a balancer that is out of step, a certificate that ends and a server that is not reached are named", () => {
  const calm = { nodes: [{ ...node("a", 1, 1), client_url: "http://10.0.0.1:8000" }], links: [], config: 1, trouble: { drops: [], stalls: [], gone: [] }, silence: () => 0, now: 100 };
  const haproxy = (more) => ({ name: "haproxy", healthy: true, detail: "fine", facts: { certificate_until: 100 + 15 * 86400 }, items: [], ...more });
  const of = (...plugins) => attention({ ...calm, plugins }).map(({ kind, text }) => `${kind} ${text}`);
  assert.deepEqual(of(haproxy({})), []);
  assert.match(of(haproxy({ healthy: false, detail: "not reached" }))[0], /^bad HAProxy is not in step: not reached/);
  assert.match(of({ ...haproxy({}), name: "dns", healthy: false, detail: "no zone" })[0], /^bad Plugin dns is not in step: no zone/);
  assert.match(of(haproxy({ facts: { certificate_until: 100 + 5 * 86400 } }))[0], /^warn .*ends in 5 d/);
  assert.match(of(haproxy({ facts: { certificate_until: 40 } }))[0], /^bad .*ended 1 min ago/);
  const down = { name: "n", address: "10.0.0.1:8000", state: "down", weight: 1 };
  assert.match(of(haproxy({ facts: {}, items: [down] }))[0], /^bad HAProxy finds n down/);
  assert.deepEqual(of(haproxy({ facts: {}, items: [{ ...down, address: "10.0.0.2:8000" }] })), []);
});
