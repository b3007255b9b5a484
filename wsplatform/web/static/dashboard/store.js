// What all pages share: one value, replaced as a whole, and those who look at a part of it.
import { useEffect, useState } from "./ui.js";

/** See live.js. */
export const NO_TROUBLE = { drops: [], stalls: [], gone: [] };

const listeners = new Set();
let state = {
  /** undefined: not known yet; null: nobody is logged in; else {key: {id, name}, expires_at}. */
  session: undefined,
  /** Why the last session ended, for the log-in page. */
  farewell: "",
  /** The event stream: {state: "connecting" | "live" | "broken", since, retryAt, reason}; times of this machine. */
  stream: { state: "connecting", since: Date.now() / 1000, retryAt: null, reason: "" },
  view: null,
  nodes: null,
  links: null,
  plugins: null,
  config: null,
  keysAt: 0,
  audit: null,
  metricsTo: null,
  /** By node id; see live.js. */
  rates: {},
  heard: {},
  trouble: NO_TROUBLE,
  history: [],
  toasts: [],
};

export function get() {
  return state;
}

export function set(patch) {
  state = { ...state, ...patch };
  for (const listener of [...listeners]) listener();
}

/** The part of the state that `select` chooses; the caller is drawn again when that is another one. */
export function useStore(select) {
  const [part, setPart] = useState(() => ({ value: select(state) }));
  useEffect(() => {
    const look = () => {
      const value = select(state);
      setPart((before) => (Object.is(before.value, value) ? before : { value }));
    };
    listeners.add(look);
    look();
    return () => listeners.delete(look);
  }, []);
  return part.value;
}

let toasts = 0;

/** Say something in passing. kind: "ok" | "bad". */
export function toast(text, kind = "ok") {
  const id = ++toasts;
  set({ toasts: [...state.toasts, { id, text, kind }] });
  setTimeout(() => dismiss(id), kind === "bad" ? 12000 : 5000);
}

export function dismiss(id) {
  set({ toasts: state.toasts.filter((one) => one.id !== id) });
}
