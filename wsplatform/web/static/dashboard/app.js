import { html, useEffect, useErrorBoundary } from "./ui.js";
import { useStore } from "./store.js";
import { startEvents, stopEvents } from "./events.js";
import { to, useRoute } from "./router.js";
import { Shell } from "./parts/shell.js";
import { Toasts } from "./parts/toasts.js";
import { Empty, Title } from "./parts/page.js";
import { LogIn } from "./pages/login.js";
import { Overview } from "./pages/overview.js";
import { Nodes } from "./pages/nodes.js";
import { Node } from "./pages/node.js";
import { Links } from "./pages/links.js";
import { Channels } from "./pages/channels.js";
import { Channel } from "./pages/channel.js";
import { Sessions } from "./pages/sessions.js";
import { Session } from "./pages/session.js";
import { Keys } from "./pages/keys.js";
import { Rules } from "./pages/rules.js";
import { Audit } from "./pages/audit.js";
import { HAProxy } from "./pages/haproxy.js";

/** By the first word of the address: the page, and the page of one thing. */
const PAGES = {
  overview: [Overview],
  nodes: [Nodes, Node],
  links: [Links],
  channels: [Channels, Channel],
  sessions: [Sessions, Session],
  keys: [Keys],
  rules: [Rules],
  audit: [Audit],
  haproxy: [HAProxy],
};

export function App() {
  const session = useStore((state) => state.session);
  const known = Boolean(session);
  useEffect(() => {
    if (!known) return undefined;
    startEvents();
    return stopEvents;
  }, [known]);
  if (session === undefined) return html`<main class="waiting"><p role="status">Loading …</p></main>`;
  return html`${session ? html`<${Inside} />` : html`<${LogIn} />`}<${Toasts} />`;
}

function Inside() {
  const route = useRoute();
  const [list, one] = Object.hasOwn(PAGES, route.page) ? PAGES[route.page] : [];
  const Page = route.argument !== null && one ? one : list;
  // A page is made anew for another thing, so that nothing of the last one is left in it.
  const key = `${route.page}/${route.argument}`;
  return html`
    <${Shell} page=${route.page} place=${key}>
      <${Guard} key=${key}>
        ${Page ? html`<${Page} argument=${route.argument} query=${route.query} />` : html`<${Missing} />`}
      <//>
    <//>
  `;
}

function Guard({ children }) {
  const [error, again] = useErrorBoundary((problem) => console.error(problem));
  if (!error) return children;
  return html`<div class="page">
    <${Title} text="This page failed" />
    <${Empty}>
      The page could not be drawn; the browser's console has the reason. The cluster is not affected.
      <p><button type="button" onClick=${again}>Try again</button></p>
    <//>
  </div>`;
}

function Missing() {
  return html`<div class="page">
    <${Title} text="No such page" />
    <${Empty}>There is nothing at this address. <a href=${to("overview")}>Go to the overview</a>.<//>
  </div>`;
}
