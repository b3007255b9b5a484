// Questions and forms above the page: <dialog>, with the focus and Escape as browsers do them.
import { html, useEffect, useId, useRef, useState } from "../ui.js";

export function Dialog({ title, close, children }) {
  const box = useRef(null);
  const label = useId();
  useEffect(() => {
    const dialog = box.current;
    dialog.showModal();
    return () => dialog.close(); // gives the focus back
  }, []);
  return html`
    <dialog ref=${box} aria-labelledby=${label} onCancel=${(event) => { event.preventDefault(); close(); }}>
      <h2 id=${label}>${title}</h2>
      ${children}
    </dialog>
  `;
}

/** A form in a dialog. submit: async; its error is shown, and the dialog stays. danger: what is done cannot be undone. */
export function FormDialog({ title, action, submit, close, danger = false, children }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await submit();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return html`
    <${Dialog} title=${title} close=${close}>
      <form onSubmit=${send}>
        ${children}
        <div role="alert">${error && html`<p class="notice bad">${error.message}</p>`}</div>
        <div class="buttons">
          <button type="button" onClick=${close}>Cancel</button>
          <button type="submit" class=${danger ? "danger" : "primary"} aria-disabled=${busy ? "true" : null}>${busy ? "…" : action}</button>
        </div>
      </form>
    <//>
  `;
}
