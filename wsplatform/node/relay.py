"""Publications to and from other nodes: sent to those that want the channel; delivered where they come, never sent on.

The relay is what the rest of the node sees of the mesh. It knows the view, the links and what the peers want.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from loguru import logger

from wsplatform.core.interest import PART_BYTES
from wsplatform.core.lane import Cause
from wsplatform.core.metrics import Sample
from wsplatform.core.throttle import Throttle
from wsplatform.model import LinkState, LinkStatus, Publication
from wsplatform.net.sweep import Sweep
from wsplatform.node.interest import InterestExchange
from wsplatform.node.link import Links, link_limits
from wsplatform.settings import ClusterTable
from wsplatform.transports.base import Peer, Transport
from wsplatform.wire.cluster import EnvelopeError, Publish, Request, Response, decode, encode_publication
from wsplatform.wire.link import Lane

_LOG_SECONDS: Final = 5.0
_MAX_MALFORMED: Final = 100
"""Of one frame; with them the rest of it is dropped."""

_CONTROL: Final = Lane.CONTROL
_PUBLICATIONS: Final = Lane.PUBLICATIONS

_WHY: Final[dict[Cause, str]] = {
    "overflow": "more waited for it than cluster.replay_bytes",
    "expired": "it could not be reached for longer than cluster.replay_seconds",
    "forgotten": "it had given this node up; they may have arrived all the same",
    "peer_gone": "it is out of the view, and was not heard of for longer than cluster.replay_seconds",
    "peer_restarted": "it has been started anew",
    "stopped": "this node has stopped before it heard that they arrived",
    "too_large": "they are larger than cluster.max_envelope_bytes allows",
}


class Questions(Protocol):
    """Who answers and asks over the relay (node/survey.py)."""

    def asked(self, peer_id: str, request: Request) -> None: ...
    def answered(self, peer_id: str, response: Response) -> None: ...
    def gone(self, peer_id: str) -> None: ...


@dataclass(slots=True)
class _Known:
    """A peer of the view, or one that left it while it was connected or not long ago.

    since: Unix time at which `connected` changed. alone: the loop's time at which it left the view or lost its
    connection, whichever came last. stopped: it has said goodbye.
    """

    peer: Peer
    in_view: bool = True
    connected: bool = False
    stopped: bool = False
    since: float = field(default_factory=time.time)
    alone: float = 0.0

    def connect(self, connected: bool) -> None:
        self.connected = connected
        self.since = time.time()


class Relay:
    """node.link.LinkEvents. Of the settings it uses the bounds of the links, and cluster.interest_seconds.

    deliver: brings a publication to the subscribers of this node. Times are kept to within an interval of the sweep.
    """

    deadline = 0.0
    """For the sweep: every time."""

    def __init__(
        self,
        transport: Transport,
        deliver: Callable[[str, Publication], None],
        sweep: Sweep,
        settings: ClusterTable,
    ) -> None:
        self.dropped = 0
        """Publications that some peer wanted and will not get, since the start."""
        limits = link_limits(settings)
        self._links = Links(transport, self, limits)
        self._deliver = deliver
        self._sweep = sweep
        self._keep_seconds = settings.replay_seconds
        part = min(PART_BYTES, limits.envelope // 2)
        self._interest = InterestExchange(self.send, settings.interest_seconds, part)
        self._wanted_by = self._interest.wanted_by
        self._known: dict[str, _Known] = {}
        self._observers: frozenset[str] = frozenset()  # also those that are gone: their losses may be told later
        self._local: Peer | None = None
        self._has_view = False
        self._questions: Questions | None = None
        self._throttle = Throttle(_LOG_SECONDS)
        self._untold: dict[str, int] = {}  # what is missing -> how many, not logged yet

    async def start(self, local: Peer) -> None:
        """Raises StartError when the transport cannot work."""
        self._local = local
        self._interest.start(asyncio.get_running_loop())
        await self._links.start(local)
        self._sweep.add(self)

    async def stop(self) -> None:
        """Waits, not for long, until the peers have all that was sent. Idempotent. Afterwards nothing is delivered."""
        await self._links.stop()
        self._sweep.discard(self)
        for what in tuple(self._untold):
            self._say_missing(what)

    def set_peers(self, peers: frozenset[Peer], observers: frozenset[str] = frozenset()) -> None:
        """The peers of the view, oneself perhaps among them.

        observers: ids of peers that have no clients: the registry. What it watches is sent to it and it may ask; but it
        is not told what is wanted here, nobody waits for it, and nothing that it misses counts as lost.

        A peer that is not in it any more stays as long as it is connected, and cluster.replay_seconds longer, unless
        another instance has its id: it cannot be reached by the registry, or the registry has come back without its
        database, or it comes back at once. Whoever has stopped has said so, or will be found silent.
        """
        assert self._local is not None
        self._has_view = True
        self._observers |= observers
        named = {peer.id: peer for peer in peers if peer.id != self._local.id}
        now = asyncio.get_running_loop().time()
        for peer_id, known in tuple(self._known.items()):
            if peer_id not in named:
                self._leave_view(known, now)
            elif named[peer_id].instance != known.peer.instance:
                self._forget(peer_id)
        for peer_id, peer in named.items():
            known = self._known.setdefault(peer_id, _Known(peer))
            known.peer = peer
            known.in_view = True
        self._drop_lost(now)
        self._set_links()

    def publish(self, channel: str, publication: Publication) -> None:
        """Send to every peer that wants the channel. What does not reach one is counted, and logged."""
        peers = self._wanted_by(channel)
        if not peers:
            return
        envelope = encode_publication(channel, publication)
        send = self._links.send
        for peer_id in peers:
            send(peer_id, _PUBLICATIONS, envelope)

    def want(self, channel: str, done: Callable[[], None]) -> bool:
        """Have the channel's publications sent here. May be repeated.

        True: every connected peer knows, and what it publishes from now on comes. False: `done()` is called once, when
        all of them have acknowledged, or after cluster.interest_seconds.
        """
        return self._interest.want(channel, done)

    def unwant(self, channel: str) -> None:
        self._interest.unwant(channel)

    @property
    def settled(self) -> bool:
        """There is a view, and with every peer of it the interest of both sides has been exchanged."""
        return self._has_view and all(self._interest.settled(peer_id) for peer_id in self.peers)

    @property
    def complete(self) -> bool:
        """There is a view, and all peers of it are connected."""
        return self._has_view and all(map(self.reaches, self.peers))

    @property
    def late(self) -> int:
        """Calls of `done` that came by time, not by acknowledgement, since the start."""
        return self._interest.late

    def links(self) -> tuple[LinkStatus, ...]:
        """Of every node of the view, and of those that left it and are kept; by node id."""
        nodes = self._known.keys() - self._observers
        return tuple(self._status(self._known[peer_id]) for peer_id in sorted(nodes))

    def measure(self) -> Iterator[Sample]:
        yield from self._links.measure()
        yield Sample("interest_late", self.late)

    # For the survey

    @property
    def peers(self) -> tuple[str, ...]:
        """The ids of the nodes that are in the view or connected."""
        return tuple(
            peer_id
            for peer_id, known in self._known.items()
            if (known.in_view or known.connected) and peer_id not in self._observers
        )

    def reaches(self, peer_id: str) -> bool:
        """It is connected."""
        known = self._known.get(peer_id)
        return known is not None and known.connected

    def serve(self, questions: Questions) -> None:
        self._questions = questions

    def send(self, peer_id: str, envelope: bytes) -> bool:
        """Send before all publications. False: too large, or no such peer."""
        return self._links.send(peer_id, _CONTROL, envelope)

    # node.link.LinkEvents

    def connected(self, peer_id: str) -> None:
        logger.info("Connected with node {}", peer_id)
        self._known[peer_id].connect(connected=True)
        self._exchange(peer_id)

    def received(self, peer_id: str, envelopes: list[bytes]) -> None:
        malformed = 0
        for number, envelope in enumerate(envelopes, 1):
            try:
                self._dispatch(peer_id, envelope)
            except EnvelopeError as error:
                malformed += 1
                enough = malformed >= _MAX_MALFORMED  # telling each would stop the loop: they may be two bytes each
                self._links.count_malformed(peer_id, 1 + len(envelopes) - number if enough else 1)
                self.malformed(peer_id, error)
                if enough:
                    return
            except Exception as error:  # noqa: BLE001 - logged; one bad publication must not cost the link
                logger.opt(exception=error).error("an envelope of node {} failed", peer_id)

    def disconnected(self, peer_id: str, why: str) -> None:
        logger.info("Disconnected from node {}: {}", peer_id, why)
        known = self._known[peer_id]
        known.connect(connected=False)
        known.alone = asyncio.get_running_loop().time()
        if peer_id in self._observers:
            self._part(peer_id)
        else:
            self._interest.disconnected(peer_id)

    def left(self, peer_id: str) -> None:
        logger.info("Node {} has stopped", peer_id)
        known = self._known[peer_id]
        known.connect(connected=False)
        known.stopped = True
        self._part(peer_id)

    def gap(self, peer_id: str, lane: Lane, count: int) -> None:
        if lane is _PUBLICATIONS:
            self._missing(f"publications of node {peer_id} did not reach this one", count)
        elif self.reaches(peer_id):
            self._exchange(peer_id)

    def lost(self, peer_id: str, lane: Lane, cause: Cause, count: int) -> None:
        if lane is not _PUBLICATIONS:
            if cause != "too_large" and self.reaches(peer_id):
                self._exchange(peer_id)
        elif peer_id not in self._observers:
            self.dropped += count
            self._missing(f"publications for node {peer_id} were dropped: {_WHY[cause]}", count)

    def malformed(self, peer_id: str, error: EnvelopeError) -> None:
        held = self._throttle.allow(f"{peer_id} malformed", asyncio.get_running_loop().time())
        if held is not None:
            more = f" ({held} more like this)" if held else ""
            logger.warning("A message of node {} was dropped: {}{}", peer_id, error, more)

    def expired(self, now: float) -> None:
        if self._drop_lost(now):
            self._set_links()
        self._links.tick()
        self._interest.expired(now)
        self._tell_missing(now)

    # Inside

    def _leave_view(self, known: _Known, now: float) -> None:
        if not known.in_view:
            return
        known.in_view = False
        known.alone = now
        if not known.stopped:
            logger.info(
                "Node {} is not in the view any more: it stays while it is connected, or soon again", known.peer.id
            )

    def _drop_lost(self, now: float) -> bool:
        """Forget those that are neither in the view nor connected, once they have had their time."""
        lost = [
            peer_id
            for peer_id, known in self._known.items()
            if not known.in_view and not known.connected and (known.stopped or now - known.alone >= self._keep_seconds)
        ]
        for peer_id in lost:
            self._forget(peer_id)
        return bool(lost)

    def _forget(self, peer_id: str) -> None:
        del self._known[peer_id]
        self._part(peer_id)

    def _exchange(self, peer_id: str) -> None:
        self._interest.connected(peer_id, observer=peer_id in self._observers)

    def _part(self, peer_id: str) -> None:
        self._interest.forget(peer_id)
        if self._questions is not None:
            self._questions.gone(peer_id)

    def _set_links(self) -> None:
        self._links.set_peers(frozenset(known.peer for known in self._known.values()))

    def _dispatch(self, peer_id: str, encoded: bytes) -> None:
        envelope = decode(encoded)
        if isinstance(envelope, Publish):
            self._deliver(envelope.channel, envelope.publication())
        elif isinstance(envelope, Request):
            if self._questions is not None:
                self._questions.asked(peer_id, envelope)
        elif isinstance(envelope, Response):
            if self._questions is not None:
                self._questions.answered(peer_id, envelope)
        else:
            self._interest.received(peer_id, envelope)

    def _missing(self, what: str, count: int) -> None:
        """Logged at once, or with what follows: what the lines say adds up to what was counted."""
        self._untold[what] = self._untold.get(what, 0) + count
        self._tell_missing(asyncio.get_running_loop().time())

    def _tell_missing(self, now: float) -> None:
        for what in [what for what in self._untold if self._throttle.allow(what, now) is not None]:
            self._say_missing(what)

    def _say_missing(self, what: str) -> None:
        logger.warning("{} {}", self._untold.pop(what), what)

    def _status(self, known: _Known) -> LinkStatus:
        return self._links.status(known.peer, self._state(known), known.since)

    def _state(self, known: _Known) -> LinkState:
        if known.connected:
            return "up" if self._interest.settled(known.peer.id) else "exchanging"
        if not known.in_view or known.stopped:
            return "left"
        return "resuming" if self._links.resuming(known.peer.id) else "connecting"
