// #/page/argument?name=value
import { useEffect, useState } from "./ui.js";

export function parse(hash) {
  const [where, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [page, ...rest] = where.split("/").map(decoded);
  return { page: page || "overview", argument: rest.length ? rest.join("/") : null, query: new URLSearchParams(query) };
}

/** The address of a page: to("channels", "a/b") → "#/channels/a%2Fb". */
export function to(page, argument = null, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const tail = given.length ? `?${new URLSearchParams(given)}` : "";
  return `#/${page}${argument === null ? "" : "/" + encodeURIComponent(argument)}${tail}`;
}

export function go(address) {
  location.hash = address;
}

/** Change the query of this page without a step in the history. */
export function replaceQuery(query) {
  const { page, argument } = parse(location.hash);
  history.replaceState(null, "", to(page, argument, query));
}

export function useRoute() {
  const [route, set] = useState(() => parse(location.hash));
  useEffect(() => {
    const changed = () => set(parse(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
