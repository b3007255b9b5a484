"""How long to wait before the next try of something that failed."""

from __future__ import annotations


def wait(failures: int, first: float, cap: float, unit: float) -> float:
    """Seconds to wait after `failures` (1 or more) failures in a row.

    The ceiling doubles from `first` to `cap` (both > 0); chance (`unit`, from 0 to 1) takes away up to half of it, so
    that many who failed together come back spread out, and none comes back at once.
    """
    ceiling = first
    while failures > 1 and ceiling < cap:
        ceiling *= 2
        failures -= 1
    return min(ceiling, cap) * (1.0 - unit / 2)


class Backoff:
    """Counts the failures for `wait`; `reset` after a success."""

    __slots__ = ("_cap", "_failures", "_first")

    def __init__(self, first: float, cap: float) -> None:
        self._first = first
        self._cap = cap
        self._failures = 0

    def next(self, unit: float) -> float:
        """Seconds to wait now; `unit` is chance, from 0 to 1."""
        self._failures += 1
        return wait(self._failures, self._first, self._cap, unit)

    def reset(self) -> None:
        self._failures = 0
