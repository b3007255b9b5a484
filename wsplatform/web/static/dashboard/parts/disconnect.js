import { html, useState } from "../ui.js";
import { path, request } from "../api.js";
import { toast } from "../store.js";
import { FormDialog } from "./dialog.js";

/** Asks first; a client can be told to come back, or not to. */
export function Disconnect({ session, close, done }) {
  const [reconnect, setReconnect] = useState(false);
  const submit = async () => {
    await request("DELETE", path("sessions", session.id), { query: { reconnect } });
    toast(`Session ${session.id} is disconnected.`);
    close();
    done();
  };
  const choice = (value, text) => html`
    <label class="radio"><input type="radio" name="reconnect" checked=${reconnect === value} onChange=${() => setReconnect(value)} /> ${text}</label>`;
  return html`
    <${FormDialog} title="Disconnect this session?" action="Disconnect" danger submit=${submit} close=${close}>
      <p>Session <span class="code">${session.id}</span> of ${session.user ? html`user <span class="code">${session.user}</span>` : "an anonymous client"} on ${session.node}.</p>
      <fieldset>
        <legend>The client is told</legend>
        ${choice(false, "to stay away: SDKs do not connect again")}
        ${choice(true, "to connect again: it comes back by itself")}
      </fieldset>
    <//>
  `;
}
