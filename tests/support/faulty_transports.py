"""Transports with one fault each, around one that has none: what the contract is there to find."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar

from wsplatform.model import Instance
from wsplatform.transports.base import Peer, Transport, TransportContext, TransportEvents


class Faithful:
    """Hands everything on, both ways; the base of those that do not. `settings`: which the inner one has instead."""

    settings: ClassVar[dict[str, float]] = {}

    def __init__(self, inner: Transport, context: TransportContext) -> None:
        self.inner = inner
        self.context = context
        self.events: TransportEvents
        self.local: Peer

    async def start(self, local: Peer, events: TransportEvents) -> None:
        self.local, self.events = local, events
        await self.inner.start(local, self)

    async def stop(self) -> None:
        await self.inner.stop()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.inner.set_peers(peers)

    def send(self, peer_id: str, envelope: bytes) -> bool:
        return self.inner.send(peer_id, envelope)

    def up(self, peer: Peer) -> None:
        self.events.up(peer)

    def received(self, peer_id: str, envelope: bytes) -> None:
        self.events.received(peer_id, envelope)

    def down(self, peer: Peer, why: str) -> None:
        self.events.down(peer, why)


def later(function: Callable[..., object], *arguments: object) -> None:
    asyncio.get_running_loop().call_soon(function, *arguments)


# What arrives


class Numeric(Faithful):
    def send(self, peer_id: str, envelope: bytes) -> bool:
        return int(self.inner.send(peer_id, envelope))  # type: ignore[return-value]


class Reordering(Faithful):
    held: tuple[str, bytes] | None = None

    def send(self, peer_id: str, envelope: bytes) -> bool:
        if envelope == b"500":
            self.held = peer_id, envelope
            return True
        accepted = self.inner.send(peer_id, envelope)
        if self.held is not None:
            self.inner.send(*self.held)
            self.held = None
        return accepted


class Truncating(Faithful):
    def send(self, peer_id: str, envelope: bytes) -> bool:
        return self.inner.send(peer_id, envelope[:262_144])


class CuttingSmallOnes(Faithful):
    """A length of one byte."""

    def received(self, peer_id: str, envelope: bytes) -> None:
        self.events.received(peer_id, envelope[: len(envelope) % 256] if 255 < len(envelope) < 4000 else envelope)


class Splitting(Faithful):
    """A line is a frame."""

    def received(self, peer_id: str, envelope: bytes) -> None:
        for line in envelope.split(b"\r\n") if len(envelope) < 100 else [envelope]:
            self.events.received(peer_id, line)


class Doubling(Faithful):
    def send(self, peer_id: str, envelope: bytes) -> bool:
        return self.inner.send(peer_id, envelope) and (envelope != b"77" or self.inner.send(peer_id, envelope))


class Losing(Faithful):
    """Accepts, and forgets."""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        return envelope == b"77" or self.inner.send(peer_id, envelope)


class Waiting(Faithful):
    """Sends an envelope when the next one comes."""

    held: tuple[str, bytes] | None = None

    def send(self, peer_id: str, envelope: bytes) -> bool:
        if self.held is not None:
            self.inner.send(*self.held)
        self.held = peer_id, envelope
        return True


class Echoing(Faithful):
    """Delivers to itself as well."""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        if peer_id == self.local.id:
            self.events.received(self.local.id, envelope)
            return True
        return self.inner.send(peer_id, envelope)


class ToAll(Faithful):
    """What is for one goes to everybody."""

    peers: frozenset[Peer] = frozenset()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.peers = peers
        self.inner.set_peers(peers)

    def send(self, peer_id: str, envelope: bytes) -> bool:
        return [self.inner.send(peer.id, envelope) for peer in self.peers if peer.id != self.local.id].count(True) > 0


class Mixing(Faithful):
    """Takes all envelopes for those of the one that came up first."""

    first = ""

    def up(self, peer: Peer) -> None:
        self.first = self.first or peer.id
        self.events.up(peer)

    def received(self, peer_id: str, envelope: bytes) -> None:
        self.events.received(self.first if peer_id == "n7" else peer_id, envelope)


class Views(Faithful):
    """Hands out something that looks like bytes."""

    def received(self, peer_id: str, envelope: bytes) -> None:
        self.events.received(peer_id, memoryview(envelope))  # type: ignore[arg-type]


class Replaying(Faithful):
    """Sends again after a break, as if it were the link."""

    sent: tuple[bytes, ...] = ()

    def up(self, peer: Peer) -> None:
        self.events.up(peer)
        for envelope in self.sent:
            self.inner.send(peer.id, envelope)

    def send(self, peer_id: str, envelope: bytes) -> bool:
        accepted = self.inner.send(peer_id, envelope)
        if accepted:
            self.sent = (*self.sent, envelope)[:50]
        return accepted


# What is accepted


class Hoarding(Faithful):
    """Never refuses; keeps what was not accepted for later."""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        if not self.inner.send(peer_id, envelope):
            later(self.inner.send, peer_id, envelope)
        return True


class Overtaking(Faithful):
    """What was refused is sent later by the transport itself, behind the caller's back."""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        accepted = self.inner.send(peer_id, envelope)
        if not accepted and len(envelope) == 50_000:
            later(self.inner.send, peer_id, envelope)
        return accepted


