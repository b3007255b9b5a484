// A plugin of anybody's: how it is, its facts, and the things in its care.
import { html } from "../ui.js";
import * as format from "../format.js";
import { Facts } from "./facts.js";
import { Section } from "./page.js";
import { Status } from "./status.js";
import { Table } from "./table.js";

export function Plugin({ plugin: { name, distribution, healthy, detail, facts, items } }) {
  return html`
    <${Section} title="Plugin ${name}" note="of ${distribution}" wide>
      <p class="calm"><${Status} kind=${healthy ? "ok" : "bad"}>${healthy ? "In step" : "Not in step"}${detail && `: ${detail}`}<//></p>
      ${Object.keys(facts).length > 0 && html`<${Facts} facts=${Object.entries(facts).map(([fact, value]) => [words(fact), text(fact, value)])} />`}
      ${items.length > 0 && html`<${Table} caption="What ${name} takes care of" rows=${items} rowKey=${JSON.stringify} columns=${columns(items)} />`}
    <//>
  `;
}

function columns(items) {
  const names = [...new Set(items.flatMap(Object.keys))];
  return names.map((name) => ({ key: name, title: words(name), num: typeof items[0][name] === "number", cell: (item) => text(name, item[name]) }));
}

const words = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

function text(name, value) {
  if (value === undefined) return format.NOTHING;
  if (typeof value !== "number") return String(value);
  return /_(at|until)$/.test(name) ? format.date(value) : format.number(value);
}
