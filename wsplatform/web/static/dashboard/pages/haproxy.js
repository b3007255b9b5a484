import { html } from "../ui.js";
import { useStore } from "../store.js";
import { Empty, Section, Title, Waiting } from "../parts/page.js";
import { Status } from "../parts/status.js";
import { Table } from "../parts/table.js";
import * as format from "../format.js";
import { to } from "../router.js";

/** The balancer's plugin, and what the view gives it to do. */
export function HAProxy() {
  const plugins = useStore((state) => state.plugins);
  const nodes = useStore((state) => state.nodes) ?? [];
  if (plugins === null) return html`<div class="page"><${Title} text="HAProxy" /><${Waiting} /></div>`;
  const servers = [...Map.groupBy(nodes, (node) => node.client_url)].map(([url, behind]) => ({ url, behind }));
  return html`<div class="page">
    <${Title} text="HAProxy" note="The registry's plugins follow the view: nodes that become ready get clients, those that drain or go get none." />
    ${plugins.length === 0 && html`<${Empty}>
      No plugin runs. With <code>haproxy.enabled = true</code> the registry keeps HAProxy in step with the nodes.<//>`}
    ${plugins.length > 0 && html`<${Table} caption="Plugins" rows=${plugins} rowKey=${(plugin) => plugin.name} columns=${PLUGINS} />`}
    <${Section} title="What the view says to a balancer" wide>
      ${servers.length ? html`<${Table} caption="Servers" rows=${servers} rowKey=${(server) => server.url} columns=${SERVERS} />`
        : html`<${Empty}>No node is registered, so there is no server to send clients to.<//>`}
    <//>
  </div>`;
}

const PLUGINS = [
  { key: "name", title: "Plugin", cell: (plugin) => html`<span class="code">${plugin.name}</span>` },
  { key: "healthy", title: "State", cell: (plugin) => html`<${Status} kind=${plugin.healthy ? "ok" : "bad"}>${plugin.healthy ? "in step" : "not in step"}<//>` },
  { key: "detail", title: "In its words", cell: (plugin) => plugin.detail || "–" },
];

const takes = (node) => node.ready && !node.draining;
const SERVERS = [
  { key: "url", title: "Server", cell: (server) => html`<span class="code">${server.url}</span>` },
  {
    key: "takes", title: "New clients",
    cell: ({ behind }) => (behind.some(takes) ? html`<${Status} kind="ok">yes<//>` : html`<${Status} kind="bad">none<//>`),
  },
  {
    key: "nodes", title: "Nodes",
    cell: ({ behind }) => behind.map((node, place) => html`${place ? ", " : ""}<a class="code" key=${node.id} href=${to("nodes", node.id)}>${node.id}</a>`),
  },
  { key: "sessions", title: "Sessions", num: true, cell: ({ behind }) => format.count(behind.reduce((all, node) => all + (node.status?.sessions ?? 0), 0)) },
];
