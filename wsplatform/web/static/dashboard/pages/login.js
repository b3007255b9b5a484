import { html, useEffect, useRef, useState } from "../ui.js";
import { logIn } from "../api.js";
import { useStore } from "../store.js";
import { ThemeSwitch } from "../parts/theme.js";
import { Field } from "../parts/form.js";
import { leaving } from "../parts/page.js";

export function LogIn() {
  const farewell = useStore((state) => state.farewell);
  const [key, setKey] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const field = useRef(null);
  useEffect(() => {
    leaving();
    field.current.focus();
  }, []);
  const send = async (event) => {
    event.preventDefault();
    if (busy || !key.trim()) return;
    setBusy(true);
    setError("");
    try {
      await logIn(key.trim());
    } catch (problem) {
      setError(problem.message);
      setBusy(false);
    }
  };
  return html`
    <main class="login">
      <form onSubmit=${send}>
        <h1>Log in to wsplatform</h1>
        <p role="status" class="note">${farewell}</p>
        <${Field} label="Admin key" help="registry.admin_key of the settings, or a key with the scope admin. It is exchanged for a session of this browser and not kept.">
          ${(ids) => html`<input ref=${field} ...${ids} type="password" name="key" autocomplete="current-password" required value=${key} onInput=${(event) => setKey(event.target.value)} />`}
        <//>
        <div role="alert">${error && html`<p class="notice bad">${error}</p>`}</div>
        <div class="buttons"><${ThemeSwitch} /><button type="submit" class="primary" aria-disabled=${busy ? "true" : null}>Log in</button></div>
      </form>
    </main>
  `;
}
