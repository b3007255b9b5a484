"""The links with all peers, on one transport: performs what core/link.py decides, once in each turn of the loop."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain, count
from typing import Final, Protocol

from loguru import logger

from wsplatform.core.lane import Cause
from wsplatform.core.link import Link, LinkLimits
from wsplatform.core.metrics import Sample
from wsplatform.model import Instance, LinkState, LinkStatus
from wsplatform.settings import ClusterTable
from wsplatform.transports.base import Described, Peer, Transport
from wsplatform.wire.cluster import EnvelopeError
from wsplatform.wire.link import Lane

STOP_SECONDS: Final = 2.0
"""How long the end waits for the peers to have everything, and to hear of it."""

MAX_RETIRED: Final = 256


class LinkEvents(Protocol):
    """What the relay is told. Synchronous; must not raise."""

    def connected(self, peer_id: str) -> None:
        """The link works, for the first time or again; what it had kept is on its way."""

    def received(self, peer_id: str, envelopes: list[bytes]) -> None: ...
    def disconnected(self, peer_id: str, why: str) -> None: ...
    def left(self, peer_id: str) -> None:
        """The peer has stopped in order. No `disconnected` follows."""

    def gap(self, peer_id: str, lane: Lane, count: int) -> None:
        """So many envelopes of the peer will never come."""

    def lost(self, peer_id: str, lane: Lane, cause: Cause, count: int) -> None:
        """So many envelopes will never reach the peer; also told of peers that are not linked any more."""

    def malformed(self, peer_id: str, error: EnvelopeError) -> None: ...


class PeerLink:
    """core.link.Owner: one link, and the peer that it leads to."""

    def __init__(self, links: Links, peer: Peer) -> None:
        self.peer = peer
        self.dirty = False
        self.core = links.make(self)
        self._id = peer.id
        self._events = links.events
        self._send = links.transport.send

    def carry(self, frame: bytes) -> bool:
        return self._send(self._id, frame)

    def connected(self) -> None:
        self._events.connected(self._id)

    def received(self, lane: Lane, envelopes: list[bytes]) -> None:
        self._events.received(self._id, envelopes)

    def gap(self, lane: Lane, count: int) -> None:
        self._events.gap(self._id, lane, count)

    def lost(self, lane: Lane, cause: Cause, count: int) -> None:
        self._events.lost(self._id, lane, cause, count)

    def left(self) -> None:
        self._events.left(self._id)


class Links:
    """transports.base.TransportEvents of `transport`."""

    def __init__(self, transport: Transport, events: LinkEvents, limits: LinkLimits) -> None:
        self.transport = transport
        self.events = events
        self._limits = limits
        self._fresh = count(1).__next__
        self._links: dict[str, PeerLink] = {}
        self._retired: dict[Instance, PeerLink] = {}  # oldest first
        self._gone: dict[str, Counter[str]] = {}  # peer -> what links with it have counted that are no more
        self._dropped: Counter[str] = Counter()  # by such links, by cause
        self._dirty: list[PeerLink] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._progress: asyncio.Event | None = None  # of the end

    async def start(self, local: Peer) -> None:
        """Raises StartError when the transport cannot work."""
        self._loop = asyncio.get_running_loop()
        await self.transport.start(local, self)

    async def stop(self) -> None:
        """Wait for the peers to have what was sent, say goodbye, and end. Idempotent."""
        if self._loop is not None and self._progress is None:
            self._progress = asyncio.Event()
            self._flush()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._say_goodbye(self._progress)
            except TimeoutError:
                logger.info("Not every node has said that it has everything")
            for link in (*self._links.values(), *self._retired.values()):
                link.core.end()
        await self.transport.stop()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        """Those to have a link with. One that is in it no more is retired: counted, and resumed if it comes back."""
        named = {peer.id: peer for peer in peers}
        for peer_id, link in tuple(self._links.items()):
            if peer_id not in named:
                self._retire(link)
            elif named[peer_id].instance != link.peer.instance:
                self._discard(self._links.pop(peer_id))
        for instance in [instance for instance in self._retired if instance.node_id in named]:
            if named[instance.node_id].instance != instance:
                self._discard(self._retired.pop(instance))
        for peer in named.values():
            self._open(peer)
        self.transport.set_peers(peers)

    def send(self, peer_id: str, lane: Lane, envelope: bytes) -> bool:
        """Send at the end of this turn, or as soon as the peer can be reached. False: too large, or no such peer."""
        link = self._links.get(peer_id)
        if link is None or not link.core.send(lane, envelope):
            return False
        if not link.dirty:
            link.dirty = True
            if not self._dirty:
                assert self._loop is not None
                self._loop.call_soon(self._flush)
            self._dirty.append(link)
        return True

    def tick(self) -> None:
        """To be called some times a second."""
        now = _now()
        for link in tuple(self._links.values()):
            link.core.tick(now)

    def count_malformed(self, peer_id: str, count: int) -> None:
        """So many envelopes that arrived whole are none."""
        self._links[peer_id].core.dropped["malformed"] += count

    def resuming(self, peer_id: str) -> bool:
        """There is a carrier; the two sides do not know yet what the other one has."""
        return self._links[peer_id].core.resuming

    def status(self, peer: Peer, state: LinkState, since: float) -> LinkStatus:
        link = self._links[peer.id].core
        return LinkStatus(
            node_id=peer.id,
            incarnation=peer.instance.incarnation,
            address=peer.address,
            state=state,
            transport=self.transport.carrier(peer.id) or None if isinstance(self.transport, Described) else None,
            since=since,
            rtt=link.rtt,
            queued=link.queued,
            unacknowledged=link.unacknowledged,
            sent=link.sent,
            received=link.received,
            replayed=link.replayed,
            duplicates=link.duplicates,
            dropped=dict(link.dropped),
            gaps=link.gaps,
        )

    def measure(self) -> Iterator[Sample]:
        """What was counted by all links with a peer, this and earlier ones, and how the link is that it has now."""
        totals = {peer_id: counts.copy() for peer_id, counts in self._gone.items()}
        dropped = self._dropped.copy()
        for link in chain(self._links.values(), self._retired.values()):
            totals.setdefault(link.peer.id, Counter()).update(_counted(link.core))
            dropped.update(link.core.dropped)
        for peer_id, counts in totals.items():
            for name, count_ in counts.items():
                yield Sample(name, count_, peer_id)
        for cause, count_ in dropped.items():
            yield Sample("link_dropped", count_, cause)
        for peer_id, link in self._links.items():
            yield Sample("link_waiting", link.core.queued + link.core.unacknowledged, peer_id)
            yield Sample("link_rtt", link.core.rtt, peer_id)
            yield Sample("link_up", float(link.core.ready), peer_id)

    # transports.base.TransportEvents

    def up(self, peer: Peer) -> None:
        link = self._of(peer)
        if link is not None:
            link.core.up(_now())

    def received(self, peer_id: str, envelope: bytes) -> None:
        link = self._links.get(peer_id)
        if link is None:
            return
        try:
            link.core.take(envelope, _now())
        except EnvelopeError as error:
            link.core.dropped["malformed"] += 1
            self.events.malformed(peer_id, error)
        if self._progress is not None:
            self._progress.set()

    def down(self, peer: Peer, why: str) -> None:
        link = self._of(peer)
        if link is None:
            return
        was_ready = link.core.ready
        link.core.down()
        if was_ready:
            self.events.disconnected(peer.id, why)
        if self._progress is not None:
            self._progress.set()

    # Inside

    def make(self, owner: PeerLink) -> Link:
        return Link(owner, self._limits, self._fresh)

    def _of(self, peer: Peer) -> PeerLink | None:
        """Of this very instance."""
        link = self._links.get(peer.id)
        return link if link is not None and link.peer.instance == peer.instance else None

    def _open(self, peer: Peer) -> None:
        link = self._links.get(peer.id) or self._retired.pop(peer.instance, None) or PeerLink(self, peer)
        link.peer = peer
        self._links[peer.id] = link

    def _retire(self, link: PeerLink) -> None:
        del self._links[link.peer.id]
        link.core.down()
        link.core.give_up("peer_gone")
        if link.core.ended:
            self._remember(link)
        else:
            self._retired[link.peer.instance] = link
        if len(self._retired) > MAX_RETIRED:
            oldest = self._retired.pop(next(iter(self._retired)))
            oldest.core.discard("peer_gone")
            self._remember(oldest)

    def _discard(self, link: PeerLink) -> None:
        link.core.down()
        link.core.discard("peer_restarted")
        self._remember(link)

    def _remember(self, link: PeerLink) -> None:
        """What it has counted stays counted; of peers that are gone, that of the last MAX_RETIRED."""
        counts = self._gone.pop(link.peer.id, Counter())
        counts.update(_counted(link.core))
        self._gone[link.peer.id] = counts
        self._dropped.update(link.core.dropped)
        if len(self._gone) > MAX_RETIRED:
            del self._gone[next(iter(self._gone))]

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        now = _now()
        for link in dirty:
            link.dirty = False
            link.core.flush(now)

    async def _say_goodbye(self, progress: asyncio.Event) -> None:
        for link in self._ready():
            link.core.ping(_now())
        while any(not link.core.idle for link in self._ready()):
            progress.clear()
            await progress.wait()
        for link in self._links.values():
            link.core.say_bye()
        while any(self._ready()):
            progress.clear()
            await progress.wait()

    def _ready(self) -> Iterator[PeerLink]:
        return (link for link in self._links.values() if link.core.ready)


def _now() -> float:
    """The time of uvloop's loop is that at which its turn began, in whole milliseconds: too coarse for a round trip."""
    return time.monotonic()


def _counted(link: Link) -> dict[str, int]:
    return {
        "link_sent": link.sent,
        "link_received": link.received,
        "link_replayed": link.replayed,
        "link_gaps": link.gaps,
    }


def link_limits(settings: ClusterTable) -> LinkLimits:
    """The bounds that the settings give every link."""
    return LinkLimits(
        frame=settings.max_envelope_bytes,
        outbox=settings.outbox_bytes,
        replay_bytes=settings.replay_bytes,
        replay_seconds=settings.replay_seconds,
        ping_seconds=settings.ping_seconds,
    )
