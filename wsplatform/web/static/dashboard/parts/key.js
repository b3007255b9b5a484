// Making a key, and showing its text this once.
import { html, useRef, useState } from "../ui.js";
import { request } from "../api.js";
import { Dialog, FormDialog } from "./dialog.js";
import { Field, TextField } from "./form.js";

const SCOPES = [
  ["api", "publish and ask about channels, for backends"],
  ["metrics", "read the metrics of nodes, for Prometheus"],
  ["admin", "everything on these pages"],
];

export function KeyForm({ close, done }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState(["api"]);
  const [channels, setChannels] = useState("");
  const toggle = (scope) => setScopes(scopes.includes(scope) ? scopes.filter((one) => one !== scope) : [...scopes, scope]);
  const submit = async () => {
    if (!scopes.length) throw new Error("Choose at least one scope.");
    const patterns = scopes.includes("api") ? channels.split(/\s+/).filter(Boolean) : [];
    const made = await request("POST", "/keys", { body: { name, scopes, channels: patterns } });
    close();
    done(made);
  };
  return html`
    <${FormDialog} title="Make a key" action="Make it" submit=${submit} close=${close}>
      <${TextField} label="Name" help="Who uses it; the audit log names it." required maxlength="100" value=${name} change=${setName} />
      <fieldset>
        <legend>It may</legend>
        ${SCOPES.map(([scope, text]) => html`
          <label class="radio" key=${scope}><input type="checkbox" checked=${scopes.includes(scope)} onChange=${() => toggle(scope)} /> <b>${scope}</b> ${text}</label>`)}
      </fieldset>
      ${scopes.includes("api") && html`
        <${Field} label="Only these channels" help="Names or patterns, one a line; none: all channels.">
          ${(ids) => html`<textarea ...${ids} class="code" rows="2" spellcheck=${false} value=${channels} onInput=${(event) => setChannels(event.target.value)} />`}
        <//>`}
    <//>
  `;
}

export function NewKey({ made, close }) {
  const [said, say] = useState("");
  const field = useRef(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(made.key);
      say("Copied.");
    } catch {
      field.current.select();
      say("Selected: copy it with Ctrl+C.");
    }
  };
  return html`
    <${Dialog} title="The key ${made.name}" close=${close}>
      <p>Copy it now: it is shown this once and cannot be read again.</p>
      <div class="secret">
        <input ref=${field} class="code" readonly aria-label="Key" value=${made.key} onFocus=${(event) => event.target.select()} />
        <button type="button" class="primary" onClick=${copy}>Copy</button>
      </div>
      <p role="status" class="said">${said}</p>
      <div class="buttons"><button type="button" onClick=${close}>I have it</button></div>
    <//>
  `;
}
