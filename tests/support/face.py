"""A client face on a real socket, without the rest of a node: rules by hand, a mesh of nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Raw
from sanic import Blueprint, HTTPResponse, Request

from wsplatform.model import ChannelRule, ClusterConfig, Publication
from wsplatform.net.listen import bind
from wsplatform.net.sweep import Sweep
from wsplatform.node.eviction import Eviction
from wsplatform.node.fanout import Fanout
from wsplatform.node.policy import Policy
from wsplatform.node.publisher import Publisher
from wsplatform.node.session import SessionServices
from wsplatform.node.sessions import Sessions
from wsplatform.node.subscriptions import Subscriptions
from wsplatform.settings import ClientTable
from wsplatform.web.client_face import PATH, CentrifugeAcceptor, token_verifier
from wsplatform.web.server import WebServer, make_app
from wsplatform.web.upgrade import HeadLimits, protocol_factory

SECRET = "a secret for tests, 32 bytes or more"
OPEN = (ChannelRule(pattern="*", subscribe="anyone", publish="anyone"),)


class Mesh:
    """Stands for the other nodes: they know at once, or with `slow`, when `acknowledge` is called."""

    def __init__(self) -> None:
        self.slow = False
        self.wanted: set[str] = set()
        self.published: list[tuple[str, Publication]] = []
        self._waiting: list[Callable[[], None]] = []

    def want(self, channel: str, done: Callable[[], None]) -> bool:
        self.wanted.add(channel)
        if self.slow:
            self._waiting.append(done)
        return not self.slow

    def unwant(self, channel: str) -> None:
        self.wanted.remove(channel)

    def publish(self, channel: str, publication: Publication) -> None:
        self.published.append((channel, publication))

    def acknowledge(self) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done()


class Node:
    """The services of a node, wired as app.py does it."""

    def __init__(
        self, table: ClientTable, rules: tuple[ChannelRule, ...], call_soon: Callable[..., Any], grace: float
    ) -> None:
        self.mesh = Mesh()
        self.policy = Policy()
        self.policy.update(ClusterConfig(1, rules))
        self.sessions = Sessions()
        self.subscriptions = Subscriptions(self.mesh)
        self.fanout = Fanout(self.subscriptions.groups, call_soon)
        self.publisher = Publisher(self.fanout, self.mesh)
        self.eviction = Eviction(self.policy, self.sessions, call_soon)
        tokens = token_verifier(table)
        self.services = SessionServices(
            self.policy, self.subscriptions, self.publisher, tokens, table.max_channels, grace
        )

    def publish(self, channel: str, data: Any) -> None:
        self.publisher.publish(channel, Publication(Raw(msgspec.json.encode(data))))

    def change_rules(self, *rules: ChannelRule) -> None:
        self.policy.update(ClusterConfig(2, rules))


class Served(Node):
    def __init__(
        self,
        table: ClientTable,
        rules: tuple[ChannelRule, ...],
        loop: asyncio.AbstractEventLoop,
        grace: float,
        trusted: tuple[str, ...],
    ) -> None:
        super().__init__(table, rules, loop.call_soon, grace)
        self.acceptor = CentrifugeAcceptor(table, trusted, self.services, self.sessions, version="test")
        self.url = ""

    @property
    def websocket(self) -> str:
        return self.url.replace("http", "ws", 1) + PATH


@asynccontextmanager
async def serve(
    *, rules: tuple[ChannelRule, ...] = OPEN, grace: float = 25.0, trusted: tuple[str, ...] = (), **client: Any
) -> AsyncIterator[Served]:
    """`client`: settings of ClientTable that differ."""
    values: dict[str, Any] = {"allow_anonymous": True, "token_hmac_secrets": (SECRET,), "close_seconds": 0.5, **client}
    table = ClientTable(**values)
    loop = asyncio.get_running_loop()
    node = Served(table, rules, loop, grace, trusted)
    sweep = Sweep(0.02)
    sweep.start(loop)
    listener = bind("127.0.0.1", 0)
    node.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    protocol = protocol_factory({PATH: node.acceptor}, sweep, HeadLimits(table.head_bytes, table.head_seconds))
    pages = Blueprint("pages")
    pages.add_route(_hello, "/hello", name="hello")
    server = WebServer(make_app(f"face-{uuid4().hex}", (pages,), 100_000), listener, protocol)
    await server.start()
    try:
        yield node
    finally:
        await node.acceptor.drain(0.0)
        await server.stop()
        sweep.stop()


async def _hello(request: Request) -> HTTPResponse:
    return HTTPResponse("hello")
