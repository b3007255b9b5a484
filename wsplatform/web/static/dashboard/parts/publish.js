import { html, useState } from "../ui.js";
import { request } from "../api.js";
import { Field } from "./form.js";
import { Section } from "./page.js";
import { time } from "../format.js";

/** Publish on a channel, as a backend would. */
export function Publish({ channel }) {
  const [text, setText] = useState('{"hello": "world"}');
  const [said, say] = useState(null);
  const send = async (event) => {
    event.preventDefault();
    const data = parsed(text);
    if (data.error) {
      say({ bad: true, text: data.error });
      return;
    }
    try {
      await request("POST", "/publish", { body: { channel, data: data.value } });
      say({ text: `Published at ${time(Date.now() / 1000)}.` });
    } catch (error) {
      say({ bad: true, text: error.message });
    }
  };
  const pressed = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event);
  };
  return html`
    <${Section} title="Publish">
      <form onSubmit=${send}>
        <${Field} label="Data, as JSON" help="Every subscriber gets it. Ctrl+Enter publishes.">
          ${(ids) => html`<textarea ...${ids} class="code" rows="5" spellcheck=${false} value=${text} onKeyDown=${pressed} onInput=${(event) => setText(event.target.value)} />`}
        <//>
        <div class="buttons start"><button type="submit" class="primary">Publish</button>
          <span role="status" class=${said?.bad ? "said bad" : "said"}>${said?.text}</span></div>
      </form>
    <//>
  `;
}

function parsed(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { error: `This is not JSON: ${error.message}` };
  }
}
