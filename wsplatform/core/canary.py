"""Small publications that are sent to each peer and come back: when the next one is due, how long it took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

KEPT: Final = 16
"""So many of one peer may be under way; what comes back later than that is not known any more."""


@dataclass(frozen=True, slots=True)
class CanaryStatus:
    """Of one peer. round_trip: seconds of the last one that came back, None before the first. late: how many were not
    back when the next one was due."""

    round_trip: float | None = None
    late: int = 0


@dataclass(slots=True)
class _Peer:
    newest: int = 0
    late: int = 0
    round_trip: float | None = None
    away: dict[int, float] = field(default_factory=dict)


class Canary:
    """`interval`: seconds between two for the same peer. Times are of a clock that does not jump."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._next = 0.0
        self._peers: dict[str, _Peer] = {}

    def due(self, peers: Iterable[str], now: float) -> list[tuple[str, int]]:
        """Who gets one now, and its number; nobody before the interval is over. Peers not named are forgotten."""
        if now < self._next:
            return []
        self._next = now + self._interval
        self._peers = {peer_id: self._peers.get(peer_id) or _Peer() for peer_id in peers}
        return [(peer_id, self._send(peer, now)) for peer_id, peer in self._peers.items()]

    def back(self, peer_id: str, number: int, now: float) -> float | None:
        """One has come back: after how many seconds. None: any other number than those that are under way."""
        peer = self._peers.get(peer_id)
        sent = None if peer is None else peer.away.pop(number, None)
        if peer is None or sent is None:
            return None
        peer.round_trip = now - sent
        return peer.round_trip

    def late(self) -> list[tuple[str, int]]:
        """How many of each peer were not back when the next was due, since it was first named."""
        return [(peer_id, peer.late) for peer_id, peer in self._peers.items()]

    def status(self, peer_id: str) -> CanaryStatus:
        peer = self._peers.get(peer_id)
        return CanaryStatus() if peer is None else CanaryStatus(peer.round_trip, peer.late)

    def _send(self, peer: _Peer, now: float) -> int:
        if peer.newest in peer.away:
            peer.late += 1
        peer.newest += 1
        peer.away[peer.newest] = now
        if len(peer.away) > KEPT:
            del peer.away[min(peer.away)]
        return peer.newest
