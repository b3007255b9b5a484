import { html, useState } from "../ui.js";
import { path, request } from "../api.js";
import { toast, useStore } from "../store.js";
import { useSilence } from "../silence.js";
import * as format from "../format.js";
import { to } from "../router.js";
import { Empty, Section, Title, Waiting } from "../parts/page.js";
import { Status, nodeState } from "../parts/status.js";
import { FormDialog } from "../parts/dialog.js";
import { Figures } from "../parts/figures.js";
import { Facts } from "../parts/facts.js";
import { LinkTable } from "../parts/links.js";
import { ERRORS, disconnect } from "../codes.js";
import { Chart, RangeChoice, useRange } from "../parts/chart.js";

export function Node({ argument: id }) {
  const nodes = useStore((state) => state.nodes);
  const [asking, ask] = useState(false);
  const node = nodes?.find((one) => one.id === id);
  const back = [to("nodes"), "Nodes"];
  return html`<div class="page">
    <${Title} text=${id} code back=${back}>
      ${node && !node.draining && html`<button type="button" onClick=${() => ask(true)}>Drain …</button>`}
    <//>
    ${nodes === null && html`<${Waiting} />`}
    ${node ? html`<${Live} node=${node} />` : nodes && html`<${Empty}>${id} is not in the view now. What it reported while it was is below.<//>`}
    <${Past} id=${id} />
    ${node && html`<${Links} id=${id} />`}
    ${asking && html`<${Drain} node=${node} close=${() => ask(false)} />`}
  </div>`;
}

function Live({ node }) {
  const rates = useStore((state) => state.rates[node.id]) ?? {};
  const config = useStore((state) => state.config);
  const view = useStore((state) => state.view);
  const silence = useSilence()(node);
  const { kind, text } = nodeState(node, silence);
  const status = node.status ?? {};
  const version = (has, newest) => (newest === null || has >= newest ? `${has}` : `${has}, newest is ${newest}`);
  return html`<div>
    <p class="calm"><${Status} kind=${kind}>${text[0].toUpperCase() + text.slice(1)}<//></p>
    <${Figures} label="Now, on ${node.id}" figures=${[
      { name: "Sessions", value: format.count(status.sessions), address: to("sessions", null, { node: node.id }) },
      { name: "Users", value: format.count(status.users) },
      { name: "Channels", value: format.count(status.channels) },
      { name: "Subscriptions", value: format.count(status.subscriptions) },
      { name: "Published", value: format.rate(rates.publications) },
      { name: "Delivered", value: format.rate(rates.deliveries) },
      { name: "Delivery p99", value: format.seconds(status.delivery_p99) },
      { name: "Errors", value: format.rate(rates.errors) },
      { name: "CPU", value: format.percent(rates.cpu) },
      { name: "Lag", value: format.seconds(status.lag) },
      { name: "Memory", value: format.bytes(status.memory_bytes) },
    ]} />
    <${Facts} facts=${[
      ["Client address", html`<span class="code">${node.client_url}</span>`],
      ["Node address", html`<span class="code">${node.cluster_url}</span>`],
      ["Incarnation", html`<span class="code">${node.incarnation}</span>`],
      ["State", node.state.replaceAll("_", " ")],
      ["Registered", format.date(node.registered_at)],
      ["Running for", format.span(status.uptime)],
      ["Clock", node.clock_ahead ? format.clock(node.clock_ahead) : "right"],
      ["View", version(node.view, view)],
      ["Configuration", version(node.config, config)],
      ["Publications lost since its start", format.count(status.dropped)],
    ]} />
  </div>`;
}

function Past({ id }) {
  const [range, setRange] = useRange();
  const chart = (title, unit, lines, empty) => html`
    <${Chart} title=${title} unit=${unit} range=${range} empty=${empty} lines=${lines.map((line) => ({ ...line, node: id }))} />`;
  return html`
    <${Section} title="Over time" wide actions=${html`<${RangeChoice} range=${range} change=${setRange} />`}>
      <div class="charts">
        ${chart("Messages", "rate", [{ metric: "deliveries", name: "delivered" }, { metric: "publications", name: "published" }])}
        ${chart("Delivery time", "seconds", [{ metric: "delivery", aggregation: "p50", name: "p50" }, { metric: "delivery", aggregation: "p99", name: "p99" }])}
        ${chart("Sessions", "", [{ metric: "sessions" }])}
        ${chart("Disconnects, by code", "rate", [{ metric: "disconnects", by: "label", word: disconnect }], "Nobody was disconnected in this time.")}
        ${chart("Errors, by code", "rate", ERRORS, "No error in this time.")}
        ${chart("Bytes of clients", "bytesRate", [{ metric: "sent", name: "sent" }, { metric: "received", name: "received" }])}
        ${chart("Bytes that slow clients have not read", "bytes", [{ metric: "client_waiting" }])}
        ${chart("CPU", "percent", [{ metric: "cpu" }])}
        ${chart("Loop lag", "seconds", [{ metric: "loop_lag", aggregation: "p99", name: "p99" }, { metric: "loop_lag", aggregation: "max", name: "max" }])}
        ${chart("Memory", "bytes", [{ metric: "memory" }])}
      </div>
    <//>
  `;
}

function Links({ id }) {
  const links = (useStore((state) => state.links) ?? []).filter((link) => link.node === id);
  return html`
    <${Section} title="Its links" wide>
      ${links.length ? html`<${LinkTable} links=${links} />` : html`<${Empty}>It has no links: it is the only node.<//>`}
    <//>
  `;
}

function Drain({ node, close }) {
  const drain = async () => {
    await request("POST", path("nodes", node.id, "drain"));
    toast(`${node.id} is draining.`);
    close();
  };
  return html`
    <${FormDialog} title="Drain ${node.id}?" action="Drain it" danger submit=${drain} close=${close}>
      <p>It takes no new clients, its ${format.plural(node.status?.sessions ?? 0, "session")} are told to connect elsewhere, and
        the process ends when that is done. It does not start again by itself, unless whoever runs it starts it.</p>
    <//>
  `;
}
