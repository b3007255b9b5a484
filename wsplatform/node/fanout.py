"""Local fan-out: from one publication to the descriptors of its subscribers, near the cost of the kernel's send.

What a channel got in one turn of the event loop is encoded once per format, joined, and leaves as one raw write per
subscriber. Large audiences are served in slices, with everybody else's turn between two slices.
"""

from __future__ import annotations

import os
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from wsplatform.core.busiest import Busiest
from wsplatform.core.metrics import NOTED, Durations, Sample
from wsplatform.model import Publication

TOGETHER = 16
"""Small frames of one turn are timed together, up to so many subscribers: each has its share of some 0.1 ms. To look at
the clock for each of them would cost more than all else that is measured."""

SLICE = 1000
"""Subscribers written to before other work gets its turn: some 8 ms of CPU, nearly all of it the kernel's."""


class Format(Protocol):
    """How publications look to the clients of one protocol. Groups are found by identity: one shared object each."""

    def publication(self, channel: str, publication: Publication) -> bytes:
        """Complete websocket frames, ready to be written."""
        ...


class Outlet(Protocol):
    """What fan-out needs of a connection (see net/websocket.py)."""

    @property
    def fileno(self) -> int: ...
    def send_frame(self, frame: bytes) -> None: ...
    def send_rest(self, rest: bytes) -> None: ...


class Seat:
    """The place of one connection in one group. `index` is its place among the fast ones, -1 while it is slow."""

    __slots__ = ("group", "index", "outlet")

    def __init__(self, group: Group, outlet: Outlet) -> None:
        self.group = group
        self.outlet = outlet
        self.index = -1


class Group:
    """The subscribers of one channel that share a format.

    `fds` and `seats` run in parallel and hold the fast subscribers, whose kernel buffer has room: their descriptors are
    written to directly. While a frame is under way, `cursor` divides them: those before it have the frame. A descriptor
    must leave `fds` before its connection is closed, or a raw write would reach whoever gets the number next.
    """

    __slots__ = ("cursor", "fds", "format", "frame", "pending", "queued", "seats", "slow")

    def __init__(self, format_: Format) -> None:
        self.format = format_
        self.fds = array("i")
        self.seats: list[Seat] = []
        self.slow: set[Seat] = set()
        self.pending: list[bytes] = []
        self.frame = b""
        self.cursor = 0
        self.queued = False

    def __len__(self) -> int:
        return len(self.seats) + len(self.slow)

    def add(self, outlet: Outlet) -> Seat:
        """Take a seat. What is published from now on is received; the frame under way is not."""
        seat = Seat(self, outlet)
        fd = outlet.fileno
        if fd < 0:
            self.slow.add(seat)
        else:
            self._place(seat, fd)
        return seat

    def remove(self, seat: Seat) -> None:
        if seat.index < 0:
            self.slow.discard(seat)
        else:
            self._unplace(seat)

    def slow_down(self, seat: Seat) -> None:
        """The connection's kernel buffer is full: from now on it is written to through its bounded outbox."""
        if seat.index < 0:
            return
        waiting = self.frame and seat.index >= self.cursor
        self._unplace(seat)
        self.slow.add(seat)
        if waiting:
            seat.outlet.send_frame(self.frame)

    def speed_up(self, seat: Seat) -> None:
        """The connection's buffers are empty again."""
        fd = seat.outlet.fileno
        if fd >= 0 and seat in self.slow:
            self.slow.remove(seat)
            self._place(seat, fd)

    def begin(self) -> int:
        """Make one frame of all that is pending and give it to the slow ones; returns how many deliveries it makes."""
        deliveries = len(self.pending) * len(self)
        self.frame = self.pending[0] if len(self.pending) == 1 else b"".join(self.pending)
        self.pending.clear()
        self.cursor = 0
        for seat in tuple(self.slow):
            seat.outlet.send_frame(self.frame)
        return deliveries

    def write(self, limit: int) -> tuple[int, int]:
        """Write the frame to at most `limit` fast subscribers; returns to how many, and how many bytes.

        What a connection is left to send is not among the bytes: it counts them itself.
        """
        frame = self.frame
        size = len(frame)
        start = self.cursor
        blocked: list[tuple[Seat, int]] = []
        write = os.write
        for index, fd in enumerate(self.fds[start : start + limit], start):
            try:
                sent = write(fd, frame)
            except OSError:
                sent = 0  # full, or broken: the transport's own write finds out which
            if sent != size:
                blocked.append((self.seats[index], sent))
        self.cursor = min(start + limit, len(self.fds))
        written = self.cursor - start
        total = written * size
        for seat, sent in blocked:
            total -= size - sent
            seat.outlet.send_rest(frame[sent:])
        if self.cursor >= len(self.fds):
            self.frame = b""
            self.cursor = 0
        return written, total

    def _place(self, seat: Seat, fd: int) -> None:
        seats, fds = self.seats, self.fds
        seat.index = len(seats)
        seats.append(seat)
        fds.append(fd)
        if self.frame:
            self._swap(seat.index, self.cursor)
            self.cursor += 1

    def _unplace(self, seat: Seat) -> None:
        if self.frame and seat.index < self.cursor:
            self.cursor -= 1
            self._swap(seat.index, self.cursor)
        self._swap(seat.index, len(self.seats) - 1)
        self.seats.pop()
        self.fds.pop()
        seat.index = -1

    def _swap(self, left: int, right: int) -> None:
        seats, fds = self.seats, self.fds
        seats[left], seats[right] = seats[right], seats[left]
        fds[left], fds[right] = fds[right], fds[left]
        seats[left].index = left
        seats[right].index = right


