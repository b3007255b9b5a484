"""Ends of links in simulated time, with what arrived and what was said to be missing, held against what was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from wsplatform.core.lane import Cause
from wsplatform.core.link import Link, LinkLimits
from wsplatform.wire.link import LANES, Lane

LIMITS = LinkLimits(frame=400, outbox=2_000, replay_bytes=3_000, replay_seconds=5.0, ping_seconds=1.0)


@dataclass
class Way:
    """What one end has sent in one lane, and what became of it. `next`: the number that is expected to arrive."""

    sent: int = 0
    arrived: list[int] = field(default_factory=list)
    missing: int = 0
    lost: Counter[Cause] = field(default_factory=Counter)
    next: int = 0


class End:
    """core.link.Owner. `ways` are its own, `peer` is the other end; `frames` take what it hands to the carrier."""

    peer: End

    def __init__(self, frames: Callable[[bytes], bool], fresh: Callable[[], int], limits: LinkLimits = LIMITS) -> None:
        self.ways = tuple(Way() for _ in LANES)
        self.connections = 0
        self.stopped = False
        self._frames = frames
        self._fresh = fresh
        self._limits = limits
        self.link = Link(self, limits, fresh)

    def forget(self) -> None:
        """As if it had never heard of the other end."""
        self.link.discard("peer_gone")
        self.link = Link(self, self._limits, self._fresh)
        for way in (*self.ways, *self.peer.ways):
            way.next = -1

    def say(self, lane: Lane, count: int, size: int, now: float) -> None:
        for _ in range(count):
            way = self.ways[lane]
            self.link.send(lane, b"%d " % way.sent + b"x" * size)
            way.sent += 1
        self.link.flush(now)

    # core.link.Owner

    def carry(self, frame: bytes) -> bool:
        return self._frames(frame)

    def connected(self) -> None:
        self.connections += 1

    def received(self, lane: Lane, envelopes: list[bytes]) -> None:
        """Each is the very next, after what was said to be missing."""
        way = self.peer.ways[lane]
        for envelope in envelopes:
            number = int(envelope.split(b" ")[0])
            assert way.next in (-1, number), f"{number} has come, {way.next} was expected"
            assert not way.arrived or number > way.arrived[-1]
            way.arrived.append(number)
            way.next = number + 1

    def gap(self, lane: Lane, count: int) -> None:
        assert count > 0
        way = self.peer.ways[lane]
        way.missing += count
        if way.next >= 0:
            way.next += count

    def lost(self, lane: Lane, cause: Cause, count: int) -> None:
        assert count > 0
        self.ways[lane].lost[cause] += count

    def left(self) -> None:
        self.stopped = True


def check_exact(end: End) -> None:
    """When everything has settled: what one end counts as lost, the other as a gap, and what has not arrived, agree."""
    for way in end.ways:
        assert way.sent - len(way.arrived) == sum(way.lost.values()) == way.missing, way
        assert way.next == way.sent
    assert end.link.dropped == end.ways[Lane.PUBLICATIONS].lost
    assert end.link.sent == sum(way.sent for way in end.ways)
    assert end.peer.link.received == sum(len(way.arrived) for way in end.ways)
    assert end.peer.link.gaps == end.ways[Lane.PUBLICATIONS].missing


def check_at_most_once(end: End) -> None:
    """After one end has forgotten: everything that has not arrived is counted, and perhaps some that has."""
    for way in end.ways:
        assert way.sent - len(way.arrived) <= sum(way.lost.values())
