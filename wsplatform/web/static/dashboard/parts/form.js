import { html, useId } from "../ui.js";

/** A labelled control. children: a function that gets {id, "aria-describedby"} for it. */
export function Field({ label, help, children }) {
  const id = useId();
  const tip = help ? `${id}-help` : null;
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${children({ id, "aria-describedby": tip })}
      ${help && html`<p class="help" id=${tip}>${help}</p>`}
    </div>
  `;
}

export function TextField({ label, help, value, change, ...rest }) {
  return html`<${Field} label=${label} help=${help}>${(ids) => html`
    <input type="text" autocomplete="off" spellcheck=${false} ...${ids} ...${rest} value=${value} onInput=${(event) => change(event.target.value)} />`}<//>`;
}

/** options: [[value, text], …] */
export function SelectField({ label, help, value, change, options }) {
  return html`<${Field} label=${label} help=${help}>${(ids) => html`
    <select ...${ids} value=${value} onChange=${(event) => change(event.target.value)}>
      ${options.map(([word, text]) => html`<option key=${word} value=${word} selected=${word === value}>${text}</option>`)}
    </select>`}<//>`;
}

/** A few choices of which one holds, as a row of buttons. options: [[value, text], …] */
export function Choice({ label, value, change, options }) {
  return html`
    <div class="choice" role="group" aria-label=${label}>
      ${options.map(([word, text]) => html`
        <button type="button" key=${word} aria-pressed=${String(word === value)} onClick=${() => change(word)}>${text}</button>`)}
    </div>
  `;
}

/** What narrows a list: fields in a row; Enter does nothing that typing has not done. */
export function Filters({ label, children }) {
  return html`<form class="filters" role="search" aria-label=${label} onSubmit=${(event) => event.preventDefault()}>${children}</form>`;
}
