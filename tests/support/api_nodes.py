"""Nodes in this process, joined by a hub in memory, each with its client face and server API on a real socket."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from typing import Any, Self

import aiohttp

from tests.support.client import Client
from tests.support.wait import eventually
from wsplatform.core.keys import RANDOM_BYTES, digest, new_key
from wsplatform.core.tokens import Claims, TokenVerifier, sign
from wsplatform.model import ApiKey, ChannelRule, ClusterConfig, Instance, Scope
from wsplatform.net.listen import bind
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.node.backend import Backend
from wsplatform.node.directory import Directory
from wsplatform.node.fanout import Fanout
from wsplatform.node.local_directory import LocalDirectory, LocalNode
from wsplatform.node.policy import Policy
from wsplatform.node.publisher import Publisher
from wsplatform.node.relay import Relay
from wsplatform.node.session import SessionServices
from wsplatform.node.sessions import Sessions
from wsplatform.node.subscriptions import Subscriptions
from wsplatform.node.survey import Survey
from wsplatform.settings import ApiTable, ClientTable, ClusterTable
from wsplatform.transports.base import Peer, TransportContext
from wsplatform.transports.memory import MemoryHub
from wsplatform.web.client_face import PATH, CentrifugeAcceptor
from wsplatform.web.server import WebServer, make_app
from wsplatform.web.server_api import server_api_blueprint
from wsplatform.web.upgrade import HeadLimits, protocol_factory

TOKEN_SECRET = "a-token-secret-of-the-tests-0123456789"
CLIENT = ClientTable(allow_anonymous=True, token_hmac_secrets=(TOKEN_SECRET,), max_channels=4)
API = ApiTable(max_request_bytes=200_000, max_publication_bytes=10_000, survey_seconds=0.5)
RULES = (
    ChannelRule(pattern="*", subscribe="anyone"),
    ChannelRule(pattern="closed:*", subscribe="nobody"),
    ChannelRule(pattern="small:*", subscribe="anyone", max_bytes=100),
)


def key(*scopes: Scope, channels: tuple[str, ...] = ()) -> tuple[str, ApiKey]:
    return new_key(secrets.token_bytes(RANDOM_BYTES), "test", scopes, channels)


def subscribed(client: Client) -> set[str]:
    """The channels of the subscribe pushes that came."""
    return {push["channel"] for push in client.pushes if "subscribe" in push}


def unsubscribed(client: Client) -> dict[str, int]:
    """Channel and code of the unsubscribe pushes that came."""
    return {push["channel"]: push["unsubscribe"]["code"] for push in client.pushes if "unsubscribe" in push}


class Node:
    """One node. `silent`: the other nodes' questions get no answer."""

    def __init__(self, node_id: str, hub: MemoryHub, cluster: ClusterTable) -> None:
        client, api = CLIENT, API
        loop = asyncio.get_running_loop()
        self.instance = Instance(node_id, secrets.token_hex(8))
        self.tasks, self.sweep = Tasks(), Sweep(0.05)
        self.policy, self.sessions = Policy(), Sessions()
        transport = hub.create(TransportContext(cluster, self.tasks, self.sweep))
        self.relay = Relay(transport, self._deliver, self.sweep, cluster)
        self.subscriptions = Subscriptions(self.relay)
        self._fanout = Fanout(self.subscriptions.groups, loop.call_soon)
        self.publisher = Publisher(self._fanout, self.relay)
        started = loop.time()
        local = LocalDirectory(
            LocalNode(self.instance, lambda: loop.time() - started), self.sessions, self.subscriptions
        )
        directory = Directory(local, Survey(self.relay), api.survey_seconds)
        backend = Backend(self.policy, self.publisher, directory, api.max_publication_bytes)
        tokens = TokenVerifier(client.token_hmac_secrets, ())
        services = SessionServices(self.policy, self.subscriptions, self.publisher, tokens, client.max_channels)
        self._acceptor = CentrifugeAcceptor(client, (), services, self.sessions, version="test")
        blueprint = server_api_blueprint(backend, self.policy, api.max_request_bytes)
        self.app = make_app(f"{node_id}-{self.instance.incarnation}", [blueprint], 1_000_000)
        self.url = ""
        self._server: WebServer | None = None

    async def start(self) -> None:
        self.sweep.start(asyncio.get_running_loop())
        await self.relay.start(self.peer)

    async def listen(self) -> None:
        listener = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        factory = protocol_factory({PATH: self._acceptor}, self.sweep, HeadLimits(16_384, 5.0))
        self._server = WebServer(self.app, listener, factory)
        await self._server.start()

    async def stop(self) -> None:
        await self._acceptor.drain(0.0)
        if self._server is not None:
            await self._server.stop(0.2)
        await self.relay.stop()
        self.sweep.stop()
        await self.tasks.close()

    @property
    def peer(self) -> Peer:
        return Peer(self.instance, "")

    def fall_silent(self) -> None:
        """Answer no question of another node any more, and stay connected."""
        self.relay.serve(_Deaf())

    def _deliver(self, channel: str, publication: Any) -> None:
        self._fanout.deliver(channel, publication)


