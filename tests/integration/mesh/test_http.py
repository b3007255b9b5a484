"""The HTTP transport among strangers, liars, the silent and the dying."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from io import BytesIO

import aiohttp
import msgspec
import pytest
from loguru import logger

from tests.integration.mesh.test_websocket import Process
from tests.support.wait import eventually
from wsplatform.core.handshake import NONCE_BYTES, Identity, Initiator
from wsplatform.errors import StartError
from wsplatform.model import Instance
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.testing.transport_nodes import SETTINGS, Listener, TransportNode, introduce
from wsplatform.transports import http, http_answer, http_exchange
from wsplatform.transports.base import Peer, Transport, TransportContext
from wsplatform.transports.http_exchange import ID_BYTES, PATH, Seals
from wsplatform.wire.exchange import Said


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, diagnose=False)  # type: ignore[arg-type]
    yield lines
    logger.remove(sink)


class Nodes:
    """Starts nodes and strangers, and ends them."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self.all: list[TransportNode] = []
        self.client = client

    async def add(self, node_id: str, **settings: object) -> TransportNode:
        node = TransportNode(node_id, http.create, msgspec.structs.replace(SETTINGS, **settings))
        self.all.append(node)
        await node.start()
        return node

    async def pair(self) -> tuple[TransportNode, TransportNode]:
        a, b = await self.add("a"), await self.add("b")
        introduce(a, b)
        await eventually(lambda: a.sees(b) and b.sees(a))
        return a, b

    def stranger(self, node: TransportNode, node_id: str = "0") -> Stranger:
        """Of an id below that of every node: the one that has to dial."""
        assert node.face is not None
        return Stranger(self.client, node.face.url.replace("ws:", "http:") + PATH, node_id)


class Stranger:
    """Speaks the protocol by hand. `said`: every request, as (name, body)."""

    def __init__(self, client: aiohttp.ClientSession, url: str, node_id: str) -> None:
        self.peer = Peer(Instance(node_id, "1"))
        self.seals: Seals
        self.query = ""
        self.said: list[tuple[str, bytes]] = []
        self._client = client
        self._url = url

    async def post(self, name: str, body: bytes, query: str | None = None) -> tuple[int, bytes]:
        self.said.append((name, body))
        url = f"{self._url}/{name}{self.query if query is None else query}"
        async with self._client.post(url, data=BytesIO(body)) as reply:
            return reply.status, await reply.read()

    async def code(self, name: str, body: bytes) -> tuple[int, str]:
        """Status and code of a refusal."""
        status, answer = await self.post(name, body)
        return status, msgspec.json.decode(answer)["error"]["code"]

    async def prove(self) -> tuple[int, bytes]:
        identity = Identity(SETTINGS.name, "node", self.peer.instance, SETTINGS.secrets)
        initiator = Initiator(identity, bytes(NONCE_BYTES))
        status, opening = await self.post("open", initiator.hello(), "")
        assert status == 200
        self.query = f"?{opening[:ID_BYTES].hex()}"
        proof = initiator.challenged(opening[ID_BYTES:])
        self.seals = Seals(initiator.keys)
        return await self.post("prove", proof)

    async def say(self, name: str, *envelopes: bytes, word: str = "carry") -> Said:
        """Push or pull, and what is answered."""
        said = Said(word, list(envelopes))  # type: ignore[arg-type]
        status, answer = await self.post(name, self.seals.seal(name.encode(), said))
        assert status == 200, (status, answer)
        return self.seals.open(f"{name}ed".encode(), answer)

    async def join(self, node: TransportNode) -> None:
        """Become a peer of the node."""
        node.set_peers({*(node.listener.named or ()), self.peer})
        _, answer = await self.prove()
        assert self.seals.open(b"proved", answer) == Said("carry")
        await self.say("push")
        assert self.peer.id in node.listener.up_now


