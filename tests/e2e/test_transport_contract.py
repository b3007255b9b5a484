"""The contract on further loops and carriers than in tests/integration/mesh, where there is less time."""

from __future__ import annotations

import pytest
import uvloop

from wsplatform.core import carriers
from wsplatform.testing import TransportContract
from wsplatform.transports import http, memory
from wsplatform.transports.base import Transport, TransportContext
from wsplatform.transports.fallback import FallbackTransport, Named


class TestHttpOnUvloop(TransportContract):
    loop_factory = uvloop.new_event_loop

    def create(self, context: TransportContext) -> Transport:
        return http.create(context)


class TestFallbackOnTheSecond(TransportContract):
    """The first one reaches nobody."""

    @pytest.fixture(autouse=True)
    def _hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(carriers, "OPEN_SECONDS", 0.05)

    def create(self, context: TransportContext) -> Transport:
        return FallbackTransport(context, Named("memory", memory.create(context)), Named("http", http.create(context)))
