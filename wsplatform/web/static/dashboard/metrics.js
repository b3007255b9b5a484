// Series of the metrics API for charts: over a range that ends now, asked again when new samples are there.
import { useEffect, useRef, useState } from "./ui.js";
import { read } from "./api.js";
import { useStore } from "./store.js";

/** name → [text, seconds, step in seconds]. */
export const RANGES = {
  "5m": ["5 min", 300, 10],
  "15m": ["15 min", 900, 10],
  "1h": ["1 h", 3600, 20],
  "6h": ["6 h", 21600, 120],
  "24h": ["24 h", 86400, 300],
  "7d": ["7 d", 604800, 3600],
  "30d": ["30 d", 2592000, 10800],
};

const NOTHING = { question: null, stop: new AbortController() };

/** Of a line with `by`, so many series are asked for, the largest: nodes that get a new id at each start are many in a month. */
export const MOST_LINES = 8;

/** lines: [{metric, aggregation?, by?, node?, label?, name?, word?(label)}]. {times, series: [{name, values}], leftOut, error,
 * loading}.
 *
 * A line with `by` gives a series for each node or label; leftOut: how many of those there are beside the largest. Times are
 * seconds since 1970. */
export function useSeries(lines, range) {
  const [, length, step] = RANGES[range];
  const question = JSON.stringify([lines, range]);
  const [state, set] = useState({ question, times: [], series: null, leftOut: 0, error: null, loading: true });
  const to = useStore((all) => all.metricsTo);
  const asked = useRef({ question: null, to: 0 });
  const running = useRef(NOTHING);

  useEffect(() => () => {
    running.current.stop.abort();
    running.current = NOTHING;
  }, [question]);
  useEffect(() => {
    // An answer that takes longer than samples come is waited for: asked anew each time, it would never be there.
    if (running.current.question === question) return;
    // A step that has not ended yet changes little: long ranges are not asked for every ten seconds.
    const wait = asked.current.question === question && to !== null && to < asked.current.to + Math.min(step, 300);
    if (wait) return;
    const stop = new AbortController();
    running.current = { question, stop };
    set((old) => ({ ...old, loading: true }));
    load(lines, { length, step, to }, stop.signal).then(
      (found) => {
        asked.current = { question, to: to ?? 0 };
        set({ question, ...found, error: null, loading: false });
      },
      (error) => error.name !== "AbortError" && set((old) => ({
        ...(old.question === question ? old : { times: [], series: null, leftOut: 0 }), question, error, loading: false,
      })),
    ).finally(() => {
      if (running.current.stop === stop) running.current = NOTHING;
    });
  }, [question, to]);
  return state;
}

async function load(lines, { length, step, to }, signal) {
  const end = to ?? Date.now() / 1000;
  const until = Math.ceil(end / step) * step;
  const query = { from: until - length, to: until, step };
  const answers = await Promise.all(lines.map(({ name, word, ...line }) =>
    read("/metrics", { ...query, ...line, ...(line.by ? { most: MOST_LINES } : {}) }, signal)));
  const first = answers[0];
  const points = Math.max(1, Math.ceil((first.to - first.from) / first.step));
  const times = Array.from({ length: points }, (_, number) => first.from + number * first.step);
  const series = answers.flatMap((answer, number) => answer.series.map((one) => ({
    name: [lines[number].name, lines[number].by === "node" ? one.node : (lines[number].word ?? String)(one.label)].filter(Boolean).join(" "),
    values: times.map((_, place) => one.values[place] ?? null),
  })));
  const leftOut = answers.reduce((all, answer) => all + answer.left_out, 0);
  return { times, series, leftOut, from: query.from, until };
}
