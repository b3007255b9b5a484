// Publications of a channel as they come.
import { html, useEffect, useRef, useState } from "../ui.js";
import { path } from "../api.js";
import { stream } from "../sse.js";
import { count, plural, time } from "../format.js";
import { Section } from "./page.js";
import { Status } from "./status.js";

const KEPT = 100;
const DRAW_SECONDS = 0.1;

export function Watch({ channel }) {
  const [on, turn] = useState(false);
  const { state, reason, items, seen, clear } = useWatch(channel, on);
  const actions = html`
    ${on && html`<span role="status"><${Status} kind=${STATES[state][0]}>${STATES[state][1]}<//></span>`}
    ${items.length > 0 && html`<button type="button" onClick=${clear}>Clear</button>`}
    <button type="button" aria-pressed=${String(on)} onClick=${() => turn(!on)}>Watch</button>`;
  return html`
    <${Section} title="Publications" wide actions=${actions}>
      <div role="alert">${reason && html`<p class="notice bad">${reason}</p>`}</div>
      ${!items.length && html`<p class="empty">${on ? "Nothing was published since." : "Watch shows what is published on this channel from now on. Nothing is kept."}</p>`}
      ${items.length > 0 && html`<div>
        <p class="note">${plural(seen, "publication")} seen${seen > KEPT ? `; the newest ${count(KEPT)} are shown` : ""}.</p>
        <div class="publications" tabindex="0" role="region" aria-label="Publications, newest first">
          <ol>${items.map((item) => html`<${Item} key=${item.number} item=${item} />`)}</ol>
        </div>
      </div>`}
    <//>
  `;
}

function Item({ item: { at, data, info, tags } }) {
  const text = JSON.stringify(data, null, 1);
  return html`
    <li>
      <time>${time(at)}</time>
      <span class="by">${info ? `${info.user || "anonymous"} (${info.client})` : "backend"}${tags ? ` · ${Object.entries(tags).map(([name, value]) => `${name}=${value}`).join(" ")}` : ""}</span>
      <pre>${text.length < 100 ? JSON.stringify(data) : text}</pre>
    </li>
  `;
}

const STATES = { opening: ["off", "Connecting"], watching: ["ok", "Watching"], ended: ["bad", "Not connected"] };

/** The newest first. Drawn at most ten times a second, however many come. */
function useWatch(channel, on) {
  const [shown, show] = useState({ state: "opening", reason: "", items: [], seen: 0 });
  const kept = useRef({ items: [], seen: 0, dirty: false });
  useEffect(() => {
    if (!on) return undefined;
    const stop = new AbortController();
    const tell = (state, reason = "") => show((old) => ({ ...old, state, reason }));
    const add = (publication) => {
      const { current } = kept;
      current.seen += 1;
      current.items = [{ ...publication, at: Date.now() / 1000, number: current.seen }, ...current.items.slice(0, KEPT - 1)];
      current.dirty = true;
    };
    const timer = setInterval(() => {
      if (!kept.current.dirty) return;
      kept.current.dirty = false;
      show((old) => ({ ...old, items: kept.current.items, seen: kept.current.seen }));
    }, DRAW_SECONDS * 1000);
    follow(channel, { signal: stop.signal, tell, add });
    return () => {
      stop.abort();
      clearInterval(timer);
      tell("opening");
    };
  }, [channel, on]);
  const clear = () => {
    kept.current = { items: [], seen: 0, dirty: false };
    show((old) => ({ ...old, items: [], seen: 0 }));
  };
  return { ...shown, clear };
}

async function follow(channel, { signal, tell, add }) {
  for (let pause = 1; !signal.aborted; pause = Math.min(pause * 2, 15)) {
    tell("opening");
    let reason = "The stream has ended; publications of meanwhile are not shown.";
    try {
      await stream(path("channels", channel, "watch"), {
        signal,
        event: (name, data) => {
          if (name === "watching") tell("watching");
          if (name === "publication") add(data);
          pause = 1;
        },
      });
    } catch (error) {
      reason = error.message;
      if (error.status >= 400 && error.status < 500) {
        tell("ended", reason);
        return;
      }
    }
    if (signal.aborted) return;
    tell("ended", reason);
    await new Promise((resolve) => setTimeout(resolve, pause * 1000));
  }
}