@pytest.fixture
async def nodes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nodes]:
    monkeypatch.setattr(http, "_STOP_SECONDS", 0.2)  # strangers do not come for what waits for them
    async with aiohttp.ClientSession() as client:
        nodes = Nodes(client)
        yield nodes
        for node in nodes.all:
            await node.stop()
            assert not node.faults


# Trust


async def test_a_cluster_without_a_secret_does_not_start() -> None:
    settings = msgspec.structs.replace(SETTINGS, secrets=())
    transport = http.create(TransportContext(settings, Tasks(), Sweep()))
    with pytest.raises(StartError, match=r"cluster\.secrets"):
        await transport.start(Peer(Instance("a", "1")), Listener())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"secrets": ("another secret, as long as this",)}, "at least one in common"),
        ({"name": "other"}, "another cluster"),
    ],
)
async def test_who_does_not_belong_here_is_kept_out_and_both_sides_say_why(
    nodes: Nodes, logged: list[str], settings: dict[str, object], sentence: str
) -> None:
    a, b = await nodes.pair()
    odd = await nodes.add("odd", **settings)
    introduce(a, b, odd)
    await eventually(lambda: sum(sentence in line for line in logged) >= 2)
    assert any("Refused by the other side" in line for line in logged)
    assert odd.sees()
    assert a.sees(b)
    assert not any("secret, as long" in line for line in logged)


async def test_another_version_is_kept_out_and_both_sides_say_why(nodes: Nodes, logged: list[str]) -> None:
    a, newer = await nodes.add("a"), await nodes.add("b")
    identity = newer.transport._identity  # type: ignore[attr-defined]
    newer.transport._identity = replace(identity, version=99)  # type: ignore[attr-defined]
    introduce(a, newer)
    await eventually(lambda: any("this one 99" in line for line in logged))
    await eventually(
        lambda: any("Refused by the other side. The other side speaks protocol" in line for line in logged)
    )
    assert a.sees()


async def test_a_recorded_conversation_is_worth_nothing(nodes: Nodes) -> None:
    """Its batches come once, its handshake opens nothing."""
    a, b = await nodes.pair()
    stranger = nodes.stranger(a)
    await stranger.join(a)
    await stranger.say("push", b"once")
    recorded, query = tuple(stranger.said), stranger.query
    for name, body in recorded[2:]:
        assert await stranger.code(name, body) == (403, "replayed")
    assert await stranger.code("prove", recorded[1][1]) == (404, "unknown_exchange")

    again = nodes.stranger(a)
    _, opening = await again.post("open", recorded[0][1], "")
    again.query = f"?{opening[:ID_BYTES].hex()}"
    assert again.query != query
    status, refused = await again.post("prove", recorded[1][1])
    assert (status, b"wrong_secret" in refused) == (403, True)
    assert await again.code("push", recorded[-1][1]) == (404, "unknown_exchange")
    assert a.listener.envelopes["0"] == [b"once"]
    assert a.sees(b) is False  # the stranger is a peer, and stays one
    assert "0" in a.listener.up_now


# What strangers send


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("open", b"", 403),
        ("open", b"garbage", 403),
        ("open", b"\x93\xa9wsp.hello\x01" + b"\x91" * 1500, 403),
        ("open", bytes(3000), 413),
        ("prove", b"x", 404),
        ("push", bytes(4_000_000), 404),
        ("pull", b"", 404),
    ],
)
async def test_garbage_from_a_stranger_is_refused_and_disturbs_nobody(
    nodes: Nodes, name: str, body: bytes, status: int
) -> None:
    a, b = await nodes.pair()
    stranger = nodes.stranger(a)
    for query in ("", "?0", "?" + "0" * 32, "?%zz"):
        assert (await stranger.post(name, body, query))[0] == status
    assert a.send(b, b"x")
    await eventually(lambda: b.got(a) == [b"x"])
    assert not a.listener.downs
    assert len(a.transport._accepted) == 0  # type: ignore[attr-defined]


