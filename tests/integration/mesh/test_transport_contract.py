"""The built-in transports keep to the contract."""

from __future__ import annotations

import pytest
import uvloop

from wsplatform.core import carriers
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
