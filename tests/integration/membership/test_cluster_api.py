"""The registry's node face on the wire: what strangers, meddlers and mistaken nodes are answered."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from tests.support.nodes import SECRET, ObservedNode, identity, registry_identity
from tests.support.registry import MemoryRegistry, RegistryServer
from tests.support.wait import eventually
from wsplatform.core.control import MAX_CALL_BYTES, ControlSession, SessionLimits
from wsplatform.core.handshake import NONCE_BYTES, Initiator
from wsplatform.errors import HandshakeError, PlatformError, RegistryUnavailable, RequestError
from wsplatform.model import Instance, Known
from wsplatform.node.registry_client import HttpRegistryClient

NODE = Instance("n1", "1")
NEVER = 600.0
Closing = Callable[[Any], Any]


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
async def server(registry: MemoryRegistry) -> AsyncIterator[RegistryServer]:
    server = RegistryServer(registry, registry_identity(), SessionLimits(openings=5, sessions=5, session_seconds=NEVER))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


@pytest.fixture
async def closing() -> AsyncIterator[Closing]:
    """Closes at the end what is passed through it."""
    things: list[Any] = []

    def keep(thing: Any) -> Any:
        things.append(thing)
        return thing

    yield keep
    for thing in things:
        await thing.close()


class Wire:
    """A node's calls, byte by byte."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url

    async def post(self, method: str, body: bytes) -> tuple[int, bytes]:
        async with self.http.post(f"{self.url}/cluster/{method}", data=body) as reply:
            return reply.status, await reply.read()

    async def refused(self, method: str, body: bytes) -> tuple[int, str]:
        status, answer = await self.post(method, body)
        error = msgspec.json.decode(answer)["error"]
        assert error["message"]
        return status, error["code"]

    async def connect(self, instance: Instance = NODE) -> ControlSession:
        initiator = Initiator(identity(instance), secrets.token_bytes(NONCE_BYTES))
        status, opening = await self.post("session", initiator.hello())
        assert status == 200
        return ControlSession(initiator, opening)


@pytest.fixture
def wire(http: aiohttp.ClientSession, server: RegistryServer) -> Wire:
    return Wire(http, server.url)


def member(instance: Instance) -> bytes:
    node = ObservedNode(MemoryRegistry(), instance)
    return msgspec.msgpack.encode((node.member(), Known()))


async def test_a_call_works(wire: Wire, registry: MemoryRegistry) -> None:
    session = await wire.connect()
    status, reply = await wire.post("register", session.ask("register", member(NODE)))
    assert status == 200
    assert session.answered("register", reply).code == ""
    assert registry.member("n1") is not None


async def test_replayed_and_changed_calls_are_refused_and_do_nothing(wire: Wire, registry: MemoryRegistry) -> None:
    session = await wire.connect()
    body = session.ask("register", member(NODE))
    await wire.post("register", body)
    leave = session.ask("leave", msgspec.msgpack.encode(NODE))
    assert await wire.refused("leave", leave[:-1] + b"\0") == (403, "bad_mac")
    assert await wire.refused("heartbeat", leave) == (403, "bad_mac")
    assert await wire.refused("register", body) == (403, "replayed")
    assert registry.registrations == 1
    assert registry.member("n1") is not None
    status, reply = await wire.post("leave", leave)
    assert status == 200, "the session is none the worse"
    assert session.answered("leave", reply).code == ""
    assert await wire.refused("leave", leave) == (403, "replayed")


async def test_strangers_get_coded_errors(wire: Wire) -> None:
    assert await wire.refused("session", b"") == (400, "malformed")
    assert await wire.refused("session", secrets.token_bytes(200)) == (400, "malformed")
    assert await wire.refused("register", b"\xc1") == (400, "malformed")
    assert await wire.refused("register", b"\x91" * 5000) == (400, "malformed")
    assert await wire.refused("heartbeat", msgspec.msgpack.encode(["nobody's", b"", b""])) == (401, "unknown_session")
    hello = Initiator(identity(NODE, version=9), secrets.token_bytes(NONCE_BYTES)).hello()
    assert await wire.refused("session", hello) == (403, "wrong_version")


async def test_bodies_are_bounded(wire: Wire) -> None:
    assert await wire.refused("session", bytes(MAX_CALL_BYTES + 1)) == (413, "too_large")

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield bytes(1000)

    async with wire.http.post(f"{wire.url}/cluster/leave", data=endless()) as reply:
        assert reply.status == 413
    assert await wire.refused("register", bytes(350_000)) == (
        413,
        "too_large",
    )  # Sanic closes after this one


async def test_only_post_is_understood(wire: Wire) -> None:
    async with wire.http.get(f"{wire.url}/cluster/register") as reply:
        assert reply.status == 405
    assert await wire.refused("unknown", b"") == (404, "not_found")


async def test_what_a_node_cannot_have_is_told_under_seal(wire: Wire) -> None:
    session = await wire.connect()
    for payload, code in (
        (b"\xc1", "bad_request"),
        (b"", "bad_request"),
        (member(Instance("n2", "1")), "wrong_instance"),
    ):
        status, reply = await wire.post("register", session.ask("register", payload))
        assert status == 200
        assert session.answered("register", reply).code == code


async def test_a_flood_of_openings_does_not_touch_sessions(wire: Wire) -> None:
    session = await wire.connect()
    await wire.post("register", session.ask("register", member(NODE)))
    for number in range(50):
        await wire.connect(Instance(f"stranger{number}", "1"))
    status, _ = await wire.post("leave", session.ask("leave", msgspec.msgpack.encode(NODE)))
    assert status == 200


def client(url: str, secret: str = SECRET, timeout: float = 2.0) -> HttpRegistryClient:
    return HttpRegistryClient(url, identity(NODE, secret), timeout)


