// The one event stream of the page: kept open, opened again with growing pauses, and its state told to everybody.
import { apply, forgetLive } from "./live.js";
import { get, set } from "./store.js";
import { stream } from "./sse.js";

const TOPICS = "nodes,links,rules,keys,plugins,audit,metrics";
const LONGEST_PAUSE = 15;

/** A page that nobody has seen for so long lets go of its stream: browsers have six connections for all pages of a
 * server, and a session that is not used has to end. */
const REST_SECONDS = 60;

let current = null;
let attempt = new AbortController();
let resting = false;
let rest = 0;
let wake = () => {};

/** Begin to listen, until `stopEvents`. */
export function startEvents() {
  stopEvents();
  current = new AbortController();
  keep(current.signal);
}

export function stopEvents() {
  current?.abort();
  attempt.abort();
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
    if (resting) {
      await sleep(REST_SECONDS);
      continue;
    }
    attempt = new AbortController();
    let reason = "the connection has ended";
    try {
      await stream("/events", {
        query: { topics: TOPICS },
        signal: attempt.signal,
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
    if (resting) continue;
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
  clearTimeout(rest);
  if (document.visibilityState === "hidden") {
    rest = setTimeout(() => {
      resting = true;
      attempt.abort();
    }, REST_SECONDS * 1000);
    return;
  }
  resting = false;
  tryNow();
});
