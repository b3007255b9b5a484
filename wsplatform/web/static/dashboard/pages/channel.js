import { html } from "../ui.js";
import { path } from "../api.js";
import * as format from "../format.js";
import { to } from "../router.js";
import { Empty, MissingNodes, Problem, Section, Title, Waiting } from "../parts/page.js";
import { useThing } from "../parts/list.js";
import { Bar } from "../parts/bar.js";
import { Facts } from "../parts/facts.js";
import { ruleFacts } from "../parts/rule.js";
import { Publish } from "../parts/publish.js";
import { Watch } from "../parts/watch.js";

export function Channel({ argument: name }) {
  const { value, error, again } = useThing(path("channels", name), {}, { every: 2 });
  return html`<div class="page">
    <${Title} text=${name} code back=${[to("channels"), "Channels"]} />
    ${error && html`<${Problem} error=${error} again=${again} />`}
    ${!value && !error && html`<${Waiting} />`}
    <div class="columns">
      ${value && html`<div><${Subscribers} value=${value} /><${Rule} value=${value} /></div>`}
      <div><${Publish} channel=${name} /></div>
    </div>
    <${Watch} channel=${name} />
  </div>`;
}

function Subscribers({ value }) {
  const nodes = Object.entries(value.nodes).sort(([a], [b]) => (a < b ? -1 : 1));
  const most = Math.max(...nodes.map(([, count]) => count), 1);
  return html`
    <${Section} title="${format.plural(value.subscribers, "subscriber")}" actions=${value.subscribers > 0 && html`<a href=${to("sessions", null, { channel: value.channel })}>Who they are</a>`}>
      <${MissingNodes} missing=${value.missing} />
      ${nodes.length === 0 && html`<${Empty}>Nobody is subscribed. What is published now reaches nobody.<//>`}
      ${nodes.length > 0 && html`<ul class="bars">${nodes.map(([node, count]) => html`
        <li key=${node}><a class="code" href=${to("nodes", node)}>${node}</a><${Bar} part=${count / most} /><b>${format.count(count)}</b></li>`)}</ul>`}
    <//>
  `;
}

function Rule({ value }) {
  const { rule, fallback } = value;
  return html`
    <${Section} title="Rule" actions=${html`<a href=${to("rules", null, { test: value.channel })}>Rules</a>`}>
      ${rule && html`<${Facts} facts=${[["Pattern", html`<span class="code">${rule.pattern}</span>${fallback ? " (registry.fallback_rule of the settings)" : ""}`], ...ruleFacts(rule)]} />`}
      ${!rule && html`<${Empty}>No rule holds for this name, so clients get “unknown channel”. <a href=${to("rules", null, { make: value.channel })}>Make a rule for it</a>.<//>`}
    <//>
  `;
}
