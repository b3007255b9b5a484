import { html } from "../ui.js";

/** facts: [[name, value, "long"?], …]; those without a value are left out. */
export function Facts({ facts }) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html`<dl class="facts">${known.map(([name, value, long]) => html`<div key=${name} class=${long}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}
