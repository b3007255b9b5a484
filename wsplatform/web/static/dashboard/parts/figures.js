// A row of the numbers that matter, each with its last two minutes.
import { html } from "../ui.js";

/** figures: [{name, value, values?, kind?: "bad" | "warn", address?}] */
export function Figures({ label, figures }) {
  return html`
    <dl class="figures" aria-label=${label}>
      ${figures.map(({ name, value, values, kind = "", address }) => html`
        <div class="figure ${kind}" key=${name}>
          <dt>${address ? html`<a href=${address}>${name}</a>` : name}</dt>
          <dd>${value}${values && html`<${Spark} values=${values} />`}</dd>
        </div>`)}
    </dl>
  `;
}

const WIDTH = 100;
const HEIGHT = 24;
const SECONDS = 120;

/** values: [[time, number or null], …]; a line from left, two minutes ago, to right, now. */
function Spark({ values }) {
  const known = values.map(([, value]) => value).filter((value) => typeof value === "number");
  const high = Math.max(...known, 1e-9);
  const end = values.length ? values[values.length - 1][0] : 0;
  let pen = "M";
  const path = values.map(([at, value]) => {
    if (typeof value !== "number") {
      pen = "M";
      return "";
    }
    const x = WIDTH * (1 - (end - at) / SECONDS);
    const point = `${pen}${x.toFixed(1)} ${(HEIGHT - 1.5 - (value / high) * (HEIGHT - 4)).toFixed(1)}`;
    pen = "L";
    return point;
  });
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true"><path d=${path.join("")} /></svg>`;
}
