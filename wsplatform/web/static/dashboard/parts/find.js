// `/`: go to a node, a channel, a user's sessions or a page by its name.
import { html, useEffect, useId, useRef, useSettled, useState } from "../ui.js";
import { read } from "../api.js";
import { get } from "../store.js";
import { go, to } from "../router.js";

const MOST = 5;

export function Find() {
  const [text, setText] = useState("");
  const [open, setOpen] = useState(false);
  const [chosen, choose] = useState(0);
  const field = useRef(null);
  const list = useId();
  const channels = useChannels(text);
  const options = text.trim() ? found(text.trim(), channels) : [];
  const shown = open && options.length > 0;

  useEffect(() => {
    const pressed = (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      if (document.querySelector("dialog[open]")) return;
      event.preventDefault();
      field.current.focus();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);

  const leave = (option) => {
    setText("");
    setOpen(false);
    go(option.address);
  };
  const pressed = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && options.length) {
      event.preventDefault();
      setOpen(true);
      choose((chosen + step + options.length) % options.length);
    } else if (event.key === "Enter" && options[chosen]) {
      event.preventDefault();
      leave(options[chosen]);
    } else if (event.key === "Escape") {
      if (shown) setOpen(false);
      else setText("");
    }
  };

  return html`
    <search class="find">
      <input ref=${field} type="search" role="combobox" aria-label="Find a node, channel or user" placeholder="Find   /"
        autocomplete="off" spellcheck=${false} aria-expanded=${String(shown)} aria-controls=${list} aria-autocomplete="list"
        aria-activedescendant=${shown ? `${list}-${chosen}` : null} value=${text}
        onInput=${(event) => { setText(event.target.value); setOpen(true); choose(0); }}
        onKeyDown=${pressed} onBlur=${() => setOpen(false)} onFocus=${() => setOpen(true)} />
      <ul id=${list} role="listbox" aria-label="Found" hidden=${!shown}>
        ${options.map((option, number) => html`
          <li id=${`${list}-${number}`} key=${option.kind + option.text} role="option" aria-selected=${String(number === chosen)}
            onMouseDown=${(event) => { event.preventDefault(); leave(option); }}>
            <span class="kind">${option.kind}</span> <span class="what">${option.text}</span>
          </li>`)}
      </ul>
    </search>
  `;
}

function useChannels(text) {
  const [names, setNames] = useState([]);
  const asked = useSettled(text.trim());
  useEffect(() => {
    if (!asked) {
      setNames([]);
      return undefined;
    }
    const stop = new AbortController();
    read("/channels", { contains: asked, limit: MOST }, stop.signal).then(
      (page) => setNames(page.items.map((item) => item.channel)),
      () => setNames([]), // the page of channels tells why
    );
    return () => stop.abort();
  }, [asked]);
  return names;
}

function found(text, channels) {
  const nodes = (get().nodes ?? []).filter((node) => node.id.includes(text)).slice(0, MOST);
  const others = channels.filter((name) => name !== text);
  return [
    ...nodes.map((node) => ({ kind: "Node", text: node.id, address: to("nodes", node.id) })),
    ...others.map((name) => ({ kind: "Channel", text: name, address: to("channels", name) })),
    { kind: "Channel", text, address: to("channels", text) },
    { kind: "Sessions of user", text, address: to("sessions", null, { user: text }) },
    { kind: "Session", text, address: to("sessions", text) },
  ];
}

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");
