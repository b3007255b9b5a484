// The frame of a page: its title, which gets the focus on arrival; sections; what stands where nothing is.
import { html, useEffect, useRef } from "../ui.js";

/** children: what can be done here, at the right. back: [address, text]. */
let first = true;

/** The next title gets the focus: somebody has gone somewhere. */
export function leaving() {
  first = false;
}

export function Title({ text, code = false, back, note, children }) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${text} · wsplatform`;
  }, [text]);
  useEffect(() => {
    // Who has come from another page begins at the title, who has just opened this one at its top.
    if (!first) heading.current.focus();
    leaving();
  }, []);
  return html`
    <header class="title">
      <div>
        ${back && html`<a class="back" href=${back[0]}>${back[1]}</a>`}
        <h1 tabindex="-1" ref=${heading} class=${code ? "code" : ""}>${text}</h1>
        ${note && html`<p class="note">${note}</p>`}
      </div>
      ${children && html`<div class="actions">${children}</div>`}
    </header>
  `;
}

export function Section({ title, note, actions, wide = false, children }) {
  return html`
    <section class=${wide ? "section wide" : "section"}>
      ${title && html`<div class="section-title"><h2>${title}</h2>${note && html`<p class="note">${note}</p>`}${actions}</div>`}
      ${children}
    </section>
  `;
}

/** Says what to do. */
export function Empty({ children }) {
  return html`<div class="empty">${children}</div>`;
}

export function Waiting() {
  return html`<p class="empty" role="status">Loading …</p>`;
}

/** An error of the API: its sentence, and a way to ask again. */
export function Problem({ error, again }) {
  return html`
    <div class="notice bad" role="alert">
      <span>${error.message}</span>
      ${again && html`<button type="button" class="small" onClick=${again}>Try again</button>`}
    </div>
  `;
}

/** Nodes that did not answer in time. */
export function MissingNodes({ missing }) {
  if (!missing?.length) return null;
  return html`
    <p class="notice warn" role="status">
      ${missing.join(", ")} did not answer in time: what is on ${missing.length === 1 ? "it" : "them"} is not counted here.
    </p>
  `;
}
