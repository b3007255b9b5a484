import { html, useState, useNow } from "../ui.js";
import { path } from "../api.js";
import { ahead } from "../silence.js";
import * as format from "../format.js";
import { to } from "../router.js";
import { Empty, Problem, Section, Title, Waiting } from "../parts/page.js";
import { Disconnect } from "../parts/disconnect.js";
import { Facts } from "../parts/facts.js";
import { useThing } from "../parts/list.js";

export function Session({ argument: id }) {
  const { value, error, again } = useThing(path("sessions", id), {}, { every: 2 });
  const [asking, ask] = useState(false);
  const gone = error?.status === 404;
  return html`<div class="page">
    <${Title} text=${id} code back=${[to("sessions"), "Sessions"]}>
      ${value && !gone && html`<button type="button" onClick=${() => ask(true)}>Disconnect …</button>`}
    <//>
    ${gone && html`<${Empty}>This session has ended, or never was. <a href=${to("sessions")}>See who is connected</a>.<//>`}
    ${error && !gone && html`<${Problem} error=${error} again=${again} />`}
    ${!value && !error && html`<${Waiting} />`}
    ${value && !gone && html`<${Told} session=${value} />`}
    ${asking && html`<${Disconnect} session=${value} close=${() => ask(false)} done=${again} />`}
  </div>`;
}

function Told({ session }) {
  const now = useNow() - ahead();
  const { channels } = session;
  return html`<div>
    <${Facts} facts=${[
      ["User", session.user ? html`<a class="code" href=${to("sessions", null, { user: session.user })}>${session.user}</a>` : "anonymous"],
      ["Node", html`<a class="code" href=${to("nodes", session.node)}>${session.node}</a>`],
      ["Address", html`<span class="code">${session.address}</span>`],
      ["Protocol", session.protocol],
      ["Connected", `${format.date(session.connected_at)}, ${format.ago(session.connected_at, now)}`],
      ["Its token ends", session.expires_at ? `${format.date(session.expires_at)}, in ${format.span(session.expires_at - now)}` : null],
      ["Not read yet", format.bytes(session.waiting_bytes)],
      ["Info from its token", session.info === null || session.info === undefined ? null : html`<pre>${JSON.stringify(session.info, null, 1)}</pre>`],
    ]} />
    <${Section} title=${format.plural(session.subscriptions, "channel")}>
      ${channels.length === 0 && html`<${Empty}>It is subscribed to nothing.<//>`}
      <ul class="names">${channels.map((name) => html`<li key=${name}><a class="code" href=${to("channels", name)}>${name}</a></li>`)}</ul>
      ${channels.length < session.subscriptions && html`<p class="note">The first ${channels.length} are shown.</p>`}
    <//>
  </div>`;
}