async def test_who_begins_and_never_proves_is_forgotten(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_answer, "HANDSHAKE_SECONDS", 0.2)
    monkeypatch.setattr(http, "MAX_STRANGERS", 10)
    a, b = await nodes.add("a"), await nodes.add("b")
    identity = Identity(SETTINGS.name, "node", Instance("0", "1"), SETTINGS.secrets)
    for _ in range(30):
        status, _ = await nodes.stranger(b).post("open", Initiator(identity, bytes(NONCE_BYTES)).hello(), "")
        assert status == 200
        assert len(b.transport._accepted) <= 10  # type: ignore[attr-defined]
    introduce(a, b)
    await eventually(lambda: a.sees(b) and b.sees(a))
    await eventually(lambda: len(b.transport._accepted) == 1)  # type: ignore[attr-defined]


async def test_a_proved_instance_outside_the_view_waits_for_a_bounded_time(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_answer, "WAITING_SECONDS", 0.5)
    monkeypatch.setattr(http, "MAX_WAITING", 2)
    a = await nodes.add("a")
    strangers = [nodes.stranger(a, f"0{number}") for number in range(3)]
    words = []
    for stranger in strangers:
        _, answer = await stranger.prove()
        words.append(stranger.seals.open(b"proved", answer).word)
    assert words == ["wait", "wait", "end"]
    while (said := await strangers[0].say("pull")).word == "wait":
        pass
    assert said == Said("end", reason="unknown_instance")
    await eventually(lambda: not a.transport._accepted)  # type: ignore[attr-defined]
    assert a.sees()


async def test_who_speaks_before_the_welcome_is_dropped(nodes: Nodes) -> None:
    a = await nodes.add("a")
    stranger = nodes.stranger(a)
    await stranger.prove()
    assert await stranger.say("push", b"early") == Said("end", reason="malformed")
    assert not a.listener.envelopes


async def test_another_instance_with_ones_own_id_is_refused(nodes: Nodes, logged: list[str]) -> None:
    b = await nodes.add("b")
    stranger = nodes.stranger(b, "b")
    _, answer = await stranger.prove()
    assert stranger.seals.open(b"proved", answer) == Said("end", reason="duplicate")
    assert any("give each node its own" in line for line in logged)


async def test_whom_one_has_to_dial_may_not_dial(nodes: Nodes) -> None:
    a, b = await nodes.pair()
    stranger = nodes.stranger(a, "c")
    stranger.peer = Peer(stranger.peer.instance, "ws://127.0.0.1:9")
    a.set_peers({b.peer, stranger.peer})
    _, answer = await stranger.prove()
    assert stranger.seals.open(b"proved", answer) == Said("end", reason="duplicate")
    assert a.sees(b)


# What peers send


Misdeed = Callable[[Stranger], Awaitable[object]]


async def _undecodable(stranger: Stranger) -> object:
    row = stranger.seals._row(b"push")[0]
    status, answer = await stranger.post("push", row.seal(b"\xc1", b"push"))
    assert status == 200
    return stranger.seals.open(b"pushed", answer)


async def _two_pulls(stranger: Stranger) -> object:
    held = asyncio.get_running_loop().create_task(stranger.say("pull"))
    await asyncio.sleep(0.05)
    assert not held.done()
    first = stranger.seals.seal(b"pull", Said("carry"))
    await stranger.post("pull", first)
    held.cancel()
    return Said("end", reason="malformed")


async def _missing(stranger: Stranger) -> object:
    stranger.seals.seal(b"push", Said("carry", [b"lost"]))
    refused = await stranger.code("push", stranger.seals.seal(b"push", Said("carry", [b"two"])))
    assert refused == (403, "out_of_order")
    return Said("end", reason="malformed")


