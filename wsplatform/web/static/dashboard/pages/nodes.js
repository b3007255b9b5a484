import { html, useState } from "../ui.js";
import { useStore } from "../store.js";
import { useSilence } from "../silence.js";
import * as format from "../format.js";
import { to } from "../router.js";
import { Empty, Section, Title, Waiting } from "../parts/page.js";
import { Status, nodeState } from "../parts/status.js";
import { Table } from "../parts/table.js";
import { Filters, TextField } from "../parts/form.js";
import { Chart, RangeChoice, useRange } from "../parts/chart.js";

export function Nodes() {
  const nodes = useStore((state) => state.nodes);
  const rates = useStore((state) => state.rates);
  const silence = useSilence();
  const [contains, setContains] = useState("");
  const [range, setRange] = useRange();
  if (nodes === null) return html`<div class="page"><${Title} text="Nodes" /><${Waiting} /></div>`;
  const shown = nodes.filter((node) => node.id.includes(contains));
  return html`<div class="page">
    <${Title} text="Nodes" note="What each node last reported; rates are of the last second." />
    ${nodes.length > 8 && html`<${Filters} label="Nodes"><${TextField} label="Id contains" value=${contains} change=${setContains} /><//>`}
    ${nodes.length === 0 && html`<${Empty}>
      No node is registered. Start one with <code>wsplatform serve --role node</code>; its <code>registry.url</code> leads
      here, and it needs the same <code>cluster.secrets</code>.<//>`}
    ${nodes.length > 0 && html`<${Table} caption="Nodes" rows=${shown} rowKey=${(node) => node.id} order="id" columns=${columns(rates, silence)} />`}
    ${nodes.length > 0 && html`
      <${Section} title="By node" wide actions=${html`<${RangeChoice} range=${range} change=${setRange} />`}>
        <div class="charts">
          <${Chart} title="Deliveries" unit="rate" range=${range} lines=${[{ metric: "deliveries", by: "node" }]} />
          <${Chart} title="Sessions" unit="" range=${range} lines=${[{ metric: "sessions", by: "node" }]} />
          <${Chart} title="CPU" unit="percent" range=${range} lines=${[{ metric: "cpu", by: "node" }]} />
          <${Chart} title="Loop lag p99" unit="seconds" range=${range} lines=${[{ metric: "loop_lag", by: "node" }]} />
        </div>
      <//>`}
  </div>`;
}

function columns(rates, silence) {
  const status = (node, name) => node.status?.[name] ?? null;
  const speed = (node, name) => rates[node.id]?.[name] ?? null;
  const column = (key, title, value, text, extra = false) => ({ key, title, num: true, extra, sort: value, cell: (node) => text(value(node)) });
  return [
    { key: "id", title: "Node", sort: (node) => node.id, cell: (node) => html`<a class="code" href=${to("nodes", node.id)}>${node.id}</a>` },
    {
      key: "state", title: "State", sort: (node) => nodeState(node, silence(node)).text,
      cell: (node) => {
        const { kind, text } = nodeState(node, silence(node));
        return html`<${Status} kind=${kind}>${text}<//>`;
      },
    },
    column("sessions", "Sessions", (node) => status(node, "sessions"), format.count),
    column("subscriptions", "Subscriptions", (node) => status(node, "subscriptions"), format.count),
    column("publications", "Published", (node) => speed(node, "publications"), format.rate),
    column("deliveries", "Delivered", (node) => speed(node, "deliveries"), format.rate),
    column("p99", "p99", (node) => status(node, "delivery_p99"), format.seconds),
    column("errors", "Errors", (node) => speed(node, "errors"), format.rate),
    column("sent", "To clients", (node) => speed(node, "sent"), format.bytesRate, true),
    column("cpu", "CPU", (node) => speed(node, "cpu"), format.percent),
    column("lag", "Lag", (node) => status(node, "lag"), format.seconds),
    column("memory", "Memory", (node) => status(node, "memory_bytes"), format.bytes, true),
    column("uptime", "Up", (node) => status(node, "uptime"), format.span, true),
  ];
}
