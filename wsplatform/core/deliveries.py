"""What became of numbered publications: lost, doubled, out of order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

_Range = tuple[int, int]
"""First and last number."""


class Stream:
    """What one publisher publishes on one channel: the numbers 1, 2, 3, … in the order of sending."""

    __slots__ = ("_accepted",)

    def __init__(self) -> None:
        self._accepted = bytearray()  # for each number, 1 when the server has said that it took it

    @property
    def sent(self) -> int:
        return len(self._accepted)

    @property
    def accepted(self) -> int:
        return self._accepted.count(1)

    def send(self) -> int:
        """The next number."""
        self._accepted.append(0)
        return len(self._accepted)

    def accept(self, number: int) -> None:
        self._accepted[number - 1] = 1

    def accepted_in(self, first: int, last: int) -> int:
        """How many of these numbers were accepted; 0 when `last` is before `first`."""
        return self._accepted.count(1, first - 1, last) if first <= last else 0


class Lost(NamedTuple):
    """Accepted publications that did not arrive.

    connected: while the subscription stood. away: published while it did not, or under way when it ended.
    """

    connected: int
    away: int


class Receipt:
    """What one subscriber gets of one stream, from before its first number on.

    arrived: numbers that came, each counted once. duplicated: arrivals of a number that had come before.
    out_of_order: numbers that came, for the first time, after a higher one.

    Memory grows with the number of holes and of absences only.
    """

    __slots__ = ("_absences", "_away_from", "_high", "_holes", "_stream", "arrived", "duplicated", "out_of_order")

    def __init__(self, stream: Stream) -> None:
        self.arrived = 0
        self.duplicated = 0
        self.out_of_order = 0
        self._stream = stream
        self._high = 0
        self._holes: list[_Range] | None = None  # below _high, ascending
        self._absences: list[_Range] | None = None  # what may have been missed in each, ascending
        self._away_from: int | None = None

    def take(self, number: int) -> bool:
        """Whether this number, one that the stream has sent, comes for the first time."""
        high = self._high
        if number == high + 1:
            self._high = number
        elif number > high:
            if self._holes is None:
                self._holes = []
            self._holes.append((high + 1, number - 1))
            self._high = number
        elif self._fill(number):
            self.out_of_order += 1
        else:
            self.duplicated += 1
            return False
        self.arrived += 1
        return True

    def left(self) -> None:
        """The subscription has ended. Idempotent."""
        if self._away_from is None:
            self._away_from = self._high + 1

    def back(self) -> None:
        """It stands again: what is sent from now on has to come."""
        if self._away_from is not None:
            self._absences = self._all_absences()
            self._away_from = None

    def lost(self) -> Lost:
        """As of now: what is still on its way counts as lost."""
        connected = away = 0
        absences = self._all_absences()
        for first, last in self._missing():
            count = self._stream.accepted_in(first, last)
            if count:
                excused = sum(self._stream.accepted_in(max(first, one[0]), min(last, one[1])) for one in absences)
                connected += count - excused
                away += excused
        return Lost(connected, away)

    def _all_absences(self) -> list[_Range]:
        """With the one that lasts."""
        absences = list(self._absences or ())
        if self._away_from is not None and self._away_from <= self._stream.sent:
            first = self._away_from
            if absences and first <= absences[-1][1] + 1:  # nothing came since the one before
                first = min(first, absences.pop()[0])
            absences.append((first, self._stream.sent))
        return absences

    def _missing(self) -> Iterator[_Range]:
        yield from self._holes or ()
        if self._high < self._stream.sent:
            yield self._high + 1, self._stream.sent

    def _fill(self, number: int) -> bool:
        """Whether it was missing."""
        holes = self._holes
        if not holes:
            return False
        index = bisect_right(holes, number, key=_first) - 1
        if index < 0 or holes[index][1] < number:
            return False
        first, last = holes[index]
        holes[index : index + 1] = [part for part in ((first, number - 1), (number + 1, last)) if part[0] <= part[1]]
        return True


def _first(numbers: _Range) -> int:
    return numbers[0]
