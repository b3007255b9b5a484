// Nodes and their links as a picture: half of each line is what one end says of it. Many nodes: a matrix.
import { html, useLayoutEffect, useMemo, useRef, useState } from "../ui.js";
import { linkState, nodeState } from "./status.js";
import { plural, rate, seconds } from "../format.js";
import { to } from "../router.js";

const MOST_IN_CIRCLE = 12;
const BOX = { width: 124, height: 46 };

export function Picture({ nodes, links, rates, silence }) {
  const [width, frame] = useWidth(640);
  const circle = nodes.length <= MOST_IN_CIRCLE;
  const size = { width: Math.max(width - 18, 260), height: nodes.length <= 2 ? 130 : nodes.length <= 6 ? 250 : 400 };
  const places = circle ? around(nodes, size) : {};
  const lines = links.filter((link) => places[link.node] && places[link.peer]);
  return html`
    <div class="picture" ref=${frame}>
      ${!circle && html`<${Matrix} nodes=${nodes} links=${links} silence=${silence} />`}
      ${circle && html`
        <svg viewBox="0 0 ${size.width} ${size.height}" role="group" aria-label="Nodes and links">
          <g aria-hidden="true">${lines.map((link) => html`<${Line} key=${`${link.node}/${link.peer}`} link=${link} places=${places} />`)}</g>
          ${nodes.map((node) => html`<${Box} key=${node.id} node=${node} at=${places[node.id]} rates=${rates[node.id]} silence=${silence(node)} />`)}
        </svg>`}
    </div>
  `;
}

/** The width of an element in pixels, so that text in the picture is as large as beside it. */
function useWidth(first) {
  const [width, set] = useState(first);
  const frame = useRef(null);
  useLayoutEffect(() => {
    const watcher = new ResizeObserver(([entry]) => set(Math.round(entry.contentRect.width)));
    watcher.observe(frame.current);
    return () => watcher.disconnect();
  }, []);
  return [width, frame];
}

/** Places on an ellipse that fills the room there is; two nodes beside each other. */
function around(nodes, { width, height }) {
  const begin = nodes.length === 2 ? Math.PI : -Math.PI / 2;
  const turns = nodes.map((_, number) => begin + (2 * Math.PI * number) / nodes.length);
  const x = spread(turns.map(Math.cos), BOX.width / 2 + 2, width - BOX.width / 2 - 2);
  const y = spread(turns.map(Math.sin), BOX.height / 2 + 2, height - BOX.height / 2 - 2);
  return Object.fromEntries(nodes.map((node, number) => [node.id, { x: x[number], y: y[number] }]));
}

function spread(values, low, high) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (most - least < 1e-6) return values.map(() => (low + high) / 2);
  return values.map((value) => low + ((value - least) / (most - least)) * (high - low));
}

function Line({ link, places }) {
  const from = places[link.node];
  const end = places[link.peer];
  const middle = { x: (from.x + end.x) / 2, y: (from.y + end.y) / 2 };
  const { kind, text } = linkState(link);
  return html`
    <line class="link ${kind}" x1=${from.x} y1=${from.y} x2=${middle.x} y2=${middle.y}>
      <title>${link.node} → ${link.peer}: ${text}, round trip ${seconds(link.rtt || null)}</title>
    </line>
  `;
}

function Box({ node, at, rates, silence }) {
  const { kind, text } = nodeState(node, silence);
  const sessions = plural(node.status?.sessions ?? 0, "session");
  const below = kind === "ok" ? sessions : text;
  return html`
    <a href=${to("nodes", node.id)} class="box ${kind}">
      <title>${node.id}: ${text}, ${sessions}, ${rate(rates?.deliveries)} delivered</title>
      <rect x=${at.x - BOX.width / 2} y=${at.y - BOX.height / 2} width=${BOX.width} height=${BOX.height} rx="4" />
      <text class="name" x=${at.x} y=${at.y - 3} text-anchor="middle">${shorter(node.id, 17)}</text>
      <text class="below" x=${at.x} y=${at.y + 14} text-anchor="middle">${shorter(below, 24)}</text>
    </a>
  `;
}

function Matrix({ nodes, links, silence }) {
  const states = new Map(links.map((link) => [`${link.node}/${link.peer}`, linkState(link)]));
  const cell = Math.max(8, Math.min(16, Math.floor(560 / nodes.length)));
  const width = NAMES + nodes.length * cell;
  return html`
    <svg class="matrix" viewBox="0 0 ${width} ${nodes.length * cell}" style=${{ maxWidth: `${width * 1.25}px` }}
      role="group" aria-label="Nodes, and in each row the links with the others">
      ${nodes.map((node, row) => html`
        <${Row} key=${node.id} id=${node.id} state=${nodeState(node, silence(node))} top=${row * cell} cell=${cell} cells=${nodes.map((peer) => ({
          peer: peer.id, ...(node === peer ? SELF : states.get(`${node.id}/${peer.id}`) ?? NO_LINK),
        }))} />`)}
    </svg>
  `;
}

const NAMES = 130;
const SELF = { kind: "self", text: "" };
const NO_LINK = { kind: "off", text: "no link" };

/** Drawn again only when something in it is another: fifty nodes have 2,450 links. */
function Row({ id, state, top, cell, cells }) {
  const seen = [state.text, top, cell, ...cells.map(({ peer, text }) => `${peer} ${text}`)].join("\n");
  return useMemo(() => html`
    <a href=${to("nodes", id)} class="row ${state.kind}">
      <title>${id}: ${state.text}</title>
      <rect class="mark" x="0" y=${top + 1} width="4" height=${cell - 2} />
      <text x="10" y=${top + cell * 0.78} font-size=${cell * 0.8}>${shorter(id, 20)}</text>
      <g aria-hidden="true">${cells.map(({ peer, kind, text }, column) => html`
        <rect class="cell ${kind}" x=${NAMES + column * cell + 0.5} y=${top + 0.5} width=${cell - 1} height=${cell - 1}>
          ${text && html`<title>${id} → ${peer}: ${text}</title>`}
        </rect>`)}
      </g>
    </a>`, [seen]);
}

const shorter = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
