import { html, useNow } from "../ui.js";
import { useStore } from "../store.js";
import { ahead } from "../silence.js";
import { certificate, servers, takes, unreached } from "../balancer.js";
import * as format from "../format.js";
import { to } from "../router.js";
import { Empty, Section, Title, Waiting } from "../parts/page.js";
import { Facts } from "../parts/facts.js";
import { Figures } from "../parts/figures.js";
import { Plugin } from "../parts/plugin.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";

/** The balancer beside the nodes, and what else the registry keeps in step. */
export function HAProxy() {
  const plugins = useStore((state) => state.plugins);
  const nodes = useStore((state) => state.nodes) ?? [];
  if (plugins === null) return html`<div class="page"><${Title} text="HAProxy" /><${Waiting} /></div>`;
  const balancer = plugins.find((plugin) => plugin.name === "haproxy");
  const others = plugins.filter((plugin) => plugin !== balancer);
  return html`<div class="page">
    <${Title} text="HAProxy" note="Kept in step by the registry: nodes that become ready get clients, those that drain or go get none." />
    ${balancer ? html`<${Balancer} plugin=${balancer} nodes=${nodes} />` : html`<${Off} nodes=${nodes} />`}
    ${others.map((plugin) => html`<${Plugin} key=${plugin.name} plugin=${plugin} />`)}
  </div>`;
}

function Off({ nodes }) {
  return html`
    <${Empty}>The plugin for HAProxy does not run. With <code>haproxy.enabled = true</code> the registry keeps HAProxy in step with the nodes.<//>
    <${View} nodes=${nodes} />
  `;
}

function View({ nodes }) {
  return html`<${Servers} title="What the view says to a balancer" list=${servers([], nodes)} columns=${[SERVER, NEW_CLIENTS, NODES, SESSIONS]} />`;
}

function Balancer({ plugin: { facts, items, healthy, detail }, nodes }) {
  // One that could not start says why, and knows nothing else.
  const known = "reloads" in facts;
  return html`
    <div role="status">
      ${healthy ? html`<p class="calm"><${Status} kind="ok">In step: ${detail}<//></p>` : html`<p class="notice bad"><${Status} kind="bad">Not in step: ${detail}<//></p>`}
    </div>
    ${known ? html`<${Known} facts=${facts} items=${items} nodes=${nodes} healthy=${healthy} detail=${detail} />` : html`<${View} nodes=${nodes} />`}
  `;
}

function Known({ facts, items, nodes, healthy, detail }) {
  const now = useNow() - ahead();
  const list = servers(items, nodes);
  const ends = certificate(facts, now);
  const up = list.filter((server) => server.state === "up").length;
  const stale = facts.error_at > (facts.seen_at ?? 0);
  return html`
    ${ends && ends.kind !== "ok" && html`<p class=${`notice ${ends.kind}`}><${Status} kind=${ends.kind}>${ends.text} Put a new one in its file: it is taken without a reload.<//></p>`}
    <${Figures} label="HAProxy, since the plugin began" figures=${[
      { name: "Servers up", value: facts.servers === undefined ? format.NOTHING : `${up} of ${facts.servers}`, kind: list.some(unreached) ? "bad" : "" },
      { name: "Leaving", value: format.count(facts.leaving) },
      { name: "Reloads", value: format.count(facts.reloads) },
      { name: "Drifts put right", value: format.count(facts.drifts), kind: now - facts.drift_at < DRIFT_SECONDS ? "warn" : "" },
      { name: "Failures", value: format.count(facts.failures), kind: healthy ? "" : "bad" },
      { name: "Certificate", value: ends ? left(facts.certificate_until - now) : "none", kind: ends && ends.kind !== "ok" ? ends.kind : "" },
    ]} />
    <${Facts} facts=${[
      ["HAProxy last seen", format.ago(facts.seen_at, now)],
      ["Last in step", healthy ? null : format.ago(facts.success_at, now)],
      ["Last reload", facts.reloaded_at ? when(facts.reloaded_at, now) : "none since the plugin began"],
      ["Certificate valid until", facts.certificate_until && format.date(facts.certificate_until)],
      ["Last drift, put right", facts.drift ? told(facts.drift, facts.drift_at, now) : "none since the plugin began"],
      ["Last error", facts.error ? told(facts.error === detail ? null : facts.error, facts.error_at, now) : "none since the plugin began", "long"],
    ]} />
    <${Servers} title="Servers of HAProxy, and the nodes of the view" list=${list} columns=${[SERVER, stale ? LAST_STATE : STATE, NODES, ADDRESS, WEIGHT, SESSIONS]}
      note=${stale ? `HAProxy's side as last seen, ${format.ago(facts.seen_at, now)}.` : null} />
  `;
}

function Servers({ title, note, list, columns }) {
  return html`
    <${Section} title=${title} note=${note} wide>
      ${list.length ? html`<${Table} caption="Servers" rows=${list} rowKey=${(server) => server.address} columns=${columns} />`
        : html`<${Empty}>No node is registered, so there is no server to send clients to.<//>`}
    <//>
  `;
}

const left = (seconds) => (seconds > 0 ? format.span(seconds) : "ended");
const when = (then, now) => `${format.date(then)}, ${format.ago(then, now)}`;
const told = (text, then, now) => html`${text && html`${text}<br />`}<span class=${text ? "note" : null}>${when(then, now)}</span>`;

/** How long somebody's hand in HAProxy is worth a colour. */
const DRIFT_SECONDS = 3600;

const STATES = {
  up: ["ok", "up"],
  down: ["bad", "down: its checks fail"],
  maintenance: ["off", "no new clients"],
  drained: ["warn", "drained by hand"],
  absent: ["off", "not there yet"],
  leaving: ["off", "leaving"],
};

const SERVER = { key: "name", title: "Server", cell: (server) => html`<span class="code">${server.name}</span>` };
const ADDRESS = { key: "address", title: "Address", cell: (server) => html`<span class="code">${server.address}</span>` };
const STATE = {
  key: "state", title: "In HAProxy",
  cell: ({ state }) => {
    const [kind, text] = STATES[state] ?? ["warn", state ?? "not there"];
    return html`<${Status} kind=${kind}>${text}<//>`;
  },
};
/** While HAProxy is not seen nothing can be said of now. */
const LAST_STATE = { ...STATE, title: "Last in HAProxy", cell: ({ state }) => html`<${Status} kind="off">${STATES[state]?.[1] ?? state ?? "not there"}<//>` };
const WEIGHT = { key: "weight", title: "Weight", num: true, cell: (server) => format.count(server.weight) };
const NEW_CLIENTS = {
  key: "takes", title: "New clients",
  cell: ({ behind }) => (behind.some(takes) ? html`<${Status} kind="ok">yes<//>` : html`<${Status} kind="bad">none<//>`),
};
const word = (node) => (node.draining ? " draining" : node.ready ? "" : " not ready");
const NODES = {
  key: "nodes", title: "Nodes",
  cell: ({ behind }) => (behind.length ? html`<span>${behind.map((node, place) => html`${place ? ", " : ""}<a class="code" key=${node.id} href=${to("nodes", node.id)}>${node.id}</a>${word(node)}`)}</span>`
    : html`<span class="muted">none</span>`),
};
const SESSIONS = { key: "sessions", title: "Sessions", num: true, cell: ({ behind }) => format.count(behind.reduce((all, node) => all + (node.status?.sessions ?? 0), 0)) };