async def test_the_client_goes_on_when_the_registry_has_forgotten_its_session(
    server: RegistryServer, registry: MemoryRegistry, closing: Closing
) -> None:
    asking = closing(client(server.url))
    node = ObservedNode(registry, NODE)
    await asking.register(node.member())
    for number in range(6):
        other = closing(HttpRegistryClient(server.url, identity(Instance(f"x{number}", "1")), 2.0))
        await other.leave(Instance(f"x{number}", "1"))
    assert (await asking.register(node.member())).view == registry.view


async def test_the_client_hears_what_the_registry_says(server: RegistryServer, closing: Closing) -> None:
    asking = closing(client(server.url))
    node = ObservedNode(asking, NODE)
    await asking.register(node.member())
    await closing(HttpRegistryClient(server.url, identity(Instance("n1", "2")), 2.0)).register(
        ObservedNode(asking, Instance("n1", "2")).member()
    )
    with pytest.raises(RequestError) as caught:
        await asking.register(node.member())
    assert (caught.value.status, caught.value.code) == (409, "superseded")
    assert "id of its own" in caught.value.message


async def test_another_secret_is_a_handshake_error_that_says_what_to_do(
    server: RegistryServer, closing: Closing
) -> None:
    with pytest.raises(HandshakeError, match=r"cluster\.secrets") as caught:
        await closing(client(server.url, "another")).leave(NODE)
    assert caught.value.code == "wrong_secret"
    assert "another" not in str(caught.value)


async def test_secrets_can_be_rotated_one_side_at_a_time(server: RegistryServer, closing: Closing) -> None:
    asking = closing(client(server.url))
    await asking.leave(NODE)
    for secrets_now in ((SECRET, "new"), ("new", SECRET)):
        await server.stop()
        server.identity = registry_identity(*secrets_now)
        await server.start()
        await asking.leave(NODE)
        await closing(client(server.url, "new")).leave(NODE)


async def test_nobody_there_is_a_temporary_error(server: RegistryServer, closing: Closing) -> None:
    await server.stop()
    with pytest.raises(RegistryUnavailable, match="Connect") as caught:
        await closing(client(server.url)).leave(NODE)
    assert caught.value.temporary
    with pytest.raises(RegistryUnavailable):
        await closing(client("http://[broken")).leave(NODE)


async def test_a_registry_that_hangs_costs_the_timeout(closing: Closing) -> None:
    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _reader.read()
        writer.close()

    listener = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    asking = client(f"http://127.0.0.1:{port}", timeout=0.2)
    started = asyncio.get_running_loop().time()
    with pytest.raises(RegistryUnavailable, match="in time"):
        await asking.leave(NODE)
    assert asyncio.get_running_loop().time() - started < 2
    await asking.close()
    listener.close()
    await listener.wait_closed()


class Between:
    """Somebody on the way, who changes replies as `change` says."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.change: Callable[[int, bytes], tuple[int, bytes]] = lambda status, body: (status, body)
        self.url = ""
        self._http = aiohttp.ClientSession()
        app = web.Application()
        app.router.add_post("/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app)

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        await self._runner.cleanup()
        await self._http.close()

    async def _pass_on(self, request: web.Request) -> web.Response:
        async with self._http.post(f"{self.target}/{request.match_info['path']}", data=await request.read()) as reply:
            status, body = self.change(reply.status, await reply.read())
            return web.Response(status=status, body=body, content_type=reply.content_type)


ERROR = msgspec.json.encode({"error": {"code": "superseded", "message": "Stop!"}})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda status, body: (status, body[:-1] + bytes([body[-1] ^ 1])), HandshakeError),
        (lambda status, body: (status, b""), HandshakeError),
        (lambda status, body: (409, ERROR), RegistryUnavailable),
        (lambda status, body: (403, ERROR), HandshakeError),
        (lambda status, body: (401, b"{}"), RegistryUnavailable),
        (lambda status, body: (500, b"x" * 100_000), RegistryUnavailable),
        (lambda status, body: (302, b""), RegistryUnavailable),
    ],
)
async def test_nobody_on_the_way_can_speak_for_the_registry(
    server: RegistryServer,
    registry: MemoryRegistry,
    closing: Closing,
    change: Callable[[int, bytes], tuple[int, bytes]],
    error: type[PlatformError],
) -> None:
    """He can hinder a node, not end it: no such error has the effect of `superseded` or `not_registered`."""
    between = closing(Between(server.url))
    await between.start()
    asking = closing(client(between.url))
    node = ObservedNode(registry, NODE)
    await asking.register(node.member())
    honest, between.change = between.change, change
    with pytest.raises(error) as caught:
        await asking.register(node.member())
    assert isinstance(caught.value, HandshakeError | RegistryUnavailable)
    between.change = honest
    await asking.register(node.member())


async def test_a_node_survives_meddling(server: RegistryServer, registry: MemoryRegistry, closing: Closing) -> None:
    between = closing(Between(server.url))
    await between.start()
    node = closing(ObservedNode.over_http(between.url))
    await node.membership.start()
    assert await node.membership.wait_ready(5)
    between.change = lambda _status, _body: (403, ERROR)
    await eventually(lambda: node.membership.last_error)
    await asyncio.sleep(0.3)
    assert node.membership.ready
    assert node.failures == []
    between.change = lambda status, body: (status, body)
    await eventually(lambda: node.membership.last_error is None and node.membership.state == "ready")


async def test_a_web_server_that_is_no_registry_is_told_apart(closing: Closing) -> None:
    app = web.Application()
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with pytest.raises(RegistryUnavailable, match=r"check registry\.url"):
        await closing(client(f"http://127.0.0.1:{runner.addresses[0][1]}")).leave(NODE)
    await runner.cleanup()
