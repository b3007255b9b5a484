import { render, html } from "./ui.js";
import { App } from "./app.js";
import { resume } from "./api.js";
import { set } from "./store.js";

render(html`<${App} />`, document.getElementById("root"));

/** Who is logged in; asked again while the registry is away. */
async function begin(pause = 1) {
  try {
    await resume();
  } catch (error) {
    set({ farewell: error.message, session: null });
    setTimeout(() => begin(Math.min(pause * 2, 15)), pause * 1000);
  }
}

begin();
