"""The exchange of interest with the peers: performs what core/interest.py decides, a bounded piece in each turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from loguru import logger

from wsplatform.core.interest import InterestTable, OwnInterest, Waiters
from wsplatform.wire.cluster import Interest, InterestAck, InterestPart, InterestReset, encode

InterestEnvelope = Interest | InterestAck | InterestPart | InterestReset

SLICE: Final = 2000
"""Channels cleared of forgotten lists in one turn: some 2 ms."""

_PATIENCE: Final = 5.0
"""A peer that has acknowledged nothing for so many times the limit of a wait is told everything again."""


@dataclass(slots=True)
class _Peer:
    """A connected peer.

    told: changes are sent to it, as its list has begun. coming: the rest of that list. heard: its own list is whole.
    owed: an acknowledgement that could not be sent. progress: when it last moved on.
    """

    progress: float
    coming: Iterator[InterestReset | InterestPart] | None = None
    told: bool = False
    heard: bool = False
    owed: int | None = None


class InterestExchange:
    """`send` hands an envelope to a peer, False when it is not accepted. `seconds`: the longest wait for all peers."""

    def __init__(self, send: Callable[[str, bytes], bool], seconds: float) -> None:
        self.late = 0
        """Waits that ended with their time, and not with the last acknowledgement."""
        self._send = send
        self._seconds = seconds
        self._own = OwnInterest()
        self._table = InterestTable()
        self._waiters = Waiters()
        self._peers: dict[str, _Peer] = {}
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

    def connected(self, peer_id: str) -> None:
        self._peers[peer_id] = _Peer(self._now())
        self._own.connected(peer_id)
        self._begin_list(peer_id)

    def disconnected(self, peer_id: str) -> None:
        """What the peer wants is remembered: it may come back."""
        self._peers.pop(peer_id, None)
        self._own.disconnected(peer_id)
        self._call_reached()

    def forget(self, peer_id: str) -> None:
        """That instance does not come back."""
        self._table.forget(peer_id)
        self._schedule()

    def settled(self, peer_id: str) -> bool:
        """It is connected, and both have the other's whole list."""
        peer = self._peers.get(peer_id)
        return peer is not None and peer.heard and self._own.knows_list(peer_id)

    def received(self, peer_id: str, envelope: InterestEnvelope) -> None:
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        match envelope:
            case InterestAck():
                peer.progress = self._now()
                self._own.acknowledged(peer_id, envelope.seq)
                self._call_reached()
            case InterestReset():
                self._table.reset(peer_id, envelope.seq)
            case InterestPart():
                peer.owed = self._table.part(peer_id, envelope)
                peer.heard = peer.heard or peer.owed is not None
            case Interest():
                peer.owed = self._table.change(peer_id, envelope)
        self._acknowledge(peer_id, peer)

    def expired(self, now: float) -> None:
        """To be called about once a second."""
        late = self._waiters.overdue(now)
        self.late += len(late)
        _call(late)
        for peer_id, peer in self._peers.items():
            self._acknowledge(peer_id, peer)
            if not self._own.behind(peer_id):
                peer.progress = now
            stuck = now - peer.progress > _PATIENCE * self._seconds
            if peer.coming is None and (not peer.told or stuck):
                self._begin_list(peer_id)

    def _begin_list(self, peer_id: str) -> None:
        peer = self._peers[peer_id]
        peer.told = False
        peer.coming = self._own.tell_all()
        peer.progress = self._now()
        self._lists.append(peer_id)
        self._schedule()

    def _acknowledge(self, peer_id: str, peer: _Peer) -> None:
        if peer.owed is not None and self._send(peer_id, encode(InterestAck(peer.owed))):
            peer.owed = None

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
        change = self._own.next_change()
        self._waiters.told(change)
        envelope = encode(change)
        for peer_id, peer in self._peers.items():
            if peer.told and not self._send(peer_id, envelope):
                self._give_up(peer)
        self._call_reached()

    def _tell_part(self, peer_id: str) -> None:
        peer = self._peers.get(peer_id)
        if peer is None or peer.coming is None:
            return
        part = next(peer.coming, None)
        if part is None:
            peer.coming = None
        elif self._send(peer_id, encode(part)):
            peer.told = True
            peer.progress = self._now()
            self._lists.append(peer_id)
        else:
            self._give_up(peer)

    def _give_up(self, peer: _Peer) -> None:
        """Too much is waiting for this peer. It gets a new list later; until then it knows less than it should."""
        peer.told = False
        peer.coming = None

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
