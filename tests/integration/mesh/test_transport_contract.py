"""The built-in transports keep to the contract; on other loops and carriers: tests/e2e/test_transport_contract.py."""

from __future__ import annotations

import uvloop

from wsplatform.testing import OneLoopContract, TransportContract
from wsplatform.testing.transport_nodes import TransportNode
from wsplatform.transports import http, memory, websocket
from wsplatform.transports.base import Transport, TransportContext
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


class TestFallback(TransportContract):
    """Both carriers can be had."""

    def create(self, context: TransportContext) -> Transport:
        return FallbackTransport(
            context, Named("websocket", websocket.create(context)), Named("http", http.create(context))
        )