class _Deaf:
    def asked(self, peer_id: str, request: object) -> None: ...
    def answered(self, peer_id: str, response: object) -> None: ...
    def gone(self, peer_id: str) -> None: ...


class Nodes:
    """`async with Nodes(3) as nodes`: started, joined, with the rules above and `nodes.key` for everything.

    listening: whether they serve their apps; configured: whether they get the rules and keys.
    """

    def __init__(
        self, count: int, *, listening: bool = True, configured: bool = True, max_envelope_bytes: int = 8_388_608
    ) -> None:
        self.key, record = key("api")
        self.config = ClusterConfig(1, RULES, (record,))
        self.hub = MemoryHub()
        self._count = count
        self._listening = listening
        self._configured = configured
        self._cluster = ClusterTable(max_envelope_bytes=max_envelope_bytes, interest_seconds=0.3)
        self._stack = AsyncExitStack()
        self._nodes: list[Node] = []

    async def __aenter__(self) -> Self:
        self.http = await self._stack.enter_async_context(aiohttp.ClientSession())
        for number in range(1, self._count + 1):
            node = Node(f"n{number}", self.hub, self._cluster)
            await node.start()
            self._stack.push_async_callback(node.stop)
            self._nodes.append(node)
            if self._listening:
                await node.listen()
            if self._configured:
                node.policy.update(self.config)
        for node in self._nodes:
            node.relay.set_peers(frozenset(other.peer for other in self._nodes))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def __getitem__(self, index: int) -> Node:
        return self._nodes[index]

    def add_key(self, *scopes: Scope, channels: tuple[str, ...] = ()) -> str:
        """A further key, known to all nodes."""
        text, record = key(*scopes, channels=channels)
        self._configure(self.config.rules, (*self.config.keys, record))
        return text

    def drop_keys(self, *texts: str) -> None:
        gone = {digest(text) for text in texts}
        self._configure(self.config.rules, tuple(key for key in self.config.keys if key.digest not in gone))

    def set_rules(self, *patterns: str) -> None:
        self._configure(tuple(ChannelRule(pattern=pattern) for pattern in patterns), self.config.keys)

    async def settled(self) -> None:
        await eventually(lambda: all(node.relay.settled for node in self._nodes))

    def token(self, user: str) -> str:
        """A connection token."""
        return sign(Claims(user), TOKEN_SECRET)

    async def call(self, method: str, *, node: int = 0, key: str | None = None, **params: Any) -> Any:
        """The body of the answer to a call that is answered with 200."""
        headers = {"X-API-Key": self.key if key is None else key}
        async with self.http.post(f"{self[node].url}/api/{method}", json=params, headers=headers) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "application/json"
            return await response.json()

    def _configure(self, rules: tuple[ChannelRule, ...], keys: tuple[ApiKey, ...]) -> None:
        self.config = ClusterConfig(self.config.version + 1, rules, keys)
        for node in self._nodes:
            node.policy.update(self.config)
