// Numbers, times and sizes as people read them. What is not known is a dash.
export const NOTHING = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const timeOfDay = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const MOMENT = { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" };
const moment = new Intl.DateTimeFormat("en-GB", MOMENT);
const long = new Intl.DateTimeFormat("en-GB", { ...MOMENT, year: "numeric" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const offset = new Intl.DateTimeFormat("en", { timeZoneName: "shortOffset" });

const unknown = (value) => value === null || value === undefined || Number.isNaN(value);

export function count(value) {
  if (unknown(value)) return NOTHING;
  return Math.abs(value) < 100000 ? whole.format(value) : short.format(value);
}

/** Three digits that matter. */
export function number(value) {
  if (unknown(value)) return NOTHING;
  const size = Math.abs(value);
  if (size >= 100000) return short.format(value);
  if (size >= 100 || Number.isInteger(value)) return whole.format(value);
  return String(Number(value.toPrecision(size < 1 ? 2 : 3)));
}

/** The marks of an axis: all in thousands, or none. */
export const marks = (values) => (Math.max(0, ...values) < 10000 ? values.map(number) : values.map((value) => (value ? short.format(value) : "0")));

export const rate = (value) => (unknown(value) ? NOTHING : `${number(value)}/s`);

export function seconds(value) {
  if (unknown(value)) return NOTHING;
  if (value === 0) return "0 ms";
  if (value < 0.001) return `${number(value * 1e6)} µs`;
  if (value < 1) return `${number(value * 1e3)} ms`;
  return value < 120 ? `${number(value)} s` : span(value);
}

/** A long time, in its two largest units. */
export function span(value) {
  if (unknown(value)) return NOTHING;
  const total = Math.max(0, Math.round(value));
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => total >= size);
  if (first < 0) return "0 s";
  const [size, name] = parts[first];
  const text = `${Math.floor(total / size)} ${name}`;
  const next = parts[first + 1];
  const rest = next ? Math.floor((total % size) / next[0]) : 0;
  return rest ? `${text} ${rest} ${next[1]}` : text;
}

/** By how much the clock of a node is wrong. */
export const clock = (ahead) => `${span(Math.abs(ahead))} ${ahead > 0 ? "ahead of" : "behind"} the registry's`;

export const ago = (then, now) => (unknown(then) ? NOTHING : now - then < 1 ? "now" : `${span(now - then)} ago`);

export function bytes(value) {
  if (unknown(value)) return NOTHING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  let size = value;
  while (Math.abs(size) >= 1024 && step < units.length - 1) {
    size /= 1024;
    step += 1;
  }
  return `${number(step === 0 ? Math.round(size) : size)} ${units[step]}`;
}

export const bytesRate = (value) => (unknown(value) ? NOTHING : `${bytes(value)}/s`);
export const percent = (value) => (unknown(value) ? NOTHING : `${number(value * 100)} %`);
export const time = (value) => (unknown(value) ? NOTHING : timeOfDay.format(value * 1000));
export const dayOf = (value) => day.format(value * 1000);

/** With the year where it is not this one. */
export function date(value) {
  if (unknown(value)) return NOTHING;
  const then = new Date(value * 1000);
  return (then.getFullYear() === new Date().getFullYear() ? moment : long).format(then);
}

/** The zone of all these times, the browser's: "UTC+1". The command line and logs tell times in UTC. */
export function zone() {
  const found = offset.formatToParts().find((part) => part.type === "timeZoneName");
  return found.value.replace("GMT", "UTC");
}

/** "1 node", "3 nodes". */
export const plural = (n, word, many = `${word}s`) => `${count(n)} ${n === 1 ? word : many}`;
