"""At what pace those who have to go are told: evenly, and after a stall faster, but never all at once.

A schedule of fixed moments would be made up for in one burst after a second in which the event loop stood still, and
all of those would come to the other nodes at the same time.
"""

from __future__ import annotations

from typing import Final

STEP: Final = 0.01
"""Seconds that are worth a pause; of those who go within one, several go together."""

HASTE: Final = 2.0
"""How much faster than evenly, at most, what a stall has delayed is made up for."""


class Departure:
    """Of `total` that go within `seconds`, from the moment `began` on; later by `grace` at most, after stalls."""

    __slots__ = ("_end", "_even", "_latest")

    def __init__(self, total: int, began: float, seconds: float, grace: float = 5.0) -> None:
        self._even = seconds / max(total, 1)
        self._end = began + seconds
        self._latest = self._end + min(seconds / 2, grace)

    def next(self, left: int, now: float) -> tuple[int, float]:
        """How many of those that are left go now, and for how long to wait then; asked when that is over."""
        if left <= 0:
            return 0, 0.0
        gap = self._gap(left, now)
        if gap <= 0:
            return left, 0.0
        count = min(max(int(STEP / gap), 1), left)
        return count, gap * count

    def _gap(self, left: int, now: float) -> float:
        """Seconds from one to the next."""
        return max((self._end - now) / left, min(self._even / HASTE, (self._latest - now) / left))
