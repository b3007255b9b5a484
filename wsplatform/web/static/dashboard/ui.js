// What every part is made of.
export {
  html,
  render,
  useCallback,
  useEffect,
  useErrorBoundary,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "./vendor/htm-preact.js";
import { useEffect, useState } from "./vendor/htm-preact.js";

let ids = 0;

/** An id for a label and its control, the same as long as the part lives. */
export function useId() {
  return useState(() => `id-${++ids}`)[0];
}

/** The time of this machine in seconds, again every `seconds`. */
export function useNow(seconds = 1) {
  const [now, set] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => set(Date.now() / 1000), seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds]);
  return now;
}

/** `value`, once it has not changed for `seconds`. */
export function useSettled(value, seconds = 0.25) {
  const [settled, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), seconds * 1000);
    return () => clearTimeout(timer);
  }, [value, seconds]);
  return settled;
}

/** Something small that this browser keeps, as text. */
export function useKept(name, first) {
  const [value, set] = useState(() => kept(name) ?? first);
  const keep = (next) => {
    set(next);
    try {
      localStorage.setItem(`wsplatform.${name}`, next);
    } catch {
      // Storage can be forbidden; it holds until the page is left.
    }
  };
  return [value, keep];
}

function kept(name) {
  try {
    return localStorage.getItem(`wsplatform.${name}`);
  } catch {
    return null;
  }
}
