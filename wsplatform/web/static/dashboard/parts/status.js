// A state: a shape, a colour and a word, so that none of them is needed alone.
import { html } from "../ui.js";

/** kind: ok | warn | bad | off */
export function Status({ kind, children }) {
  return html`<span class="status ${kind}"><svg class="mark" viewBox="0 0 10 10" aria-hidden="true"><path d=${SHAPES[kind]} /></svg>${children}</span>`;
}

const SHAPES = {
  ok: "M5 1a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
  warn: "M5 .8 9.6 9H.4z",
  bad: "M1 1h8v8H1z",
  off: "M5 1a4 4 0 1 0 0 8 4 4 0 0 0 0-8zm0 1.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5z",
};

export function nodeState(node, silence = 0) {
  if (silence >= 3) return { kind: "bad", text: `silent for ${Math.round(silence)} s` };
  if (node.draining) return { kind: "warn", text: "draining" };
  if (!node.ready) return { kind: "bad", text: `not ready: ${node.state}` };
  return { kind: "ok", text: "ready" };
}

export function linkState(link) {
  if (link.state === "up") return { kind: "ok", text: "up" };
  if (link.state === "left") return { kind: "off", text: "peer has left" };
  return { kind: link.state === "connecting" ? "bad" : "warn", text: link.state };
}
