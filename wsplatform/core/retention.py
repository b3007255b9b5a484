"""What may be deleted because of its age, by a clock that may be wrong: a machine that starts can be years ahead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SLIP_SECONDS: Final = 30.0
"""By how much a clock that is kept right may be moved at once."""


def chunks_kept(chunk: int, keep: int) -> int:
    """How many chunks of `chunk` seconds the last `keep` seconds overlap."""
    return -(-keep // chunk) + 1


def oldest_kept(begins: Iterable[int], chunk: int, keep: int, now: int) -> int:
    """Chunks that begin before the time returned may go. Seconds.

    begins: of chunks that have values, each once, those of the future left out. What is older than `keep` goes, but
    only as newer chunks have taken its place: a clock that is ahead for a minute costs no more than the values of that
    minute take up. So a database holds what `keep` seconds of values take, whatever the clock does.
    """
    newest = sorted((begin for begin in begins if begin <= now), reverse=True)[: chunks_kept(chunk, keep)]
    if len(newest) < chunks_kept(chunk, keep):
        return 0
    return min(newest[-1], now - keep - chunk)


class EvenClock:
    """Tells when a clock that people and programs set has run as evenly as one that nobody sets."""

    def __init__(self, seconds: float) -> None:
        """seconds: for how long it has to."""
        self._seconds = seconds
        self._ahead: float | None = None
        self._since = 0.0

    def look(self, now: float, steady: float) -> bool:
        """True once after each time of `seconds`. now, steady: what the two clocks show. To be called regularly."""
        ahead = now - steady
        if self._ahead is None or abs(ahead - self._ahead) > SLIP_SECONDS:
            self._since = steady
        self._ahead = ahead
        if steady - self._since < self._seconds:
            return False
        self._since = steady
        return True