class OneQueue(Faithful):
    """What waits for one peer fills the queue of all."""

    waiting = 0

    def send(self, peer_id: str, envelope: bytes) -> bool:
        self.waiting += len(envelope)
        return self.waiting < self.context.settings.outbox_bytes and self.inner.send(peer_id, envelope)


class Unlimited(Faithful):
    """Takes an envelope of any size, and drops the peer for one that is too large."""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        return len(envelope) > self.context.settings.max_envelope_bytes or self.inner.send(peer_id, envelope)


class Blocking(Faithful):
    """Waits until there is room."""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        if not self.inner.send(peer_id, envelope):
            time.sleep(0.6)
            return False
        return True


class Raising(Faithful):
    def send(self, peer_id: str, envelope: bytes) -> bool:
        if not self.inner.send(peer_id, envelope):
            raise KeyError(peer_id)
        return True


class Inline(Faithful):
    """Tells inside send()."""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        accepted = self.inner.send(peer_id, envelope)
        if envelope == b"0":
            self.events.received(peer_id, envelope)
        return accepted


class Stuttering(Faithful):
    """Accepts nothing inside an event."""

    busy = False

    def received(self, peer_id: str, envelope: bytes) -> None:
        self.busy = True
        self.events.received(peer_id, envelope)
        self.busy = False

    def send(self, peer_id: str, envelope: bytes) -> bool:
        return not self.busy and self.inner.send(peer_id, envelope)


class Optimistic(Faithful):
    """Accepts for a peer that it tells down in the same breath."""

    going = ""

    def down(self, peer: Peer, why: str) -> None:
        self.going = peer.id
        self.events.down(peer, why)
        self.going = ""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        return peer_id == self.going or self.inner.send(peer_id, envelope)


# Who is up


class UpTwice(Faithful):
    def up(self, peer: Peer) -> None:
        self.events.up(peer)
        self.events.up(peer)


class NeverUp(Faithful):
    def up(self, peer: Peer) -> None:
        pass


class NeverDown(Faithful):
    def down(self, peer: Peer, why: str) -> None:
        pass


class Mute(Faithful):
    """Gives no reason."""

    def down(self, peer: Peer, why: str) -> None:
        self.events.down(peer, "")


class Restarting(Faithful):
    """Takes a view that is the same for a new one."""

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.inner.set_peers(frozenset())
        self.inner.set_peers(peers)


class Adding(Faithful):
    """Never drops a peer."""

    peers: frozenset[Peer] = frozenset()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.peers |= peers
        self.inner.set_peers(self.peers)


class Inviting(Faithful):
    """Tells up whom it was told of, connected or not."""

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.inner.set_peers(peers)
        for peer in peers:
            if peer.id not in (self.local.id, "b"):
                self.events.up(peer)


class Selfish(Faithful):
    """Is a peer of itself when the view has another instance of its id."""

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.inner.set_peers(peers)
        for peer in peers:
            if peer.id == self.local.id and peer != self.local:
                self.events.up(peer)


class Careless(Faithful):
    """Ignores incarnations: whoever has the id is the peer."""

    last: frozenset[Peer] = frozenset()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        known = {peer.id: peer for peer in self.last}
        self.last = frozenset(known.get(peer.id, peer) for peer in peers)
        self.inner.set_peers(self.last)


class Fragile(Faithful):
    """One peer more than it can bear, and it connects with nobody."""

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.inner.set_peers(peers if len(peers) < 100 else frozenset())


class Perfectionist(Faithful):
    """Connects when all are there."""

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.inner.set_peers(peers if not any(peer.id == "gone" for peer in peers) else frozenset())


class Slow(Faithful):
    """The view that it acts on is one too old."""

    before: frozenset[Peer] | None = None

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.inner.set_peers(peers if self.before is None else self.before)
        self.before = peers


class Resigned(Faithful):
    """Does not come back after a break."""

    def down(self, peer: Peer, why: str) -> None:
        self.events.down(peer, why)
        if "cut" in why:
            self.inner.set_peers(frozenset())


