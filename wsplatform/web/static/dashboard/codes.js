// Codes of the protocol in words, for charts.

const DISCONNECTS = {
  1000: "closed", 1001: "gone away", 1006: "lost", 1009: "too large",
  3000: "closed", 3001: "shutdown", 3004: "server error", 3005: "expired", 3008: "too slow", 3011: "told to reconnect",
  3012: "no pong", 3500: "invalid token", 3501: "bad request", 3502: "stale", 3503: "told to stay away", 3504: "connection limit",
};

/** "3008 too slow"; a code without a word stays as it is. */
export const disconnect = (code) => (DISCONNECTS[code] ? `${code} ${DISCONNECTS[code]}` : code);

/** The registry is connected with the nodes like one of them, to ask them. */
export const peer = (id) => (id === "registry" ? "the registry" : id);

const words = (code) => code.replaceAll("_", " ");

/** Errors of clients and of backends, a line for each code. */
export const ERRORS = [
  { metric: "errors", by: "label", word: words },
  { metric: "api_errors", by: "label", name: "API:", word: words },
];
