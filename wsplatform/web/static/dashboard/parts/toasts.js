import { html } from "../ui.js";
import { dismiss, useStore } from "../store.js";

/** What was just done, said once to everybody. */
export function Toasts() {
  const toasts = useStore((state) => state.toasts);
  return html`
    <div class="toasts" role="status" aria-live="polite">
      ${toasts.map(({ id, text, kind }) => html`
        <div class="toast ${kind}" key=${id}>
          <span>${text}</span>
          <button type="button" class="plain" aria-label="Dismiss" onClick=${() => dismiss(id)}>×</button>
        </div>`)}
    </div>
  `;
}
