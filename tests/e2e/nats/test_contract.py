"""The transport nats on a real server: the contract of all transports, and what only a server in between can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import uvloop

from tests.support.nats import Server
from tests.support.tcp_proxy import ProxyThread, TcpProxy
from wsplatform.settings import NatsTable
from wsplatform.testing.transport_contract import TransportContract
from wsplatform.testing.transport_nodes import TransportNode
from wsplatform.transports import nats
from wsplatform.transports.base import Transport, TransportContext


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Iterator[Server]:
    with make_server() as server:
        yield server


class TestContract(TransportContract):
    """A cut breaks the connection of each of the two to the server."""

    @pytest.fixture(autouse=True)
    def _network(self, server: Server) -> Iterator[None]:
        self.server = server
        self.proxies: dict[Transport, TcpProxy] = {}
        with ProxyThread() as self.thread:
            yield

    def create(self, context: TransportContext) -> Transport:
        proxy = self.thread.open(self.server.port)
        transport = nats.create(replace(context, nats=NatsTable(urls=(f"nats://127.0.0.1:{proxy.port}",))))
        self.proxies[transport] = proxy
        return transport

    def cut(self, left: TransportNode, right: TransportNode) -> None:
        for node in (left, right):
            self.thread.cut(self.proxies[node.transport])

    def open_files(self) -> int:
        return super().open_files() - len(self.proxies)


class TestContractOnUvloop(TestContract):
    loop_factory = uvloop.new_event_loop
