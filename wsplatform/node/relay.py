"""Publications to and from other nodes: sent to those that want the channel; delivered where they come, never sent on.

The relay is what the rest of the node sees of the mesh. It knows the view, the transport and what the peers want.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from loguru import logger

from wsplatform.core.throttle import Throttle
from wsplatform.model import Publication
from wsplatform.net.sweep import Sweep
from wsplatform.node.interest import InterestExchange
from wsplatform.transports.base import Peer, Transport
from wsplatform.wire.cluster import EnvelopeError, Publish, Request, Response, decode, encode_publication

LinkState = Literal["connecting", "exchanging", "up"]

_LOG_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """The link with one peer of the view.

    state: connecting; exchanging (connected, not all interest is known on both sides yet); up. since: Unix time of the
    last connect or disconnect. sent and received: envelopes. dropped: publications for it by cause (not_connected,
    refused: too much is waiting for it), and malformed envelopes from it.
    """

    peer: Peer
    state: LinkState
    since: float
    sent: int
    received: int
    dropped: Mapping[str, int]


class Questions(Protocol):
    """Who answers and asks over the relay (node/survey.py)."""

    def asked(self, peer_id: str, request: Request) -> None: ...
    def answered(self, peer_id: str, response: Response) -> None: ...
    def gone(self, peer_id: str) -> None: ...


@dataclass(slots=True)
class _Link:
    peer: Peer
    since: float
    up: bool = False
    sent: int = 0
    received: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


class Relay:
    """transports.base.TransportEvents of `transport`.

    deliver: brings a publication to the subscribers of this node. interest_seconds: the longest wait for the peers to
    know a channel, kept to within an interval of the sweep.
    """

    deadline = 0.0
    """For the sweep: every time."""

    def __init__(
        self,
        transport: Transport,
        deliver: Callable[[str, Publication], None],
        sweep: Sweep,
        interest_seconds: float,
    ) -> None:
        self.dropped = 0
        """Publications that some peer wanted and could not be sent, since the start."""
        self._transport = transport
        self._deliver = deliver
        self._sweep = sweep
        self._interest = InterestExchange(self.send, interest_seconds)
        self._wanted_by = self._interest.wanted_by
        self._links: dict[str, _Link] = {}
        self._local: Peer | None = None
        self._view: frozenset[Peer] | None = None
        self._kept: frozenset[str] = frozenset()
        self._questions: Questions | None = None
        self._throttle = Throttle(_LOG_SECONDS)

    async def start(self, local: Peer) -> None:
        """Raises StartError when the transport cannot work."""
        self._local = local
        self._interest.start(asyncio.get_running_loop())
        await self._transport.start(local, self)
        self._sweep.add(self)

    async def stop(self) -> None:
        """Idempotent. Afterwards nothing is delivered."""
        self._sweep.discard(self)
        await self._transport.stop()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        """The peers of the view, oneself perhaps among them.

        A peer that is not in it any more stays as long as it is connected, unless another instance has its id: it
        cannot be reached by the registry, or the registry has come back without its database. Whoever is gone has hung
        up, or will be found silent.
        """
        assert self._local is not None
        self._view = peers
        named = {peer.id: peer for peer in peers if peer.id != self._local.id}
        kept = {link.peer.id: link.peer for link in self._links.values() if link.up and link.peer.id not in named}
        for peer_id in kept.keys() - self._kept:
            logger.info("Node {} is not in the view any more, but connected: it stays", peer_id)
        self._kept = frozenset(kept)
        named.update(kept)
        for peer_id, link in tuple(self._links.items()):
            if named.get(peer_id) != link.peer:
                self._interest.forget(peer_id)
                del self._links[peer_id]
        for peer_id, peer in named.items():
            self._links.setdefault(peer_id, _Link(peer, time.time()))
        self._transport.set_peers(frozenset(named.values()))

    def publish(self, channel: str, publication: Publication) -> None:
        """Send to every peer that wants the channel. What cannot be sent is counted, and logged at a bounded rate."""
        peers = self._wanted_by(channel)
        if not peers:
            return
        envelope = encode_publication(channel, publication)
        for peer_id in peers:
            if not self.send(peer_id, envelope):
                self._drop(peer_id)

    def want(self, channel: str, done: Callable[[], None]) -> bool:
        """Have the channel's publications sent here. May be repeated.

        True: every connected peer knows, and what it publishes from now on comes. False: `done()` is called once, when
        all of them have acknowledged, or after `interest_seconds`.
        """
        return self._interest.want(channel, done)

    def unwant(self, channel: str) -> None:
        self._interest.unwant(channel)

    @property
    def settled(self) -> bool:
        """There is a view, and with every peer of it the interest of both sides has been exchanged."""
        return self._view is not None and all(self._interest.settled(peer_id) for peer_id in self._links)

    @property
    def late(self) -> int:
        """Calls of `done` that came by time, not by acknowledgement, since the start."""
        return self._interest.late

    def links(self) -> tuple[LinkStatus, ...]:
        """Of every peer of the view, by node id."""
        return tuple(self._status(self._links[peer_id]) for peer_id in sorted(self._links))

    # For the survey

    @property
    def peers(self) -> tuple[str, ...]:
        """The ids of the peers of the view, connected or not."""
        return tuple(self._links)

    def serve(self, questions: Questions) -> None:
        self._questions = questions

    def send(self, peer_id: str, envelope: bytes) -> bool:
        """Hand one envelope to the transport. False: not accepted."""
        link = self._links.get(peer_id)
        if link is None or not self._transport.send(peer_id, envelope):
            return False
        link.sent += 1
        return True

    # TransportEvents

    def up(self, peer: Peer) -> None:
        link = self._links.get(peer.id)
        if link is None:
            return
        logger.info("Connected with node {}", peer.id)
        link.up = True
        link.since = time.time()
        self._interest.connected(peer.id)

    def received(self, peer_id: str, envelope: bytes) -> None:
        link = self._links.get(peer_id)
        if link is None:
            return
        link.received += 1
        try:
            self._dispatch(peer_id, envelope)
        except EnvelopeError as error:
            link.dropped["malformed"] += 1
            self._log(f"{peer_id} malformed", f"An envelope of node {peer_id} was dropped: {error}")
        except Exception as error:  # noqa: BLE001 - logged; one bad publication must not cost the link
            logger.opt(exception=error).error("an envelope of node {} failed", peer_id)

    def down(self, peer: Peer, why: str) -> None:
        logger.info("Disconnected from node {}: {}", peer.id, why)
        link = self._links.get(peer.id)
        if link is not None:
            link.up = False
            link.since = time.time()
        self._interest.disconnected(peer.id)
        if self._questions is not None:
            self._questions.gone(peer.id)

    def expired(self, now: float) -> None:
        if self._view is not None and not all(self._links[peer_id].up for peer_id in self._kept):
            self.set_peers(self._view)
        self._interest.expired(now)

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

    def _drop(self, peer_id: str) -> None:
        self.dropped += 1
        link = self._links.get(peer_id)
        if link is None:
            return
        cause = "refused" if link.up else "not_connected"
        link.dropped[cause] += 1
        why = "too much is waiting for it, or the publication is too large" if link.up else "it is not connected"
        self._log(f"{peer_id} {cause}", f"A publication for node {peer_id} was dropped: {why}")

    def _log(self, key: str, line: str) -> None:
        held = self._throttle.allow(key, asyncio.get_running_loop().time())
        if held is not None:
            logger.warning("{}{}", line, f" ({held} more before it)" if held else "")

    def _status(self, link: _Link) -> LinkStatus:
        state: LinkState = "connecting"
        if link.up:
            state = "up" if self._interest.settled(link.peer.id) else "exchanging"
        return LinkStatus(link.peer, state, link.since, link.sent, link.received, dict(link.dropped))
