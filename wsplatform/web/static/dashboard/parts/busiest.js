// The channels with the most to do, from the newest reports of all nodes.
import { html, useEffect, useState } from "../ui.js";
import { useStore } from "../store.js";
import * as format from "../format.js";
import { to } from "../router.js";
import { Bar } from "./bar.js";
import { Choice } from "./form.js";
import { useThing } from "./list.js";
import { Empty, Problem, Section, Waiting } from "./page.js";
import { Table } from "./table.js";

export function Busiest({ limit }) {
  const [by, setBy] = useState("publications");
  const { value, error, again } = useThing("/metrics/busiest", { by, limit });
  const until = useStore((state) => state.metricsTo);
  useEffect(again, [until]);
  const actions = html`<${Choice} label="Busiest by" value=${by} change=${setBy} options=${[["publications", "Publications"], ["subscribers", "Subscribers"]]} />`;
  return html`
    <${Section} title="Busiest channels" actions=${actions}>
      ${error && html`<${Problem} error=${error} again=${again} />`}
      ${!value && !error && html`<${Waiting} />`}
      ${value?.items.length === 0 && html`<${Empty}>No channel was busy when the nodes last reported.<//>`}
      ${value?.items.length > 0 && html`<${Table} key=${by} caption="Busiest channels by ${by}" rows=${value.items} rowKey=${(item) => item.channel} columns=${columns(value.items, by)} />`}
    <//>
  `;
}

export const CHANNEL = { key: "channel", title: "Channel", cell: (item) => html`<a class="code" href=${to("channels", item.channel)}>${item.channel}</a>` };

function columns(items, by) {
  const most = Math.max(...items.map((item) => item[by]), 1e-9);
  const number = (key, title, text) => ({
    key, title, num: true,
    cell: (item) => (key === by ? html`<span class="barred"><${Bar} part=${item[key] / most} />${text(item[key])}</span>` : text(item[key])),
  });
  return [
    CHANNEL,
    number("publications", "Published", format.rate),
    number("subscribers", "Subscribers", format.count),
    { key: "nodes", title: "Nodes", num: true, cell: (item) => Object.keys(item.nodes).length },
  ];
}
