import { html, useEffect, useRef, useState } from "../ui.js";
import { useStore } from "../store.js";
import { attention } from "../attention.js";
import { ahead, useSilence } from "../silence.js";
import * as format from "../format.js";
import { to } from "../router.js";
import { Section, Title, Waiting } from "../parts/page.js";
import { Status } from "../parts/status.js";
import { Figures } from "../parts/figures.js";
import { Picture } from "../parts/picture.js";
import { Busiest } from "../parts/busiest.js";
import { ERRORS, disconnect } from "../codes.js";
import { Chart, RangeChoice, useRange } from "../parts/chart.js";

export function Overview() {
  const nodes = useStore((state) => state.nodes);
  const [range, setRange] = useRange();
  if (nodes === null) return html`<div class="page"><${Title} text="Overview" /><${Waiting} /></div>`;
  return html`<div class="page">
    <${Title} text="Overview" />
    <${Attention} nodes=${nodes} />
    <${Now} nodes=${nodes} />
    <div class="pair"><${Cluster} nodes=${nodes} /><${Busiest} limit=${8} /></div>
    <${Section} title="Over time" wide actions=${html`<${RangeChoice} range=${range} change=${setRange} />`}>
      <div class="charts">
        <${Chart} title="Messages" unit="rate" range=${range} lines=${[
          { metric: "deliveries", name: "delivered" }, { metric: "publications", name: "published" }]} />
        <${Chart} title="Delivery time" unit="seconds" range=${range} empty="Nothing was delivered in this time." lines=${[
          { metric: "delivery", aggregation: "p50", name: "p50" }, { metric: "delivery", aggregation: "p99", name: "p99" }]} />
        <${Chart} title="Sessions" unit="" range=${range} lines=${[{ metric: "sessions" }]} />
        <${Chart} title="Errors, by code" unit="rate" range=${range} empty="No error in this time." lines=${ERRORS} />
        <${Chart} title="Disconnects, by code" unit="rate" range=${range} empty="Nobody was disconnected in this time." lines=${[
          { metric: "disconnects", by: "label", word: disconnect }]} />
        <${Chart} title="CPU, by node" unit="percent" range=${range} lines=${[{ metric: "cpu", by: "node" }]} />
      </div>
    <//>
  </div>`;
}

function Attention({ nodes }) {
  const links = useStore((state) => state.links) ?? [];
  const plugins = useStore((state) => state.plugins) ?? [];
  const config = useStore((state) => state.config);
  const trouble = useStore((state) => state.trouble);
  const silence = useSilence();
  const found = attention({ nodes, links, plugins, config, trouble, silence, now: Date.now() / 1000, ahead: ahead() });
  return html`<div>
    <p role="status" class="unseen">${useNews(found)}</p>
    <${Found} found=${found} nodes=${nodes} links=${links} />
  </div>`;
}

function Found({ found, nodes, links }) {
  const stream = useStore((state) => state.stream);
  const up = links.filter((link) => link.state === "up").length;
  if (!found.length && stream.state === "broken") {
    return html`<p class="calm"><${Status} kind="off">Nothing needed attention at ${format.time(stream.since)}.<//></p>`;
  }
  if (!found.length) {
    return html`
      <p class="calm"><${Status} kind="ok">Nodes and links are well: ${format.plural(nodes.length, "node")} ready${links.length ? `, ${format.plural(up, "link")} up` : ""}.<//></p>`;
  }
  return html`
    <${Section} title="Needs attention">
      <ul class="attention">${found.map(({ kind, id, text, address, action }) => html`
        <li key=${id} class=${kind}><${Status} kind=${kind}>${text}<//> <a href=${address}>${action}</a></li>`)}
      </ul>
    <//>
  `;
}

/** What has come to need attention, said once to who hears the page: the seconds that pass are not. */
function useNews(found) {
  const known = useRef(null);
  const [news, say] = useState("");
  useEffect(() => {
    const fresh = known.current === null ? [] : found.filter(({ id }) => !known.current.has(id));
    known.current = new Set(found.map(({ id }) => id));
    if (fresh.length) say(fresh.map(({ text }) => text).join(" "));
  }, [found.map(({ id }) => id).join("\n")]);
  return news;
}

function Now({ nodes }) {
  const history = useStore((state) => state.history);
  const now = history[history.length - 1] ?? {};
  const line = (name) => history.map((one) => [one.at, one[name]]);
  const all = (name) => nodes.reduce((sum, node) => sum + (node.status?.[name] ?? 0), 0);
  return html`
    <${Figures} label="Now, in the whole cluster" figures=${[
      { name: "Sessions", value: format.count(now.sessions), values: line("sessions"), address: to("sessions") },
      { name: "Subscriptions", value: format.count(all("subscriptions")), values: line("subscriptions"), address: to("channels") },
      { name: "Published", value: format.rate(now.publications), values: line("publications") },
      { name: "Delivered", value: format.rate(now.deliveries), values: line("deliveries") },
      { name: "p99, slowest node", value: format.seconds(now.p99), values: line("p99") },
      { name: "Errors", value: format.rate(now.errors), values: line("errors"), kind: now.errors > 0 ? "warn" : "" },
      { name: "To clients", value: format.bytesRate(now.sent), values: line("sent") },
    ]} />
  `;
}

function Cluster({ nodes }) {
  const links = useStore((state) => state.links) ?? [];
  const rates = useStore((state) => state.rates);
  const silence = useSilence();
  if (!nodes.length) return null;
  return html`<${Section} title="Nodes and links"><${Picture} nodes=${nodes} links=${links} rates=${rates} silence=${silence} /><//>`;
}
