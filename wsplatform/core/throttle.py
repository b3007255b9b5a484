"""How often the same thing may be said: for log lines that a stranger can cause."""

from __future__ import annotations


class Throttle:
    """Lets one line per key through in `seconds`, and says how many were held back before it.

    Bounded: with `max_keys` keys heard of within `seconds`, further ones share one turn: inventing keys is no help.
    """

    __slots__ = ("_max_keys", "_seconds", "_seen")

    def __init__(self, seconds: float, max_keys: int = 1024) -> None:
        self._seconds = seconds
        self._max_keys = max_keys
        self._seen: dict[str, tuple[float, int]] = {}  # key -> (time of the last line, held back since); oldest first

    def allow(self, key: str, now: float) -> int | None:
        """None: say nothing. Else: how many lines of this key were held back since its last. `now` never goes back."""
        self._forget(now)
        if key not in self._seen and len(self._seen) >= self._max_keys:
            key = ""
        last, held = self._seen.get(key, (now - self._seconds, 0))
        if now - last < self._seconds:
            self._seen[key] = (last, held + 1)
            return None
        self._seen.pop(key, None)
        self._seen[key] = (now, 0)
        return held

    def _forget(self, now: float) -> None:
        """Drop keys whose turn is over, except those that still have a count to tell."""
        while self._seen:
            key = next(iter(self._seen))
            last, held = self._seen[key]
            if now - last < self._seconds or (held and len(self._seen) < self._max_keys):
                return
            del self._seen[key]
