// Channel rules in words, and the form in which they are made.
import { html, useState } from "../ui.js";
import { path, request } from "../api.js";
import { toast } from "../store.js";
import * as format from "../format.js";
import { FormDialog } from "./dialog.js";
import { SelectField, TextField } from "./form.js";

export const SUBSCRIBE = {
  anyone: "anyone, anonymous clients too",
  users: "clients with a user id",
  token: "clients with a subscription token",
  nobody: "nobody: only backends use it",
};
export const PUBLISH = {
  anyone: "anyone, anonymous clients too",
  users: "clients with a user id",
  subscribers: "clients that are subscribed",
  nobody: "only backends",
};

export const limitOf = (rule) => (rule.max_bytes ? format.bytes(rule.max_bytes) : "as the settings say");

export const ruleFacts = (rule) => [
  ["Subscribe", SUBSCRIBE[rule.subscribe]],
  ["Publish", PUBLISH[rule.publish]],
  ["Largest publication", limitOf(rule)],
];

const options = (words) => Object.entries(words).map(([word, text]) => [word, `${word}: ${text}`.replace(/^(\w+): \1\b:?\s*/, "$1: ")]);

/** rule: the one to edit, or the first values of a new one. */
export function RuleForm({ rule, isNew, close, done }) {
  const [pattern, setPattern] = useState(rule.pattern ?? "");
  const [subscribe, setSubscribe] = useState(rule.subscribe ?? "users");
  const [publish, setPublish] = useState(rule.publish ?? "nobody");
  const [bytes, setBytes] = useState(String(rule.max_bytes ?? 0));
  const submit = async () => {
    if (!/^\d+$/.test(bytes)) throw new Error("The largest publication is a whole number of bytes; 0: no limit of its own.");
    const body = { subscribe, publish, max_bytes: Number(bytes) };
    await request("PUT", path("rules", pattern), { body });
    toast(isNew ? `The rule for ${pattern} is made.` : `The rule for ${pattern} is changed.`);
    done();
    close();
  };
  return html`
    <${FormDialog} title=${isNew ? "Make a rule" : `Edit the rule for ${pattern}`} action=${isNew ? "Make it" : "Save"} submit=${submit} close=${close}>
      ${isNew && html`<${TextField} label="Pattern" help="A name, or a pattern: * stands for any characters, as in chat:*" required class="code" value=${pattern} change=${setPattern} />`}
      <${SelectField} label="Who may subscribe" value=${subscribe} change=${setSubscribe} options=${options(SUBSCRIBE)} />
      <${SelectField} label="Which clients may publish" value=${publish} change=${setPublish} options=${options(PUBLISH)} />
      <${TextField} label="Largest publication, bytes" help="0: no limit of its own." inputmode="numeric" value=${bytes} change=${setBytes} />
    <//>
  `;
}
