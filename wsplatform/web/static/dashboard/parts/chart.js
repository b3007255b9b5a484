// One chart: title, what the lines are with the value under the cursor, the picture, and the same as a table.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../ui.js";
import { COLOURS, UNITS, draw, resize } from "../charts.js";
import { MOST_LINES, RANGES, useSeries } from "../metrics.js";
import * as format from "../format.js";
import { useKept } from "../ui.js";
import { Choice } from "./form.js";

const TABLE_ROWS = 60;

/** The range that all charts show, kept by this browser. */
export function useRange() {
  const [range, set] = useKept("range", "15m");
  return [RANGES[range] ? range : "15m", set];
}

export function RangeChoice({ range, change }) {
  const options = Object.entries(RANGES).map(([name, [text]]) => [name, text]);
  return html`
    <span class="note">Times are in ${format.zone()}</span>
    <${Choice} label="Time range of the charts" value=${range} change=${change} options=${options} />`;
}

/** lines: see useSeries; unit: see UNITS; empty: what it means when there is no line at all. */
export function Chart({ title, lines, unit, range, empty = "Nothing was counted in this time." }) {
  const { times, series, leftOut, from, until, error, loading } = useSeries(lines, range);
  const [table, setTable] = useState(false);
  const all = (series ?? []).filter((one) => one.values.some((value) => value !== null));
  const drawn = largest(all);
  return html`
    <figure class="chart" aria-busy=${String(loading)}>
      <figcaption>
        <h3>${title}</h3>
        ${drawn.length > 0 && html`<button type="button" class="plain small" aria-pressed=${String(table)} onClick=${() => setTable(!table)}>Table<span class="unseen"> of ${title}</span></button>`}
      </figcaption>
      ${error && html`<p class="notice bad">${error.message}</p>`}
      ${!error && series === null && html`<p class="none">Loading …</p>`}
      ${!error && series !== null && drawn.length === 0 && html`<p class="none">${empty}</p>`}
      ${drawn.length > 0 && (table
        ? html`<${Values} title=${title} times=${times} series=${drawn} unit=${unit} />`
        : html`<${Plot} title=${title} times=${times} series=${drawn} unit=${unit} from=${from} until=${until} range=${range} />`)}
      ${all.length + leftOut > drawn.length && html`<p class="note">The ${drawn.length} largest of ${all.length + leftOut} are drawn.</p>`}
    </figure>
  `;
}

function Plot({ title, times, series, unit, from, until, range }) {
  const place = useRef(null);
  const [cursor, setCursor] = useState(null);
  const [theme, redraw] = useState(0);
  useEffect(() => {
    const changed = () => redraw((count) => count + 1);
    const system = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("themechange", changed);
    system.addEventListener("change", changed);
    return () => {
      removeEventListener("themechange", changed);
      system.removeEventListener("change", changed);
    };
  }, []);
  useLayoutEffect(() => {
    const plot = draw(place.current, { times, series, unit, from, until, moved: setCursor });
    const watcher = new ResizeObserver(() => resize(plot, place.current));
    watcher.observe(place.current);
    return () => {
      watcher.disconnect();
      plot.destroy();
      setCursor(null);
    };
  }, [times, theme]);
  const text = UNITS[unit];
  return html`<div>
    <ul class="legend">
      ${series.map((one, number) => html`
        <li key=${one.name}>
          <${Swatch} number=${number} /> ${one.name && html`<span>${one.name}</span>`}
          <b>${text(cursor === null ? last(one.values) : one.values[cursor])}</b>
        </li>`)}
      <li class="at">${cursor === null ? "" : format.date(times[cursor])}</li>
    </ul>
    <div class="plot" ref=${place} role="img" aria-label=${summary(title, series, text, range)}></div>
  </div>`;
}

function Swatch({ number }) {
  const dash = ["", "5 2.5", "1.5 2.5", "7 2 1.5 2"][Math.floor(number / 2) % 4];
  return html`<svg class=${`swatch c${number % COLOURS + 1}`} viewBox="0 0 16 4" aria-hidden="true"><path d="M0 2h16" stroke-dasharray=${dash} /></svg>`;
}

function Values({ title, times, series, unit }) {
  const text = UNITS[unit];
  const step = Math.ceil(times.length / TABLE_ROWS);
  const places = times.map((_, place) => place).filter((place) => (times.length - 1 - place) % step === 0).reverse();
  return html`
    <div class="values" tabindex="0" role="region" aria-label="${title}, as a table">
      <table>
        <caption class="unseen">${title}, newest first${step > 1 ? `, each ${step}th value` : ""}</caption>
        <thead><tr><th scope="col">Time</th>${series.map((one) => html`<th scope="col" class="num" key=${one.name}>${one.name || "Value"}</th>`)}</tr></thead>
        <tbody>${places.map((place) => html`
          <tr key=${times[place]}><th scope="row">${format.date(times[place])}</th>${series.map((one) => html`<td class="num">${text(one.values[place])}</td>`)}</tr>`)}
        </tbody>
      </table>
    </div>
  `;
}

function summary(title, series, text, range) {
  const lines = series.map(({ name, values }) => {
    const known = values.filter((value) => value !== null);
    const gaps = values.length - known.length ? `, ${values.length - known.length} of ${values.length} values missing` : "";
    return `${name ? `${name}: ` : ""}last ${text(last(values))}, lowest ${text(Math.min(...known))}, highest ${text(Math.max(...known))}${gaps}`;
  });
  return `${title}, last ${RANGES[range][0]}. ${lines.join(". ")}.`;
}

function last(values) {
  for (let place = values.length - 1; place >= 0; place -= 1) if (values[place] !== null) return values[place];
  return null;
}

function largest(series) {
  if (series.length <= MOST_LINES) return series;
  const size = (one) => one.values.reduce((all, value) => all + (value ?? 0), 0);
  return [...series].sort((a, b) => size(b) - size(a)).slice(0, MOST_LINES);
}
