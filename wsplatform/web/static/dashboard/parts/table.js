// A table with a caption, that becomes a list of cards where it is narrow. Roles are written out, for display changes them.
import { html, useState } from "../ui.js";

/** columns: [{key, title, cell(row), sort(row)?, num?, end?, extra?}], the first is the head of its row.
 *
 * num, end: at the right. extra: left out where a table would be too wide.
 *
 * order: key of the column by which rows are sorted at first, with "-" before it for the largest first; without it
 * rows stay as they come. */
export function Table({ caption, columns, rows, rowKey, order = "" }) {
  const [sorted, sortBy] = useState(order);
  const down = sorted.startsWith("-");
  const by = columns.find((column) => column.key === sorted.replace("-", ""));
  const shown = by?.sort ? [...rows].sort(comparing(by.sort, down)) : rows;
  return html`
    <table role="table">
      <caption class="unseen">${caption}</caption>
      <thead role="rowgroup"><tr role="row">${columns.map((column) => html`
        <${Head} key=${column.key} column=${column} sorted=${by === column ? (down ? "descending" : "ascending") : null}
          sort=${() => sortBy(by === column && !down ? `-${column.key}` : column.key)} />`)}
      </tr></thead>
      <tbody role="rowgroup">${shown.map((row) => html`<${Row} key=${rowKey(row)} row=${row} columns=${columns} />`)}</tbody>
    </table>
  `;
}

function Head({ column, sorted, sort }) {
  const className = classOf(column);
  if (!column.sort) return html`<th role="columnheader" scope="col" class=${className}>${column.title || html`<span class="unseen">Actions</span>`}</th>`;
  return html`
    <th role="columnheader" scope="col" class=${className} aria-sort=${sorted}>
      <button type="button" class="sort" onClick=${sort}>${column.title}<span class="arrow" aria-hidden="true">${sorted ? (sorted === "descending" ? "↓" : "↑") : ""}</span></button>
    </th>
  `;
}

function Row({ row, columns }) {
  const [first, ...rest] = columns;
  return html`
    <tr role="row">
      <th role="rowheader" scope="row">${first.cell(row)}</th>
      ${rest.map((column) => html`
        <td role="cell" key=${column.key} class=${classOf(column)} data-label=${column.title}>${column.cell(row)}</td>`)}
    </tr>
  `;
}

const classOf = (column) => [column.num && "num", column.end && "end", column.extra && "extra"].filter(Boolean).join(" ");

function comparing(value, down) {
  const sign = down ? -1 : 1;
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === y) return 0;
    if (x === null || x === undefined) return 1;
    if (y === null || y === undefined) return -1;
    return x < y ? -sign : sign;
  };
}
