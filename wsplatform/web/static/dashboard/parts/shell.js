// Around every page: where one can go, whether what is shown is live, find, light or dark, who is logged in.
import { html, useEffect, useRef, useState } from "../ui.js";
import { logOut } from "../api.js";
import { toast, useStore } from "../store.js";
import { zone } from "../format.js";
import { to } from "../router.js";
import { Connection, StaleBanner } from "./connection.js";
import { Find } from "./find.js";
import { ThemeSwitch } from "./theme.js";

const PLACES = [
  ["overview", "Overview"], ["nodes", "Nodes"], ["links", "Links"], ["channels", "Channels"],
  ["sessions", "Sessions"], ["rules", "Rules"], ["keys", "Keys"], ["audit", "Audit"], ["haproxy", "HAProxy"],
];

export function Shell({ page, place, children }) {
  const [open, setOpen] = useState(false);
  const main = useRef(null);
  useEffect(() => keepFocus(main.current), []);
  useEffect(() => {
    setOpen(false);
    scrollTo(0, 0);
  }, [place]);
  return html`<div class="shell">
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="top">
      <button type="button" class="menu" aria-expanded=${String(open)} aria-controls="places" onClick=${() => setOpen(!open)}>Menu</button>
      <a class="brand" href=${to("overview")}>wsplatform</a>
      <${Connection} />
      <${Find} />
      <${ThemeSwitch} />
      <${Who} />
    </header>
    <nav id="places" class=${open ? "places open" : "places"} aria-label="Pages">
      <ul>${PLACES.map(([name, text]) => html`
        <li key=${name}><a href=${to(name)} aria-current=${page === name ? "page" : null}>${text}<${Badge} name=${name} /></a></li>`)}
      </ul>
      <${Foot} />
    </nav>
    <main id="main" tabindex="-1" ref=${main}><${StaleBanner} />${children}</main>
  </div>`;
}

/** Who had the focus on what has gone (a row was deleted, a node is draining) goes on at the title, not at the top. */
function keepFocus(main) {
  let last = null;
  const focused = (event) => {
    last = event.target;
  };
  const watcher = new MutationObserver(() => {
    if (last === null || last.isConnected || document.activeElement !== document.body) return;
    last = null;
    main.querySelector("h1")?.focus({ preventScroll: true });
  });
  main.addEventListener("focusin", focused);
  watcher.observe(main, { childList: true, subtree: true });
  return () => {
    main.removeEventListener("focusin", focused);
    watcher.disconnect();
  };
}

// The address has the page in it, so the link of the skip link cannot stay there.
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Badge({ name }) {
  const nodes = useStore((state) => state.nodes);
  const links = useStore((state) => state.links);
  const plugins = useStore((state) => state.plugins);
  const bad = {
    nodes: (nodes ?? []).filter((node) => !node.ready && !node.draining).length,
    links: (links ?? []).filter((link) => link.state !== "up" && link.state !== "left").length,
    haproxy: (plugins ?? []).filter((plugin) => !plugin.healthy).length,
  }[name];
  return bad ? html`<span class="badge"><span aria-hidden="true">${bad}</span><span class="unseen">, ${bad} with a problem</span></span>` : null;
}

function Foot() {
  const view = useStore((state) => state.view);
  const config = useStore((state) => state.config);
  return html`
    <dl class="foot">
      <dt>Times</dt><dd>${zone()}</dd>
      <dt>View</dt><dd>${view ?? "–"}</dd>
      <dt>Configuration</dt><dd>${config ?? "–"}</dd>
      <dt><a href="/admin/docs">API documentation</a></dt>
    </dl>
  `;
}

function Who() {
  const session = useStore((state) => state.session);
  const leave = () => logOut().catch((error) => toast(error.message, "bad"));
  return html`
    <span class="who">
      <span class="name" title="The key that you are logged in with">${session.key.name}</span>
      <button type="button" onClick=${leave}>Log out</button>
    </span>
  `;
}
