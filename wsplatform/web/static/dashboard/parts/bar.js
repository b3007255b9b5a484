import { html } from "../ui.js";

/** part: 0 to 1. The number stands beside it. */
export function Bar({ part }) {
  return html`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect width=${100 * part} height="6" /></svg>`;
}
