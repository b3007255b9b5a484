import { html, useState, useNow, useSettled } from "../ui.js";
import { ahead } from "../silence.js";
import * as format from "../format.js";
import { replaceQuery, to } from "../router.js";
import { Title } from "../parts/page.js";
import { Choice, Filters, TextField } from "../parts/form.js";
import { Listing, useList } from "../parts/list.js";
import { Table } from "../parts/table.js";
import { Disconnect } from "../parts/disconnect.js";

const READERS = [["", "All"], ["true", "Slow readers"]];
const FIELDS = [["user", "User"], ["channel", "Subscribed to"], ["node", "Node"], ["contains", "Id, user or address contains"]];

export function Sessions({ query }) {
  const [asked, setAsked] = useState(() => Object.fromEntries([...FIELDS.map(([name]) => name), "slow"].map((name) => [name, query.get(name) ?? ""])));
  const [ending, end] = useState(null);
  const list = useList("/sessions", useSettled(asked), { every: 5 });
  const now = useNow(5) - ahead();
  const change = (name) => (value) => {
    const next = { ...asked, [name]: value };
    setAsked(next);
    replaceQuery(next);
  };
  const narrowed = Object.values(asked).some(Boolean);
  const empty = asked.slow && !FIELDS.some(([name]) => asked[name])
    ? "No client reads slowly: nothing waits to be read."
    : narrowed
    ? "No session is like that. A user and a channel have to be given in full."
    : "Nobody is connected. Clients connect to /connection/websocket of a node or of the balancer.";
  return html`<div class="page">
    <${Title} text="Sessions" />
    <${Filters} label="Sessions">
      ${FIELDS.map(([name, text]) => html`<${TextField} key=${name} label=${text} value=${asked[name]} change=${change(name)} />`)}
      <${Choice} label="Which sessions" value=${asked.slow} change=${change("slow")} options=${READERS} />
    <//>
    <${Listing} list=${list} noun="session" empty=${empty}>
      ${(items) => html`<${Table} caption="Sessions" rows=${items} rowKey=${(item) => item.id} columns=${columns(now, end)} />`}
    <//>
    ${ending && html`<${Disconnect} session=${ending} close=${() => end(null)} done=${list.again} />`}
  </div>`;
}

const columns = (now, end) => [
  { key: "id", title: "Session", cell: (item) => html`<a class="code" href=${to("sessions", item.id)}>${item.id}</a>` },
  { key: "user", title: "User", cell: (item) => (item.user ? html`<span class="code">${item.user}</span>` : html`<span class="muted">anonymous</span>`) },
  { key: "node", title: "Node", cell: (item) => html`<a class="code" href=${to("nodes", item.node)}>${item.node}</a>` },
  { key: "address", title: "Address", cell: (item) => html`<span class="code">${item.address}</span>` },
  { key: "protocol", title: "Protocol", cell: (item) => item.protocol },
  { key: "subscriptions", title: "Channels", num: true, cell: (item) => format.count(item.subscriptions) },
  { key: "waiting", title: "Not read yet", num: true, cell: (item) => format.bytes(item.waiting_bytes) },
  { key: "connected_at", title: "Connected", end: true, cell: (item) => format.ago(item.connected_at, now) },
  { key: "end", title: "", end: true, cell: (item) => html`<button type="button" class="small" aria-label="Disconnect ${item.id}" onClick=${() => end(item)}>Disconnect …</button>` },
];
