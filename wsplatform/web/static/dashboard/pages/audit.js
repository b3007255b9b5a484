import { html, useEffect, useState, useSettled } from "../ui.js";
import { useStore } from "../store.js";
import * as format from "../format.js";
import { Title } from "../parts/page.js";
import { Filters, SelectField, TextField } from "../parts/form.js";
import { Listing, useList } from "../parts/list.js";
import { Table } from "../parts/table.js";

const ACTIONS = {
  "rule.set": "set the rule", "rule.delete": "deleted the rule", "key.create": "made the key", "key.revoke": "revoked the key",
  "session.disconnect": "disconnected the session", "node.drain": "drained the node", publish: "published on",
  login: "logged in", logout: "logged out", "login.refused": "was refused at the log-in",
};
const SINCE = [["", "ever"], ["3600", "an hour"], ["86400", "a day"], ["604800", "a week"], ["2592000", "30 days"]];

export function Audit() {
  const [actor, setActor] = useState("");
  const [action, setAction] = useState("");
  const [contains, setContains] = useState("");
  const [since, setSince] = useState("");
  const [from, setFrom] = useState("");
  const list = useList("/audit", { ...useSettled({ actor, contains }), action, from });
  const newest = useStore((state) => state.audit);
  useEffect(() => void (newest && list.again()), [newest]);
  const begin = (length) => {
    setSince(length);
    setFrom(length && Math.floor(Date.now() / 1000) - Number(length));
  };
  const options = [["", "all"], ...Object.keys(ACTIONS).map((name) => [name, name])];
  const narrowed = actor || action || contains || since;
  return html`<div class="page">
    <${Title} text="Audit" note="Who changed what, when and from where. The newest first." />
    <${Filters} label="Audit log">
      <${TextField} label="By (key name or id)" value=${actor} change=${setActor} />
      <${SelectField} label="Action" value=${action} change=${setAction} options=${options} />
      <${TextField} label="Contains" value=${contains} change=${setContains} />
      <${SelectField} label="In the last" value=${since} change=${begin} options=${SINCE} />
    <//>
    <${Listing} list=${list} noun="entry" many="entries" empty=${narrowed ? "No entry is like that." : "Nothing was changed yet. Log-ins, rules, keys, drains and the like will stand here."}>
      ${(items) => html`<${Table} caption="Audit log" rows=${items} rowKey=${(entry) => entry.id} columns=${COLUMNS} />`}
    <//>
  </div>`;
}

const COLUMNS = [
  { key: "at", title: "When", cell: (entry) => html`<time>${format.date(entry.at)}</time>` },
  { key: "actor", title: "Who", cell: (entry) => entry.actor?.name || html`<span class="muted">nobody</span>` },
  {
    key: "action", title: "What",
    cell: (entry) => html`<span>${ACTIONS[entry.action] ?? entry.action} ${entry.target && !entry.action.startsWith("log") && html`<span class="code">${entry.target}</span>`}</span>`,
  },
  { key: "change", title: "Change", cell: (entry) => html`<${Change} before=${entry.before} after=${entry.after} />` },
  { key: "address", title: "From", cell: (entry) => html`<span class="code">${entry.address}</span>` },
];

function Change({ before, after }) {
  if (!before && !after) return html`<span class="muted">${format.NOTHING}</span>`;
  const names = [...new Set([...Object.keys(fields(before)), ...Object.keys(fields(after))])];
  const changed = names.filter((name) => text(fields(before)[name]) !== text(fields(after)[name]));
  return html`
    <ul class="change">${changed.map((name) => html`
      <li key=${name}>${name && html`<span class="muted">${name} </span>`}${before && html`<del>${text(fields(before)[name])}</del>`}${before && after && " → "}${after && html`<ins>${text(fields(after)[name])}</ins>`}</li>`)}
    </ul>
  `;
}

const fields = (value) => (value && typeof value === "object" ? value : value ? { "": value } : {});
const text = (value) => (value === undefined ? format.NOTHING : typeof value === "string" ? value : JSON.stringify(value));
