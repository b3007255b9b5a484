// Lists of the API: one page, more by the cursor, asked anew when the question changes.
import { html, useCallback, useEffect, useRef, useState } from "../ui.js";
import { read } from "../api.js";
import { plural } from "../format.js";
import { Empty, MissingNodes, Problem, Waiting } from "./page.js";

const LIMIT = 50;

/** {items, next, missing, error, loading, more(), again()}. again asks for as many as are shown, without a flicker. */
export function useList(path, query, { every = null } = {}) {
  const question = JSON.stringify([path, query]);
  const [state, set] = useState({ question, items: null, next: null, missing: [], error: null, loading: true });
  const running = useRef(null);

  const ask = useCallback(async (before) => {
    running.current?.abort();
    const stop = new AbortController();
    running.current = stop;
    set((old) => ({ ...old, loading: true }));
    try {
      const limit = before ? LIMIT : Math.max(LIMIT, Math.min(1000, state.question === question ? (state.items?.length ?? 0) : 0));
      const page = await filled(path, { ...query, limit, cursor: before?.next }, stop.signal);
      set({
        question, items: [...(before?.items ?? []), ...page.items], next: page.next,
        missing: [...new Set([...(before?.missing ?? []), ...(page.missing ?? [])])], error: null, loading: false,
      });
    } catch (error) {
      if (error.name === "AbortError") return;
      set((old) => ({ ...old, items: old.question === question ? old.items : null, question, error, loading: false }));
    }
  }, [question, state]);

  useEffect(() => {
    ask(null);
    return () => running.current?.abort();
  }, [question]);

  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    if (!every) return undefined;
    const timer = setInterval(() => document.visibilityState === "visible" && latest.current(null), every * 1000);
    return () => clearInterval(timer);
  }, [every, question]);

  return { ...state, more: () => ask(state), again: () => ask(null) };
}

/** A page with something on it, or the last one: pages of large clusters may be short, and even empty. */
async function filled(path, query, signal) {
  const missing = new Set();
  for (let cursor = query.cursor; ;) {
    const page = await read(path, { ...query, cursor }, signal);
    for (const node of page.missing ?? []) missing.add(node);
    if (page.items.length || !page.next) return { ...page, missing: [...missing] };
    cursor = page.next;
  }
}

/** Around the table of a list: what is missing, what went wrong, "more". empty: what to do where there is none. */
export function Listing({ list, empty, noun, many = `${noun}s`, children }) {
  const { items, next, missing, error, loading, more, again } = list;
  return html`<div>
    ${error && html`<${Problem} error=${error} again=${again} />`}
    <${MissingNodes} missing=${missing} />
    ${items === null && !error && html`<${Waiting} />`}
    ${items?.length === 0 && html`<${Empty}>${empty}<//>`}
    ${items?.length > 0 && children(items)}
    <p class="more">
      <span role="status">${items?.length > 0 ? next ? `${items.length} and more ${many}` : plural(items.length, noun, many) : ""}</span>
      ${next && html`<button type="button" onClick=${more} aria-disabled=${loading ? "true" : null}>More</button>`}
    </p>
  </div>`;
}

/** One thing of the API: {value, error, again()}. */
export function useThing(path, query = {}, { every = null } = {}) {
  const question = JSON.stringify([path, query]);
  const [state, set] = useState({ question, value: null, error: null });
  const [tries, retry] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    read(path, query, stop.signal).then(
      (value) => set({ question, value, error: null }),
      (error) => error.name !== "AbortError" && set((old) => ({ question, value: old.question === question ? old.value : null, error })),
    );
    return () => stop.abort();
  }, [question, tries]);
  const again = useCallback(() => retry((count) => count + 1), []);
  useEffect(() => {
    if (!every) return undefined;
    const timer = setInterval(() => document.visibilityState === "visible" && again(), every * 1000);
    return () => clearInterval(timer);
  }, [every, again]);
  return { ...state, again };
}
