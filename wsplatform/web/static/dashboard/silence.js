// For how many seconds nothing new was heard of a node. While the stream is broken nothing can be said of nodes.
import { get, useStore } from "./store.js";
import { useNow } from "./ui.js";

export function useSilence() {
  const now = useNow();
  const heard = useStore((state) => state.heard);
  const live = useStore((state) => state.stream.state === "live");
  return (node) => (live && heard[node.id] ? Math.max(0, now - heard[node.id].at) : 0);
}

/** Seconds by which the clock of this machine is ahead of the registry's, from the newest report. */
export function ahead() {
  const { heard } = get();
  const known = Object.values(heard);
  return known.length ? Math.min(...known.map((one) => one.at - one.lastSeen)) : 0;
}
