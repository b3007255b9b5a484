import { html, useSettled, useState } from "../ui.js";
import * as format from "../format.js";
import { replaceQuery, to } from "../router.js";
import { Section, Title } from "../parts/page.js";
import { Filters, TextField } from "../parts/form.js";
import { Listing, useList } from "../parts/list.js";
import { Table } from "../parts/table.js";
import { Busiest, CHANNEL } from "../parts/busiest.js";

export function Channels({ query }) {
  const [text, setText] = useState(query.get("contains") ?? "");
  const change = (value) => {
    setText(value);
    replaceQuery({ contains: value });
  };
  return html`<div class="page">
    <${Title} text="Channels" />
    <${Filters} label="Channels">
      <${TextField} label="Name contains, or pattern" value=${text} change=${change} placeholder="chat:*" />
    <//>
    ${!text && html`<${Busiest} limit=${20} />`}
    <${All} text=${useSettled(text)} />
  </div>`;
}

function All({ text }) {
  const glob = text.includes("*");
  const list = useList("/channels", glob ? { pattern: text } : { contains: text }, { every: 10 });
  const empty = text
    ? html`No channel with subscribers is like that. <a href=${to("channels", text)}>Open “${text}”</a> to see the rule for that name or to publish on it.`
    : html`No channel has a subscriber. A channel is there as long as somebody is subscribed to it; <a href=${to("rules")}>rules</a> say who may.`;
  return html`
    <${Section} title=${text ? "Found" : "All with subscribers"} wide>
      <${Listing} list=${list} noun="channel" empty=${empty}>
        ${(items) => html`<${Table} caption="Channels" rows=${items} rowKey=${(item) => item.channel} columns=${COLUMNS} />`}
      <//>
    <//>
  `;
}

const COLUMNS = [
  CHANNEL,
  { key: "subscribers", title: "Subscribers", num: true, cell: (item) => format.count(item.subscribers) },
  { key: "nodes", title: "By node", cell: (item) => html`<span class="pairs">${Object.entries(item.nodes).map(([node, count]) => html`<span key=${node}>${node} <b>${format.count(count)}</b></span>`)}</span>` },
];
