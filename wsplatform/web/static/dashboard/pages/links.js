import { html, useState } from "../ui.js";
import { useStore } from "../store.js";
import { replaceQuery } from "../router.js";
import { peer } from "../codes.js";
import { Empty, Section, Title, Waiting } from "../parts/page.js";
import { Choice, Filters, TextField } from "../parts/form.js";
import { LinkTable } from "../parts/links.js";
import { Chart, RangeChoice, useRange } from "../parts/chart.js";

const MOST = 200;

export function Links({ query }) {
  const links = useStore((state) => state.links);
  const [node, setNode] = useState(query.get("node") ?? "");
  const [which, setWhich] = useState("all");
  const [range, setRange] = useRange();
  if (links === null) return html`<div class="page"><${Title} text="Links" /><${Waiting} /></div>`;
  const shown = links.filter((link) => (link.node.includes(node) || link.peer.includes(node)) && (which === "all" || link.state !== "up"));
  const change = (text) => {
    setNode(text);
    replaceQuery({ node: text });
  };
  return html`<div class="page">
    <${Title} text="Links" note="Between each two nodes there are two: what the first says of the second, and the other way round." />
    ${links.length === 0 && html`<${Empty}>There are no links: they come with the second node.<//>`}
    ${links.length > 0 && html`
      <${Filters} label="Links">
        <${TextField} label="Node or peer contains" value=${node} change=${change} />
        <${Choice} label="Which links" value=${which} change=${setWhich} options=${[["all", `All ${links.length}`], ["down", `Not up ${links.filter((link) => link.state !== "up").length}`]]} />
      <//>
      ${shown.length ? html`<${LinkTable} links=${shown.slice(0, MOST)} />` : html`<${Empty}>${which === "down" ? "All of these links are up." : "No link is like that."}<//>`}
      ${shown.length > MOST && html`<p class="note">The first ${MOST} of ${shown.length} are shown: narrow them by the id of a node.</p>`}
      <${Section} title="Over time" wide actions=${html`<${RangeChoice} range=${range} change=${setRange} />`}>
        <div class="charts">
          <${Chart} title="Publication to a peer and back, p99" unit="seconds" range=${range} lines=${[{ metric: "canary", by: "node" }]} />
          <${Chart} title="Bytes that wait, by peer" unit="bytes" range=${range} lines=${[{ metric: "link_waiting", by: "label", word: peer }]} />
          <${Chart} title="Publications lost, by cause" unit="rate" range=${range} empty="None was lost in this time." lines=${[{ metric: "link_dropped", by: "label" }]} />
          <${Chart} title="Messages replayed, by peer" unit="rate" range=${range} empty="No link broke with something under way." lines=${[{ metric: "link_replayed", by: "label", word: peer }]} />
        </div>
      <//>`}
  </div>`;
}