@pytest.mark.parametrize("misdeed", [_undecodable, _two_pulls, _missing])
async def test_a_peer_that_breaks_the_protocol_is_dropped_and_nobody_else(nodes: Nodes, misdeed: Misdeed) -> None:
    a, b = await nodes.pair()
    stranger = nodes.stranger(a)
    await stranger.join(a)
    await stranger.say("push", b"one")
    assert await misdeed(stranger) == Said("end", reason="malformed")
    assert a.listener.envelopes["0"] == [b"one"]
    await eventually(lambda: a.listener.downs == {"0": 1})
    assert a.sees(b)
    assert (await stranger.code("push", b"x"))[0] == 404


@pytest.mark.parametrize("how", ["garbage", "changed", "cut short", "nothing"])
async def test_what_is_not_sealed_by_the_peer_is_refused_and_the_peer_stays(nodes: Nodes, how: str) -> None:
    """Who stands on the way can send this: it says nothing of the peer."""
    a = await nodes.add("a")
    stranger = nodes.stranger(a)
    await stranger.join(a)
    sealed = stranger.seals.seal(b"push", Said("carry", [b"one"]))
    bodies = {"garbage": b"garbage" * 9, "changed": sealed[:-1] + b"x", "cut short": sealed[:20], "nothing": b""}
    assert await stranger.code("push", bodies[how]) == (403, "bad_mac")
    status, _ = await stranger.post("push", sealed)
    assert status == 200
    assert a.listener.envelopes["0"] == [b"one"]
    assert not a.listener.downs


async def test_a_body_too_large_for_any_peer_is_refused(nodes: Nodes) -> None:
    a = await nodes.add("a")
    stranger = nodes.stranger(a)
    await stranger.join(a)
    await stranger.say("push", bytes(SETTINGS.max_envelope_bytes))
    assert await stranger.code("push", bytes(SETTINGS.max_envelope_bytes + 1000)) == (413, "too_large")
    assert len(a.listener.envelopes["0"]) == 1


async def test_a_flood_of_requests_of_one_peer_is_refused_and_the_others_go_on(nodes: Nodes) -> None:
    a, b = await nodes.pair()
    stranger = nodes.stranger(a)
    await stranger.join(a)
    bodies = [stranger.seals.seal(b"push", Said("carry", [bytes(100_000)])) for _ in range(100)]
    answers = await asyncio.gather(*(stranger.post("push", body) for body in bodies))
    statuses = {status for status, _ in answers}
    assert statuses <= {200, 403, 404, 429}
    for number in range(20):
        assert a.send(b, b"%d" % number)
    await eventually(lambda: len(b.got(a)) == 20)
    assert not a.listener.downs["b"]


async def test_a_silent_peer_is_down_and_a_talking_one_is_not(nodes: Nodes) -> None:
    a, b = await nodes.pair()
    stranger = nodes.stranger(a)
    await stranger.join(a)
    begin = asyncio.get_running_loop().time()
    await eventually(lambda: a.listener.downs["0"])
    silent = asyncio.get_running_loop().time() - begin
    assert SETTINGS.dead_seconds * 0.7 < silent < SETTINGS.dead_seconds * 2
    assert a.sees(b)
    assert b.sees(a)


async def test_a_second_exchange_of_an_instance_replaces_the_first(nodes: Nodes) -> None:
    """It calls again because it has lost the first, which this side may not have noticed."""
    a = await nodes.add("a")
    first = nodes.stranger(a)
    await first.join(a)
    held = asyncio.get_running_loop().create_task(first.say("pull"))
    await asyncio.sleep(0.05)
    second = nodes.stranger(a)
    await second.prove()
    assert await held == Said("end", reason="replaced")
    assert a.listener.downs == {"0": 1}
    await second.say("push", b"x")
    assert a.listener.envelopes["0"] == [b"x"]
    assert (await first.code("push", b""))[0] == 404


