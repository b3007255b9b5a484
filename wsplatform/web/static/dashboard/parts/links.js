import { html } from "../ui.js";
import { ahead } from "../silence.js";
import { linkKey, sum } from "../live.js";
import * as format from "../format.js";
import { to } from "../router.js";
import { Status, linkState } from "./status.js";
import { Table } from "./table.js";

export function LinkTable({ links }) {
  return html`<${Table} caption="Links" rows=${links} rowKey=${linkKey} order="node" columns=${COLUMNS} />`;
}

const node = (id) => html`<a class="code" href=${to("nodes", id)}>${id}</a>`;
const number = (key, title, value, text, extra = false) => ({ key, title, num: true, extra, sort: value, cell: (link) => text(value(link)) });
const causes = (dropped) => Object.entries(dropped).map(([cause, count]) => `${count} ${cause}`).join(", ");

const COLUMNS = [
  { key: "node", title: "Node", sort: (link) => `${link.node} ${link.peer}`, cell: (link) => node(link.node) },
  { key: "peer", title: "Peer", sort: (link) => `${link.peer} ${link.node}`, cell: (link) => node(link.peer) },
  {
    key: "state", title: "State", sort: (link) => link.state,
    cell: (link) => {
      const { kind, text } = linkState(link);
      return html`<${Status} kind=${kind}>${text}<//>`;
    },
  },
  { key: "transport", title: "Over", extra: true, sort: (link) => link.transport ?? "", cell: (link) => link.transport ?? format.NOTHING },
  { key: "since", title: "For", num: true, sort: (link) => -link.since, cell: (link) => format.span(Date.now() / 1000 - ahead() - link.since) },
  number("rtt", "Round trip", (link) => link.rtt || null, format.seconds),
  number("canary", "There and back", (link) => link.canary, format.seconds),
  number("waiting", "Waiting", (link) => link.queued + link.unacknowledged, format.bytes),
  number("sent", "Sent", (link) => link.sent, format.count, true),
  number("received", "Received", (link) => link.received, format.count, true),
  number("replayed", "Replayed", (link) => link.replayed, format.count),
  {
    key: "lost", title: "Lost", num: true, sort: (link) => sum(link.dropped) + link.gaps,
    cell: (link) => {
      const lost = sum(link.dropped);
      const told = [causes(link.dropped), link.gaps ? `${link.gaps} of the peer` : ""].filter(Boolean).join(", ");
      return lost + link.gaps ? html`<${Status} kind="warn">${told}<//>` : "0";
    },
  },
];
