// Whether what the page shows is of now.
import { html, useNow } from "../ui.js";
import { useStore } from "../store.js";
import { tryNow } from "../events.js";
import { span, time } from "../format.js";
import { Status } from "./status.js";

const WORDS = { live: ["ok", "Live"], connecting: ["off", "Connecting"], broken: ["bad", "Stale"] };

export function Connection() {
  const stream = useStore((state) => state.stream);
  const [kind, word] = WORDS[stream.state];
  return html`<span class="connection" role="status"><${Status} kind=${kind}>${word}<//></span>`;
}

/** The words are said once; the seconds that pass are not. */
export function StaleBanner() {
  const stream = useStore((state) => state.stream);
  if (stream.state !== "broken") return html`<div role="alert"></div>`;
  return html`
    <div class="notice bad stale">
      <div role="alert">
        <strong>No connection with the registry since ${time(stream.since)}.</strong> Numbers are from then; nodes go on
        without it. ${sentence(stream.reason)}
      </div>
      <${Retry} at=${stream.retryAt} />
    </div>
  `;
}

function Retry({ at }) {
  const now = useNow();
  const left = at - now;
  return html`
    <span class="retry">
      <span aria-hidden="true">${left > 0.5 ? `Next try in ${span(left)}` : "Trying …"}</span>
      <button type="button" class="small" onClick=${tryNow}>Try now</button>
    </span>
  `;
}

const sentence = (reason) => (reason ? reason[0].toUpperCase() + reason.slice(1).replace(/([^.?!])$/, "$1.") : "");