async def test_an_answer_that_somebody_else_gives_ends_the_exchange_and_another_one_begins(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the batch has arrived is not known: it is not sent again."""
    a, b = await nodes.pair()
    answer = http_answer.AcceptedExchange.push
    lies = 1

    async def lie(self: http_answer.AcceptedExchange, call: object) -> object:
        nonlocal lies
        reply = await answer(self, call)  # type: ignore[arg-type]
        if lies and b.got(a):
            lies -= 1
            return replace(reply, body=b"all is well" * 10)
        return reply

    monkeypatch.setattr(http_answer.AcceptedExchange, "push", lie)
    assert a.send(b, b"one")
    await eventually(lambda: a.listener.downs["b"] == b.listener.downs["a"] == 1)
    await eventually(lambda: a.sees(b) and b.sees(a))
    assert a.send(b, b"two")
    await eventually(lambda: b.got(a) == [b"one", b"two"])


# Who dials


async def test_a_node_without_an_address_dials_all_others(nodes: Nodes) -> None:
    a, b = await nodes.add("a"), await nodes.add("b")
    hidden = TransportNode("c", lambda context: _DialsOnly(http.create(context)), SETTINGS)
    nodes.all.append(hidden)
    await hidden.start()
    assert hidden.peer.address == ""
    introduce(a, b, hidden)
    await eventually(lambda: a.sees(b, hidden) and b.sees(a, hidden) and hidden.sees(a, b))
    assert a.send(hidden, b"x")
    await eventually(lambda: hidden.got(a) == [b"x"])


class _DialsOnly:
    """A transport without its ability Answering."""

    def __init__(self, inner: Transport) -> None:
        self.start, self.stop = inner.start, inner.stop
        self.set_peers, self.send = inner.set_peers, inner.send


async def test_what_waits_together_travels_together(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = await nodes.pair()
    calls = 0
    push = http_answer.AcceptedExchange.push

    async def counted(self: http_answer.AcceptedExchange, call: object) -> object:
        nonlocal calls
        calls += 1
        return await push(self, call)  # type: ignore[arg-type]

    monkeypatch.setattr(http_answer.AcceptedExchange, "push", counted)
    for number in range(5000):
        assert a.send(b, b"%d" % number)
    await eventually(lambda: len(b.got(a)) == 5000)
    assert calls <= 5


# Other processes


@pytest.mark.parametrize("ours", ["a", "c"])
async def test_a_killed_process_is_down_at_once_and_a_frozen_one_after_its_time(nodes: Nodes, ours: str) -> None:
    """Once with this side dialling, once with the other."""
    node = await nodes.add(ours)
    loop = asyncio.get_running_loop()
    async with Process("b", kind="http") as process:
        sent = 0
        for round_ in range(2):
            process.introduce(node)
            await eventually(lambda round_=round_: node.listener.ups["b"] == round_ + 1)
            for _ in range(500):
                assert node.transport.send("b", b"%d" % sent)
                sent += 1
            await eventually(lambda sent=sent: len(node.listener.envelopes["b"]) == sent)
            await process.kill()
            await eventually(lambda round_=round_: node.listener.downs["b"] == round_ + 1, within=2)
            await process.start()
        assert [int(envelope) for envelope in node.listener.envelopes["b"]] == list(range(sent))
        process.introduce(node)
        await eventually(lambda: node.listener.up_now == {"b"})
        process.signal(signal.SIGSTOP)
        begin = loop.time()
        await eventually(lambda: not node.listener.up_now)
        assert loop.time() - begin < SETTINGS.dead_seconds + 3 * SETTINGS.ping_seconds
        process.signal(signal.SIGCONT)
        await eventually(lambda: node.listener.up_now == {"b"})


def test_the_bounds_are_those_of_the_settings() -> None:
    terms = http_exchange.Terms(outbox=1, envelope=8_388_608, heartbeat=1, dead=3)
    assert 8_388_608 < terms.body < 8_388_608 + 200