class Meter:
    """What is measured of a fan-out beside its counters: times, and which channels are published on most.

    clock: nanoseconds.
    """

    __slots__ = ("busiest", "clock", "delivery", "fanout")

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self.clock = clock
        self.fanout = Durations()
        self.delivery = Durations()
        self.busiest = Busiest()

    def begin(self) -> int:
        """The time at which a slice begins."""
        if len(self.fanout.noted) >= NOTED or len(self.delivery.noted) >= NOTED:
            self.fanout.settle()
            self.delivery.settle()
        return self.clock()

    def written(self, began: int, arrived: int, frames: int, publications: int) -> int:
        """So many frames, begun together and of publications that arrived together, have gone out; returns the time."""
        now = self.clock()
        if frames == 1:
            self.fanout.noted.append(now - began)
        else:
            self.fanout.noted += [(now - began) // frames] * frames
        self.delivery.noted += [now - arrived] * publications
        return now


class Fanout:
    """Brings publications to the local subscribers of their channel, in order for each. meter: None: nothing is timed.

    The clock is read when the first publication of a turn of the loop arrives (those that follow in it have waited for
    that turn as well), and when frames have been written.
    """

    def __init__(
        self,
        groups: Callable[[str], tuple[Group, ...]],
        call_soon: Callable[[Callable[[], None]], object],
        meter: Meter | None = None,
    ) -> None:
        self.deliveries = 0
        self.sent = 0
        """Bytes written to descriptors directly."""
        self.meter = meter
        self._groups = groups
        self._call_soon = call_soon
        self._queue: deque[tuple[Group, int]] = deque()  # with the arrival of the first that is pending
        self._scheduled = False
        self._arrived = 0  # when the first of this turn did; 0: none has
        # Of the one group whose frame is under way: when that was begun, of how many publications, and when the first
        # of its next frame arrived.
        self._began = 0
        self._joined = 0
        self._next_arrived = 0

    def deliver(self, channel: str, publication: Publication) -> None:
        """Queue for the subscribers of this node; written at the end of this turn of the loop. Forwards nothing."""
        meter = self.meter
        if meter is not None:
            meter.busiest[channel] += 1
        for group in self._groups(channel):
            frames = group.format.publication(channel, publication)
            if not group.pending:
                if meter is not None and not self._arrived:
                    self._arrived = meter.clock()
                if group.queued:
                    self._next_arrived = self._arrived
                else:
                    group.queued = True
                    self._queue.append((group, self._arrived))
            group.pending.append(frames)
        if self._queue and not self._scheduled:
            self._scheduled = True
            self._call_soon(self._turn)

    def flush(self) -> None:
        """Write all that is queued now, however long it takes: for the moment before connections are closed."""
        while self._queue:
            self._slice(1 << 30)

    def measure(self) -> Iterator[Sample]:
        yield Sample("deliveries", self.deliveries)
        if self.meter is not None:
            yield Sample("fanout", self.meter.fanout)
            yield Sample("delivery", self.meter.delivery)

    def _turn(self) -> None:
        self._slice(SLICE)
        if self._queue:
            self._call_soon(self._turn)
        else:
            self._scheduled = False

    def _slice(self, budget: int) -> None:
        queue, meter = self._queue, self.meter
        self._arrived = 0
        began = meter.begin() if meter is not None else 0
        # Of the frames that are timed together: when their publications arrived, their number and that of publications,
        # and for how many subscribers there is room yet.
        together, frames, publications, room = 0, 0, 0, TOGETHER
        while queue and budget > 0:
            group, arrived = queue.popleft()
            resumed = bool(group.frame)
            if meter is not None:
                size = len(group.fds)
                room -= size
                if frames and (room < 0 or arrived != together):
                    began = meter.written(began, together, frames, publications)
                    frames, publications, room = 0, 0, TOGETHER - size
                together = arrived
            if not resumed:
                self._began = began
                self._joined = len(group.pending)
                self.deliveries += group.begin()
            written, sent = group.write(budget)
            self.sent += sent
            budget -= max(1, written)
            if group.frame:
                queue.appendleft((group, arrived))
                break
            if resumed and meter is not None:
                began = meter.written(self._began, arrived, 1, self._joined)
            else:
                frames += 1
                publications += self._joined
            if group.pending:
                queue.append((group, self._next_arrived))
            else:
                group.queued = False
        if meter is not None and frames:
            meter.written(began, together, frames, publications)
