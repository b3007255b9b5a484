"""One lane of a link: its sending half, which keeps what was not acknowledged, and its receiving half.

Go-back-N with cumulative acknowledgements (as in RFC 3366, 1.3), and a Skip where there is nothing to go back to.

What is evicted may have arrived all the same, if its acknowledgement has not. So only what was never handed to a
carrier is counted at once; of the rest, the other side says how much was missing when the Skip has reached it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import msgspec

from wsplatform.wire.link import Lane, Skip, encode

Cause = Literal["overflow", "expired", "forgotten", "peer_gone", "peer_restarted", "stopped", "too_large"]

FRAME_COST: Final = 250
"""Bytes of memory that keeping a frame takes beside its own."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """An encoded Data frame. `time`: when it was made."""

    first: int
    last: int
    time: float
    data: bytes


class _Evicted(NamedTuple):
    """Numbers that are not kept any more. cause: None when they are counted. size: bytes that are still in flight."""

    first: int
    last: int
    cause: Cause | None
    size: int


class Outgoing:
    """The sending half. `lost(lane, cause, count)`: so many envelopes will never arrive.

    high: the last number that was ever handed to a carrier. cursor: the next one to hand to this carrier.
    """

    __slots__ = (
        "_acked",
        "_evicted",
        "_high",
        "_lane",
        "_lost",
        "_missing",
        "_sent",
        "_waiting",
        "cursor",
        "held",
        "in_flight",
        "next",
        "replayed",
    )

    def __init__(self, lane: Lane, lost: Callable[[Lane, Cause, int], None]) -> None:
        self.replayed = 0
        self._lane = lane
        self._lost = lost
        self.restart()

    def restart(self) -> None:
        """Keep nothing, and number anew."""
        self.next = 1
        self.held = 0
        """Bytes of memory of what is kept."""
        self.in_flight = 0
        """Bytes handed to this carrier and not acknowledged."""
        self._acked = self._high = self._missing = 0
        self.cursor = 1
        self._sent: deque[Kept] = deque()
        self._waiting: deque[Kept] = deque()
        self._evicted: deque[_Evicted] = deque()

    @property
    def begun(self) -> bool:
        """Something was handed to a carrier."""
        return self._high > 0

    @property
    def empty(self) -> bool:
        """Everything is acknowledged, or evicted."""
        return not self._sent and not self._waiting

    @property
    def queued(self) -> int:
        """Bytes that wait for the carrier."""
        return sum(len(frame.data) for frame in self._waiting)

    @property
    def handed(self) -> int:
        """The last number that this carrier was given."""
        return self.cursor - 1

    @property
    def oldest(self) -> float | None:
        """When the oldest frame that is kept was made."""
        kept = self._sent or self._waiting
        return kept[0].time if kept else None

    def put(self, data: bytes, count: int, now: float) -> None:
        """Keep the encoded frame of `next` and `count` - 1 more."""
        first, self.next = self.next, self.next + count
        self._waiting.append(Kept(first, self.next - 1, now, data))
        self.held += len(data) + FRAME_COST

    def pump(self, carry: Callable[[bytes], bool], epoch: int, window: int) -> None:
        """Hand over what waits, until the carrier refuses or `window` bytes are in flight."""
        waiting = self._waiting
        while waiting:
            frame = waiting[0]
            size = len(frame.data)
            if self.in_flight and self.in_flight + size > window:
                return
            if frame.first > self.cursor and not self._skip(carry, epoch, frame.first - 1):
                return
            if not carry(frame.data):
                return
            self._sent.append(waiting.popleft())
            self.in_flight += size
            self.cursor = frame.last + 1
            if frame.last > self._high:
                self._high = frame.last
            else:
                self.replayed += frame.last - frame.first + 1
        if self.cursor < self.next:
            self._skip(carry, epoch, self.next - 1)

    def acknowledge(self, received: int, missing: int) -> None:
        """The other side has everything up to `received`, except `missing` of them. Old news are ignored."""
        if not self._acked < received < self.next:
            return
        self._acked = received
        sent, waiting = self._sent, self._waiting
        while sent and sent[0].last <= received:
            size = len(sent.popleft().data)
            self.in_flight -= size
            self.held -= size + FRAME_COST
        while waiting and waiting[0].last <= received:
            self.held -= len(waiting.popleft().data) + FRAME_COST
        self.cursor = max(self.cursor, received + 1)
        if missing > self._missing or self._evicted:
            self._settle(received, missing)

    def rewind(self) -> None:
        """Begin again after what is acknowledged."""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._evicted = deque(gone._replace(size=0) for gone in self._evicted)
        self.in_flight = 0
        self.cursor = self._acked + 1

    def begin_again(self) -> None:
        """The other side has forgotten, and nothing but Skips was ever handed to a carrier: they have to come again."""
        self._acked = self._missing = 0
        self.cursor = 1

    def evict(self, cause: Cause) -> None:
        """Give up the oldest frame. If the carrier has it, it goes on to count as in flight."""
        in_flight = 0
        if self._sent:
            frame = self._sent.popleft()
            in_flight = len(frame.data)
        else:
            frame = self._waiting.popleft()
        self.held -= len(frame.data) + FRAME_COST
        in_doubt = cause if frame.first <= self._high else None
        if in_doubt is None:
            self._lost(self._lane, cause, frame.last - frame.first + 1)
        first = frame.first
        if self._evicted and self._evicted[-1].cause == in_doubt and self._evicted[-1].last == first - 1:
            before = self._evicted.pop()
            first = before.first
            in_flight += before.size
        self._evicted.append(_Evicted(first, frame.last, in_doubt, in_flight))

    def discard(self, cause: Cause) -> None:
        """Give up everything, count what may not have arrived, and begin to number anew."""
        lost = sum(frame.last - frame.first + 1 for kept in (self._sent, self._waiting) for frame in kept)
        lost += sum(gone.last - gone.first + 1 for gone in self._evicted if gone.cause is not None)
        self.restart()
        if lost:
            self._lost(self._lane, cause, lost)

    def _skip(self, carry: Callable[[bytes], bool], epoch: int, upto: int) -> bool:
        if not carry(encode(Skip(epoch, self._lane, upto))):
            return False
        self.cursor = upto + 1
        return True

    def _settle(self, received: int, missing: int) -> None:
        """Of the evicted numbers now passed, the other side misses those never sent, and the last ones of the rest."""
        unexplained, self._missing = missing - self._missing, missing
        passed: list[_Evicted] = []
        while self._evicted and self._evicted[0].first <= received:
            gone = self._evicted.popleft()
            if gone.last > received:
                self._evicted.appendleft(gone._replace(first=received + 1))
                gone = gone._replace(last=received, size=0)
            self.in_flight -= gone.size
            passed.append(gone)
        unexplained -= sum(gone.last - gone.first + 1 for gone in passed if gone.cause is None)
        for gone in reversed(passed):
            if gone.cause is not None and unexplained > 0:
                count = min(unexplained, gone.last - gone.first + 1)
                unexplained -= count
                self._lost(self._lane, gone.cause, count)


class Incoming:
    """The receiving half. `asked`: when the other side was asked to go back; None: there is no gap.

    `received` and `missing` as in wire.link.Ack.
    """

    __slots__ = ("asked", "missing", "received")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.received = self.missing = 0
        self.asked: float | None = None

    def skip(self, upto: int) -> int:
        """How many envelopes are missing by this."""
        count = max(upto - self.received, 0)
        if count:
            self.received = upto
            self.missing += count
            self.asked = None
        return count
