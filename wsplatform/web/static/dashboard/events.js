// The one event stream of the page: kept open, opened again with growing pauses, and its state told to everybody.
import { apply, forgetLive } from "./live.js";
import { get, set } from "./store.js";
import { stream } from "./sse.js";

const TOPICS = "nodes,links,rules,keys,plugins,audit,metrics";
const LONGEST_PAUSE = 15;

let current = null;
let wake = () => {};

/** Begin to listen, until `stopEvents`. */
export function startEvents() {
  stopEvents();
  current = new AbortController();
  keep(current.signal);
}

export function stopEvents() {
  current?.abort();
  current = null;
  wake();
  forgetLive();
}

/** Do not wait for the next try. */
export function tryNow() {
  wake();
}

async function keep(signal) {
  let failures = 0;
  while (!signal.aborted) {
    let reason = "the connection has ended";
    try {
      await stream("/events", {
        query: { topics: TOPICS },
        signal,
        event: (topic, data) => {
          failures = 0;
          if (get().stream.state !== "live") tell("live");
          apply(topic, data);
        },
      });
    } catch (error) {
      reason = error.message;
    }
    if (signal.aborted) return;
    const pause = Math.min(LONGEST_PAUSE, 2 ** failures++) * (0.75 + Math.random() / 2);
    tell("broken", Date.now() / 1000 + pause, reason);
    await sleep(pause);
  }
}

function tell(state, retryAt = null, reason = "") {
  const before = get().stream;
  const since = before.state === state ? before.since : Date.now() / 1000;
  set({ stream: { state, since, retryAt, reason } });
}

function sleep(seconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

addEventListener("online", tryNow);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") tryNow();
});
