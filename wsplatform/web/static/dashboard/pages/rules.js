import { html, useEffect, useState, useSettled } from "../ui.js";
import { path, request } from "../api.js";
import { toast, useStore } from "../store.js";
import { replaceQuery } from "../router.js";
import { Empty, Problem, Section, Title } from "../parts/page.js";
import { Filters, TextField } from "../parts/form.js";
import { Listing, useList, useThing } from "../parts/list.js";
import { Table } from "../parts/table.js";
import { FormDialog } from "../parts/dialog.js";
import { Facts } from "../parts/facts.js";
import { PUBLISH, RuleForm, SUBSCRIBE, limitOf, ruleFacts } from "../parts/rule.js";

export function Rules({ query }) {
  const [contains, setContains] = useState("");
  const list = useList("/rules", { contains: useSettled(contains) });
  const config = useStore((state) => state.config);
  const [editing, edit] = useState(query.get("make") ? { pattern: query.get("make"), isNew: true } : null);
  const [deleting, remove] = useState(null);
  useEffect(() => void (config !== null && list.again()), [config]);
  const empty = contains
    ? "No pattern contains that."
    : "There is no rule: channels are unknown to clients, unless the settings have a registry.fallback_rule. Make the first one, for chat:* perhaps.";
  return html`<div class="page">
    <${Title} text="Rules" note="Who may subscribe and publish on which channels. The most specific pattern holds; nodes have a change within a second.">
      <button type="button" class="primary" onClick=${() => edit({ isNew: true })}>Make a rule …</button>
    <//>
    <${Test} first=${query.get("test") ?? ""} config=${config} />
    <${Section} title="All rules" wide actions=${html`<${Filters} label="Rules"><${TextField} label="Pattern contains" value=${contains} change=${setContains} /><//>`}>
      <${Listing} list=${list} noun="rule" empty=${empty}>
        ${(items) => html`<${Table} caption="Rules" rows=${items} rowKey=${(rule) => rule.pattern} columns=${columns(edit, remove)} />`}
      <//>
    <//>
    ${editing && html`<${RuleForm} rule=${editing} isNew=${Boolean(editing.isNew)} close=${() => edit(null)} done=${list.again} />`}
    ${deleting && html`<${Delete} rule=${deleting} close=${() => remove(null)} done=${list.again} />`}
  </div>`;
}

const columns = (edit, remove) => [
  { key: "pattern", title: "Pattern", cell: (rule) => html`<span class="code">${rule.pattern}</span>` },
  { key: "subscribe", title: "Subscribe", cell: (rule) => SUBSCRIBE[rule.subscribe] },
  { key: "publish", title: "Publish", cell: (rule) => PUBLISH[rule.publish] },
  { key: "bytes", title: "Largest", num: true, cell: limitOf },
  {
    key: "do", title: "", end: true,
    cell: (rule) => html`<span class="buttons-inline">
      <button type="button" class="small" aria-label="Edit ${rule.pattern}" onClick=${() => edit(rule)}>Edit …</button>
      <button type="button" class="small" aria-label="Delete ${rule.pattern}" onClick=${() => remove(rule)}>Delete …</button></span>`,
  },
];

function Test({ first, config }) {
  const [name, setName] = useState(first);
  const asked = useSettled(name);
  const change = (value) => {
    setName(value);
    replaceQuery({ test: value });
  };
  return html`
    <${Section} title="Which rule holds for a name?">
      <${Filters} label="Test a name"><${TextField} label="Channel" class="code" placeholder="chat:lobby" value=${name} change=${change} /><//>
      <div role="status">${asked && html`<${Match} name=${asked} config=${config} />`}</div>
    <//>
  `;
}

function Match({ name, config }) {
  const { value, error, again } = useThing("/rules/test", { channel: name });
  useEffect(again, [config]);
  if (error) return html`<${Problem} error=${error} />`;
  if (!value) return null;
  if (!value.rule) return html`<${Empty}>No rule holds: clients get “unknown channel”.<//>`;
  const from = value.fallback ? " (registry.fallback_rule of the settings)" : "";
  return html`<${Facts} facts=${[["Rule", html`<span class="code">${value.rule.pattern}</span>${from}`], ...ruleFacts(value.rule)]} />`;
}

function Delete({ rule, close, done }) {
  const submit = async () => {
    await request("DELETE", path("rules", rule.pattern));
    toast(`The rule for ${rule.pattern} is deleted.`);
    close();
    done();
  };
  return html`
    <${FormDialog} title="Delete the rule for ${rule.pattern}?" action="Delete it" danger submit=${submit} close=${close}>
      <p>The channels that it was for follow the next rule that fits, or none. Who may not subscribe by that is unsubscribed.</p>
    <//>
  `;
}
