"""The built-in transports keep to the contract, and one that does not is found out."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from wsplatform.core import carriers
from wsplatform.testing import OneLoopContract, TransportContract
from wsplatform.testing.transport_nodes import TransportNode
from wsplatform.transports import http, memory, websocket
from wsplatform.transports.base import Peer, Transport, TransportContext, TransportEvents
from wsplatform.transports.fallback import FallbackTransport, Named


class TestMemory(OneLoopContract):
    def setup_method(self) -> None:
        self.hub = memory.MemoryHub()

    def create(self, context: TransportContext) -> Transport:
        return self.hub.create(context)

    def cut(self, left: TransportNode, right: TransportNode) -> None:
        self.hub.cut(left.id, right.id)

    def heal(self, left: TransportNode, right: TransportNode) -> None:
        self.hub.heal(left.id, right.id)


class TestWebSocket(TransportContract):
    def create(self, context: TransportContext) -> Transport:
        return websocket.create(context)


class TestWebSocketOnUvloop(TestWebSocket):
    loop_factory = uvloop.new_event_loop


class TestHttp(TransportContract):
    def create(self, context: TransportContext) -> Transport:
        return http.create(context)


class TestHttpOnUvloop(TestHttp):
    loop_factory = uvloop.new_event_loop


class TestFallback(TransportContract):
    """Both carriers can be had."""

    def create(self, context: TransportContext) -> Transport:
        return FallbackTransport(
            context, Named("websocket", websocket.create(context)), Named("http", http.create(context))
        )


class TestFallbackOnTheSecond(TransportContract):
    """The first one reaches nobody."""

    @pytest.fixture(autouse=True)
    def _hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(carriers, "OPEN_SECONDS", 0.05)

    def create(self, context: TransportContext) -> Transport:
        return FallbackTransport(context, Named("memory", memory.create(context)), Named("http", http.create(context)))


class Faithful:
    """Hands everything on; the base of those that do not."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.events: TransportEvents
        self.local: Peer

    async def start(self, local: Peer, events: TransportEvents) -> None:
        self.local, self.events = local, events
        await self.inner.start(local, events)

    async def stop(self) -> None:
        await self.inner.stop()

    def set_peers(self, peers: frozenset[Peer]) -> None:
        self.inner.set_peers(peers)

    def send(self, peer_id: str, envelope: bytes) -> bool:
        return self.inner.send(peer_id, envelope)


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


class Repeating(Faithful):
    def send(self, peer_id: str, envelope: bytes) -> bool:
        return self.inner.send(peer_id, envelope) and (envelope != b"77" or self.inner.send(peer_id, envelope))


class Losing(Faithful):
    """Accepts, and forgets."""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        return envelope == b"77" or self.inner.send(peer_id, envelope)


class Echoing(Faithful):
    """Delivers to itself as well."""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        if peer_id == self.local.id:
            self.events.received(self.local.id, envelope)
            return True
        return self.inner.send(peer_id, envelope)


class Hoarding(Faithful):
    """Never refuses; keeps what was not accepted for later."""

    def send(self, peer_id: str, envelope: bytes) -> bool:
        if not self.inner.send(peer_id, envelope):
            asyncio.get_running_loop().call_soon(self.inner.send, peer_id, envelope)
        return True


class Talkative(Faithful):
    """Says something after stop."""

    async def stop(self) -> None:
        await self.inner.stop()
        asyncio.get_running_loop().call_soon(self.events.received, "b", b"late")


ORDER = "test_envelopes_arrive_in_the_order_of_sending"


@pytest.mark.parametrize(
    ("fault", "case"),
    [
        (Reordering, ORDER),
        (Repeating, ORDER),
        (Losing, ORDER),
        (Truncating, "test_envelopes_arrive_whole_around_every_limit_of_size"),
        (Echoing, "test_nothing_comes_to_the_sender_or_to_a_third"),
        (Hoarding, "test_too_much_is_refused_at_once_and_what_was_accepted_arrives"),
        (Talkative, "test_stop_tells_down_and_then_nothing"),
    ],
)
def test_a_transport_with_a_fault_fails_the_contract(fault: type[Faithful], case: str) -> None:
    with pytest.raises((AssertionError, TimeoutError)):
        run(fault, case)
    run(Faithful, case)


def run(wrapper: type[Faithful], case: str) -> None:
    class Wrapped(TestMemory):
        patience = 0.5

        def create(self, context: TransportContext) -> Transport:
            return wrapper(super().create(context))

    contract = Wrapped()
    contract.setup_method()
    getattr(contract, case)()
