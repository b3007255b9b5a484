// Server-sent events over fetch: unlike EventSource it tells the status of a refusal and shows that comments arrive.
import { answer } from "./api.js";

/** A parser by https://html.spec.whatwg.org/multipage/server-sent-events.html: feed it text, it calls `event(name, data)`. */
export function parser(event) {
  let rest = "";
  let name = "";
  let data = [];
  const line = (text) => {
    if (text === "") {
      if (data.length) event(name || "message", data.join("\n"));
      name = "";
      data = [];
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
  };
  return (text) => {
    rest += text;
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

/** Read a stream until it ends or `signal` says so. Silence for `quiet` seconds is an end too. Throws ApiError. */
export async function stream(path, { query, signal, opened = () => {}, event, quiet = 25 }) {
  const stop = new AbortController();
  const end = () => stop.abort();
  signal.addEventListener("abort", end);
  let timer = setTimeout(end, quiet * 1000);
  try {
    const response = await answer("GET", path, { query, signal: stop.signal, accept: "text/event-stream" });
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const feed = parser((name, data) => event(name, JSON.parse(data)));
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(end, quiet * 1000);
      feed(value);
    }
  } catch (error) {
    if (signal.aborted || stop.signal.aborted || error instanceof TypeError) return;
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    stop.abort();
  }
}
