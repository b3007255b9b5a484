import { html, useEffect, useState } from "../ui.js";
import { path, request } from "../api.js";
import { toast, useStore } from "../store.js";
import * as format from "../format.js";
import { Empty, Title } from "../parts/page.js";
import { Listing, useList } from "../parts/list.js";
import { Table } from "../parts/table.js";
import { FormDialog } from "../parts/dialog.js";
import { KeyForm, NewKey } from "../parts/key.js";

export function Keys() {
  const list = useList("/keys", {});
  const at = useStore((state) => state.keysAt);
  const [making, make] = useState(false);
  const [made, setMade] = useState(null);
  const [revoking, revoke] = useState(null);
  useEffect(() => void (at && list.again()), [at]);
  return html`<div class="page">
    <${Title} text="Keys" note="Backends publish with an api key, operators work with an admin key. Only a digest of a key is stored.">
      <button type="button" class="primary" onClick=${() => make(true)}>Make a key …</button>
    <//>
    <${Listing} list=${list} noun="key" empty=${html`There is no key yet. Make one with the scope api for each of your backends.`}>
      ${(items) => html`<${Table} caption="Keys" rows=${items} rowKey=${(key) => key.id} columns=${columns(revoke)} />`}
    <//>
    ${making && html`<${KeyForm} close=${() => make(false)} done=${(key) => { setMade(key); list.again(); }} />`}
    ${made && html`<${NewKey} made=${made} close=${() => setMade(null)} />`}
    ${revoking && html`<${Revoke} of=${revoking} close=${() => revoke(null)} done=${list.again} />`}
  </div>`;
}

const columns = (revoke) => [
  { key: "name", title: "Name", cell: (key) => key.name },
  { key: "id", title: "Id", cell: (key) => html`<span class="code">${key.id}</span>` },
  { key: "scopes", title: "Scopes", cell: (key) => key.scopes.join(", ") },
  { key: "channels", title: "Channels", cell: (key) => (key.channels.length ? html`<span class="code">${key.channels.join(" ")}</span>` : key.scopes.includes("api") ? "all" : format.NOTHING) },
  { key: "created", title: "Made", cell: (key) => format.date(key.created_at) },
  { key: "revoke", title: "", end: true, cell: (key) => html`<button type="button" class="small" aria-label="Revoke ${key.name}" onClick=${() => revoke(key)}>Revoke …</button>` },
];

function Revoke({ of, close, done }) {
  const mine = useStore((state) => state.session?.key.id) === of.id;
  const submit = async () => {
    await request("DELETE", path("keys", of.id));
    toast(`The key ${of.name} is revoked.`);
    close();
    done();
  };
  return html`
    <${FormDialog} title="Revoke ${of.name}?" action="Revoke it" danger submit=${submit} close=${close}>
      <p>Whoever uses this key is refused from the next request on. It cannot be undone.</p>
      ${mine && html`<p class="notice warn">You are logged in with this key, and will be logged out.</p>`}
    <//>
  `;
}
