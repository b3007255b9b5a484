// The admin API: requests, and its errors as sentences.
import { get, set } from "./store.js";

const ROOT = "/admin/v1";
const HINT = "wsplatform.session";
let csrf = "";

export class ApiError extends Error {
  /** status: 0 when nobody answered. code: for programs. The message is a sentence for people. */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The answer's JSON, null for an empty one. query: names without a value are left out. Throws ApiError. */
export async function request(method, path, { query = {}, body, signal } = {}) {
  const response = await fresh(() => answer(method, path, { query, body, signal }));
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(response.status, "bad_answer", "The registry's answer cannot be read.");
  }
}

export const read = (path, query, signal) => request("GET", path, { query, signal });

/** `ask`, once more when another page of this browser has logged in anew: the token of the session is another one then. */
async function fresh(ask) {
  try {
    return await ask();
  } catch (error) {
    if (error.code !== "csrf") throw error;
    await resume();
    return ask();
  }
}

/** A path of parts, each encoded: path("channels", name). */
export const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

/** The response itself, when it is a good one; for streams. Throws ApiError. */
export async function answer(method, path, { query = {}, body, signal, accept = "application/json" } = {}) {
  const headers = { accept };
  if (method !== "GET") headers["x-csrf-token"] = csrf;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(ROOT + path + queryText(query), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The registry does not answer. Is it running, and is the network there?");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

function queryText(query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function refusal(response) {
  let told = null;
  try {
    told = (await response.json()).error;
  } catch {
    // A proxy's page, perhaps.
  }
  const error = new ApiError(
    response.status,
    told?.code ?? "unknown",
    told?.message ?? `The registry answered with status ${response.status}.`,
  );
  if (response.status === 401 && get().session) forget("You were logged out: the session has ended.");
  return error;
}

/** Who is logged in, from the cookie, which this page cannot see. Throws ApiError when that cannot be known. */
export async function resume() {
  if (!hint()) {
    set({ session: null });
    return;
  }
  try {
    begin(await read("/session"));
  } catch (error) {
    if (error.status !== 401) throw error;
    forget("");
  }
}

export async function logIn(key) {
  begin(await request("POST", "/session", { body: { key } }));
}

export async function logOut() {
  await request("DELETE", "/session");
  forget("You are logged out.");
}

function begin(session) {
  csrf = session.csrf;
  hint(true);
  set({ session: { key: session.key, expires_at: session.expires_at }, farewell: "" });
}

function forget(farewell) {
  csrf = "";
  hint(false);
  set({ session: null, farewell });
}

/** That there may be a session. Without it nobody is asked, and a visitor's first page begins without a refusal. */
function hint(value) {
  try {
    if (value) localStorage.setItem(HINT, "1");
    else if (value === false) localStorage.removeItem(HINT);
    return localStorage.getItem(HINT) !== null;
  } catch {
    return true;
  }
}