class Panicking(Faithful):
    """One is down: all are."""

    peers: frozenset[Peer] = frozenset()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.peers = peers
        self.inner.set_peers(peers)

    def down(self, peer: Peer, why: str) -> None:
        self.events.down(peer, why)
        self.inner.set_peers(frozenset())
        later(self.inner.set_peers, self.peers)


class Nervous(Faithful):
    """Looks at the clock, not at whether it could hear."""

    last = 0.0

    async def start(self, local: Peer, events: TransportEvents) -> None:
        await super().start(local, events)
        self.watch = self.context.tasks.start(self._watch(), name="watch")

    async def stop(self) -> None:
        self.watch.cancel()
        await super().stop()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.peers = peers
        self.inner.set_peers(peers)

    async def _watch(self) -> None:
        while True:
            self.last = time.monotonic()
            await asyncio.sleep(0.05)
            if time.monotonic() - self.last > self.context.settings.dead_seconds:
                self.inner.set_peers(frozenset())
                self.inner.set_peers(self.peers)


# The end


class Talkative(Faithful):
    """Says something after stop."""

    async def stop(self) -> None:
        await self.inner.stop()
        if hasattr(self, "events"):
            later(self.events.received, "b", b"late")


class Leaking(Faithful):
    """Leaves a task behind."""

    async def start(self, local: Peer, events: TransportEvents) -> None:
        await super().start(local, events)
        self.context.tasks.start(asyncio.sleep(60), name="forgotten")


class Unhandled(Faithful):
    """Fails where nobody looks."""

    async def stop(self) -> None:
        await self.inner.stop()
        later(self._fail)

    def _fail(self) -> None:
        raise KeyError("nobody looks")


class Once(Faithful):
    """Cannot be stopped again."""

    stopped = False

    async def stop(self) -> None:
        assert not self.stopped
        self.stopped = True
        await self.inner.stop()


class Littering(Faithful):
    """Opens a file for each peer."""

    def up(self, peer: Peer) -> None:
        self.kept = [*getattr(self, "kept", ()), open("/dev/null", "rb")]  # noqa: SIM115, PTH123
        self.events.up(peer)

    async def stop(self) -> None:
        await self.inner.stop()
        KEPT.extend(getattr(self, "kept", ()))


KEPT: list[object] = []
"""Of Littering, for the test to close."""


class Contagious(Faithful):
    """When a peer has stopped, stops as well."""

    def down(self, peer: Peer, why: str) -> None:
        self.events.down(peer, why)
        if "stopped" in why and "other" in why:
            self.inner.set_peers(frozenset())


class StillUp(Faithful):
    """Tells up what was being connected when it was stopped."""

    async def stop(self) -> None:
        events = getattr(self, "events", None)
        await self.inner.stop()
        if events is not None:
            events.up(Peer(Instance("c", "x")))


# Silence: around a transport whose nodes have event loops of their own


class Patient(Faithful):
    """Has never heard of cluster.dead_seconds."""

    settings: ClassVar[dict[str, float]] = {"dead_seconds": 3600.0}


class Hasty(Faithful):
    """Gives a peer up before it has had the time to speak."""

    settings: ClassVar[dict[str, float]] = {"dead_seconds": 0.3, "ping_seconds": 0.25}


class Polite(Faithful):
    """Does not stop before its peers have heard everything."""

    unheard = False
    until = 0.0

    async def stop(self) -> None:
        self.until = self.until or time.monotonic() + 3
        while self.unheard and time.monotonic() < self.until:
            await asyncio.sleep(0.01)
        await self.inner.stop()

    def send(self, peer_id: str, envelope: bytes) -> bool:
        accepted = self.inner.send(peer_id, envelope)
        self.unheard = not accepted
        return accepted


class Pinging(Faithful):
    """Asks its peers whether they live, and has the question and the answer wait behind everything else."""

    async def start(self, local: Peer, events: TransportEvents) -> None:
        await super().start(local, events)
        self.heard: dict[str, float] = {}
        self.watch = self.context.tasks.start(self._watch(), name="watch")

    async def stop(self) -> None:
        self.watch.cancel()
        await super().stop()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.peers = peers
        self.inner.set_peers(peers)

    def up(self, peer: Peer) -> None:
        self.heard[peer.id] = time.monotonic()
        self.events.up(peer)

    def received(self, peer_id: str, envelope: bytes) -> None:
        if envelope == b"ping?":
            self.inner.send(peer_id, b"pong!")
        elif envelope == b"pong!":
            self.heard[peer_id] = time.monotonic()
        else:
            self.events.received(peer_id, envelope)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.context.settings.ping_seconds)
            for peer_id, heard in self.heard.items():
                self.inner.send(peer_id, b"ping?")
                if time.monotonic() - heard > self.context.settings.dead_seconds:
                    self.inner.set_peers(frozenset())
                    self.inner.set_peers(self.peers)
