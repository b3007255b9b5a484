"""The exchange of interest with the peers: performs what core/interest.py decides, a bounded piece in each turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from loguru import logger

from wsplatform.core.interest import PART_BYTES, InterestTable, OwnInterest, Waiters
from wsplatform.wire.cluster import Interest, InterestAck, InterestPart, InterestReset, encode

InterestEnvelope = Interest | InterestAck | InterestPart | InterestReset

SLICE: Final = 2000
"""Channels cleared of forgotten lists in one turn: some 2 ms."""


@dataclass(slots=True)
class _Peer:
    """A connected peer.

    told: changes are sent to it, as its list has begun. coming: the rest of that list. heard: its own list is whole.
    """

    coming: Iterator[InterestReset | InterestPart] | None = None
    told: bool = False
    heard: bool = False


class InterestExchange:
    """`send` gives an envelope to a peer's link: it arrives, in order, or a gap is reported.

    seconds: the longest wait for all peers. part: about how many bytes of names an envelope may have.
    """

    def __init__(self, send: Callable[[str, bytes], object], seconds: float, part: int = PART_BYTES) -> None:
        self.late = 0
        """Waits that ended with their time, and not with the last acknowledgement."""
        self._send = send
        self._seconds = seconds
        self._part = part
        self._own = OwnInterest()
        self._table = InterestTable()
        self._waiters = Waiters()
        self._peers: dict[str, _Peer] = {}
        self._broken: dict[str, float] = {}  # peers that may be back at once -> how long they are waited for
        self._lists: deque[str] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled = False
        self.wanted_by = self._table.peers
        """channel -> ids of the peers that want it, connected or not."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._schedule()

    def want(self, channel: str, done: Callable[[], None]) -> bool:
        known = self._own.want(channel)
        self._schedule()
        if not known:
            self._waiters.add(channel, self._own.told_by(channel), self._now() + self._seconds, done)
        return known

    def unwant(self, channel: str) -> None:
        self._own.unwant(channel)
        self._schedule()

    def connected(self, peer_id: str, *, observer: bool = False) -> None:
        """Or there is a gap in what was exchanged: all is told anew. The other side does the same.

        An observer publishes nothing: it is listened to, but told nothing and not waited for.
        """
        self._broken.pop(peer_id, None)
        self._peers[peer_id] = _Peer()
        if not observer:
            self._own.connected(peer_id)
            self._begin_list(peer_id)

    def disconnected(self, peer_id: str) -> None:
        """What the peer wants is remembered: it may come back. A subscribe waits for it meanwhile, but not for long."""
        if self._peers.pop(peer_id, None) is not None:
            self._broken[peer_id] = self._now() + self._seconds

    def forget(self, peer_id: str) -> None:
        """That instance does not come back."""
        self._peers.pop(peer_id, None)
        self._broken.pop(peer_id, None)
        self._table.forget(peer_id)
        self._own.disconnected(peer_id)
        self._call_reached()
        self._schedule()

    def settled(self, peer_id: str) -> bool:
        """It is connected, and both have the other's whole list."""
        peer = self._peers.get(peer_id)
        return peer is not None and peer.heard and self._own.knows_list(peer_id)

    def received(self, peer_id: str, envelope: InterestEnvelope) -> None:
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        owed: int | None = None
        match envelope:
            case InterestAck():
                self._own.acknowledged(peer_id, envelope.seq)
                self._call_reached()
            case InterestReset():
                self._table.reset(peer_id, envelope.seq)
            case InterestPart():
                owed = self._table.part(peer_id, envelope)
                peer.heard = peer.heard or owed is not None
            case Interest():
                owed = self._table.change(peer_id, envelope)
        self._schedule()
        if owed is not None:
            self._send(peer_id, encode(InterestAck(owed)))

    def expired(self, now: float) -> None:
        """To be called some times a second."""
        late = self._waiters.overdue(now)
        self.late += len(late)
        _call(late)
        for peer_id in [peer_id for peer_id, until in self._broken.items() if until <= now]:
            del self._broken[peer_id]
            self._own.disconnected(peer_id)
            self._call_reached()

    def _begin_list(self, peer_id: str) -> None:
        peer = self._peers[peer_id]
        peer.told = False
        peer.coming = self._own.tell_all(self._part)
        self._lists.append(peer_id)
        self._schedule()

    def _schedule(self) -> None:
        if self._loop is not None and not self._scheduled and (self._own.changed or self._lists or self._table.dirty):
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._own.changed:
            self._tell_change()
        if self._lists:
            self._tell_part(self._lists.popleft())
        self._table.scrub(SLICE)
        self._schedule()

    def _tell_change(self) -> None:
        change = self._own.next_change(self._part)
        self._waiters.told(change)
        envelope = encode(change)
        for peer_id, peer in self._peers.items():
            if peer.told:
                self._send(peer_id, envelope)
        self._call_reached()

    def _tell_part(self, peer_id: str) -> None:
        peer = self._peers.get(peer_id)
        if peer is None or peer.coming is None:
            return
        part = next(peer.coming, None)
        if part is None:
            peer.coming = None
            return
        self._send(peer_id, encode(part))
        peer.told = True
        self._lists.append(peer_id)

    def _call_reached(self) -> None:
        _call(self._waiters.reached(self._own.floor))

    def _now(self) -> float:
        return 0.0 if self._loop is None else self._loop.time()


def _call(all_done: Iterable[Callable[[], None]]) -> None:
    for done in all_done:
        try:
            done()
        except Exception as error:  # noqa: BLE001 - logged; one subscriber's failure must not keep the others waiting
            logger.opt(exception=error).error("a subscriber failed when its channel became known")
