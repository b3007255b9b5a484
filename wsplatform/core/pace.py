"""When each of many evenly spaced events is due."""

from __future__ import annotations


class Pace:
    """`rate` events a second for `seconds`, the first at once; numbered from 0. A rate of 0: none.

    Moments are seconds from the start. Each is computed for itself, so that no error adds up over a long run.
    """

    __slots__ = ("_rate", "total")

    def __init__(self, rate: float, seconds: float) -> None:
        self._rate = rate
        self.total = max(round(rate * seconds), 1) if rate > 0 else 0

    def moment(self, number: int) -> float:
        return number / self._rate

    def due(self, elapsed: float) -> int:
        """How many have their moment at `elapsed` or before it."""
        if not self.total or elapsed < 0:
            return 0
        count = int(min(elapsed * self._rate, self.total))
        # The product may be off by one rounding: whoever sleeps until moment(n) must find n due then.
        while count < self.total and self.moment(count) <= elapsed:
            count += 1
        while count > 0 and self.moment(count - 1) > elapsed:
            count -= 1
        return count
