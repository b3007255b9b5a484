// The two minutes before the page was opened, for the lines behind the figures.
import { ApiError, read } from "./api.js";
import { ahead } from "./silence.js";
import { get, set } from "./store.js";

const SECONDS = 120;
const STEP = 10;
const METRICS = {
  sessions: "sessions", subscriptions: "subscriptions", publications: "publications", deliveries: "deliveries",
  errors: "errors", sent: "sent", p99: "delivery",
};

export async function recall() {
  const to = Math.floor(Date.now() / 1000 - ahead());
  const names = Object.keys(METRICS);
  try {
    const answers = await Promise.all(names.map((name) => read("/metrics", { metric: METRICS[name], from: to - SECONDS, to, step: STEP })));
    const { from } = answers[0];
    const moments = Array.from({ length: SECONDS / STEP }, (_, number) => ({
      at: from + (number + 1) * STEP + ahead(),
      ...Object.fromEntries(names.map((name, place) => [name, answers[place].series[0]?.values[number] ?? null])),
    }));
    const { history } = get();
    set({ history: [...moments.filter((one) => one.at < (history[0]?.at ?? 0)), ...history] });
  } catch (error) {
    // The lines then begin with the page; what is wrong with the metrics is told by the charts.
    if (!(error instanceof ApiError)) throw error;
  }
}
