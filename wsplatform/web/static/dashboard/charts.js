// uPlot as this dashboard uses it: lines with gaps, one unit, colours from the style sheet, cursors that move together.
import uPlot from "./vendor/uplot.js";
import * as format from "./format.js";

export const UNITS = {
  "": format.number,
  rate: format.rate,
  seconds: format.seconds,
  bytes: format.bytes,
  bytesRate: format.bytesRate,
  percent: format.percent,
};
export const COLOURS = 8;
const HEIGHT = 150;
const BINARY = Array.from({ length: 44 }, (_, power) => 2 ** power);
const DASHES = [[], [6, 3], [2, 3], [10, 3, 2, 3]];

export const dashOf = (number) => DASHES[Math.floor(number / 2) % DASHES.length];

/** Draw into `place`. moved(index or null): the cursor is over that moment. Call the result's destroy at the end. */
export function draw(place, { times, series, unit, from, until, moved }) {
  const colour = palette(place);
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const options = {
    width: Math.max(120, place.clientWidth),
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 16, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: "all" }, points: { size: 6 } },
    scales: {
      x: { time: true, range: () => [from, until] },
      y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : 1] },
    },
    axes: [
      { ...axis, size: 24, space: 70, values: (_, marks, __, ___, step) => marks.map((mark) => moment(mark, step)) },
      { ...axis, size: (_, values) => 12 + 6.2 * Math.max(2, ...(values ?? []).map((value) => value.length)), space: 32,
        ...(unit.startsWith("bytes") ? { incrs: BINARY } : {}),
        values: (_, marks) => labels(marks, unit) },
    ],
    series: [{}, ...series.map((one, number) => ({
      label: one.name,
      stroke: colour(`--c${number % COLOURS + 1}`),
      dash: dashOf(number),
      width: 1.5,
      spanGaps: false,
      points: { show: (_, index, start, end) => lonely(one.values, start, end), size: 4 },
    }))],
    hooks: { setCursor: [(plot) => moved(plot.cursor.idx ?? null)] },
  };
  return new uPlot(options, [times, ...series.map((one) => one.values)], place);
}

function labels(marks, unit) {
  const texts = unit === "" || unit === "rate" ? format.marks(marks) : marks.map(UNITS[unit]);
  return texts.map((text, place) => (marks[place] === 0 ? "0" : unit === "rate" ? `${text}/s` : text));
}

export function resize(plot, place) {
  plot.setSize({ width: Math.max(120, place.clientWidth), height: HEIGHT });
}

// A value between two gaps is no line: such series get points.
function lonely(values, start, end) {
  let seen = 0;
  for (let place = start; place <= end; place += 1) {
    if (values[place] === null) continue;
    seen += 1;
    if ((values[place - 1] ?? null) === null && (values[place + 1] ?? null) === null) return true;
  }
  return seen === 1;
}

/** The time of the day, or the day where one begins. */
function moment(mark, step) {
  const text = format.time(mark);
  if (step >= 86400 || text === "00:00:00") return format.dayOf(mark);
  return step >= 60 ? text.slice(0, 5) : text;
}

// A property with light-dark() is not computed by itself, only where a colour is.
function palette(place) {
  const probe = place.ownerDocument.createElement("span");
  place.append(probe);
  const found = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["--muted", "--grid", ...Array.from({ length: COLOURS }, (_, number) => `--c${number + 1}`)];
  const colours = Object.fromEntries(names.map((name) => [name, found(name)]));
  probe.remove();
  return (name) => colours[name];
}
