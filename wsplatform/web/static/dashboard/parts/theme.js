import { html, useEffect, useKept } from "../ui.js";

const NEXT = { system: "light", light: "dark", dark: "system" };
const WORDS = { system: "Auto", light: "Light", dark: "Dark" };

/** As the system, light, or dark; kept by this browser. */
export function ThemeSwitch() {
  const [theme, keep] = useKept("theme", "system");
  useEffect(() => {
    const root = document.documentElement;
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    dispatchEvent(new Event("themechange"));
  }, [theme]);
  const next = NEXT[theme] ?? "light";
  return html`
    <button type="button" class="theme" onClick=${() => keep(next)} title="Colours: ${WORDS[theme]}. Next: ${WORDS[next]}">
      <svg class="half" viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6.25" /><path d="M8 1.75a6.25 6.25 0 0 1 0 12.5z" /></svg><span class="unseen">Colours: </span>${WORDS[theme]}
    </button>
  `;
}
