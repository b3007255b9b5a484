"""The websocket transport among strangers, liars, the silent and the dying."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
from loguru import logger

from tests.support.wait import eventually
from tests.support.websocket import Recorder, RecordingAcceptor
from wsplatform.core.handshake import NONCE_BYTES, PROTOCOL_VERSION, Identity, Initiator, Opener, Sealer
from wsplatform.errors import StartError
from wsplatform.model import Instance
from wsplatform.net.connect import connect
from wsplatform.net.listen import bind_unix, socket_path
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.net.websocket import ConnectionLimits
from wsplatform.settings import ClusterTable
from wsplatform.testing.node_face import NodeFace
from wsplatform.testing.transport_nodes import SETTINGS, TransportNode, introduce
from wsplatform.transports import websocket, websocket_wire
from wsplatform.transports.base import Peer, Transport, TransportContext
from wsplatform.web.upgrade import HeadLimits, protocol_factory
from wsplatform.wire.cluster import encode_batch

LIMITS = ConnectionLimits(max_message=4_000_000, max_outbox=64_000_000, close_timeout=0.3)
Start = Callable[..., "asyncio.Future[TransportNode]"]


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, diagnose=False)  # type: ignore[arg-type]
    yield lines
    logger.remove(sink)


class Nodes:
    """Starts nodes and raw connections, and ends them."""

    def __init__(self) -> None:
        self.all: list[TransportNode] = []
        self.strangers: list[Stranger] = []
        self.sweep = Sweep(0.05)
        self.neighbours: Path | None = None

    async def add(self, node_id: str, **settings: object) -> TransportNode:
        def create(context: TransportContext) -> Transport:
            return websocket.create(replace(context, neighbours=self.neighbours))

        node = TransportNode(node_id, create, msgspec.structs.replace(SETTINGS, **settings))
        self.all.append(node)
        await node.start()
        return node

    async def pair(self) -> tuple[TransportNode, TransportNode]:
        a, b = await self.add("a"), await self.add("b")
        introduce(a, b)
        await eventually(lambda: a.sees(b) and b.sees(a))
        return a, b

    async def stranger(self, node: TransportNode, node_id: str = "0") -> Stranger:
        """A connection to this node, from what has an id below that of every node: the one that has to dial."""
        stranger = Stranger(node_id)
        self.strangers.append(stranger)
        await connect(node.peer.address + websocket.PATH, stranger, LIMITS, sweep=self.sweep)
        return stranger

    async def close(self) -> None:
        for stranger in self.strangers:
            if stranger.connection is not None:
                stranger.connection.abort()
        for node in self.all:
            await node.stop()
            assert not node.faults
        await eventually(lambda: all(stranger.end for stranger in self.strangers))
        self.sweep.stop()


class Stranger(Recorder):
    """Speaks the protocol by hand, or not at all."""

    def __init__(self, node_id: str) -> None:
        super().__init__()
        self.peer = Peer(Instance(node_id, "1"))
        self.sent: list[bytes] = []
        self.sealer: Sealer
        self.opener: Opener

    @property
    def messages(self) -> list[bytes]:
        return [payload for name, payload in self.told if name == "binary"]

    def send(self, payload: bytes) -> None:
        assert self.connection is not None
        self.sent.append(payload)
        self.connection.send_binary(payload)

    def say(self, *envelopes: bytes) -> None:
        self.send(self.sealer.seal(encode_batch(envelopes), b"mesh"))

    async def prove(self) -> None:
        """The whole handshake, up to the proof."""
        identity = Identity(SETTINGS.name, "node", self.peer.instance, SETTINGS.secrets)
        initiator = Initiator(identity, bytes(NONCE_BYTES))
        self.send(initiator.hello())
        await eventually(lambda: self.messages)
        self.send(initiator.challenged(self.messages[0]))
        self.sealer, self.opener = Sealer(initiator.keys.send), Opener(initiator.keys.receive, contiguous=True)

    async def join(self, node: TransportNode) -> None:
        """Become a peer of the node."""
        node.set_peers({*(node.listener.named or ()), self.peer})
        await self.prove()
        await eventually(lambda: self.peer.id in node.listener.up_now)


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    nodes = Nodes()
    nodes.sweep.start(asyncio.get_running_loop())
    yield nodes
    await nodes.close()


# Trust


async def test_a_cluster_without_a_secret_does_not_start() -> None:
    settings = msgspec.structs.replace(SETTINGS, secrets=())
    transport = websocket.create(TransportContext(settings, Tasks(), Sweep()))
    with pytest.raises(StartError, match=r"cluster\.secrets"):
        await transport.start(Peer(Instance("a", "1")), TransportNode("a", websocket.create).listener)


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
    newer.transport._identity = replace(newer.transport._identity, version=PROTOCOL_VERSION + 1)  # type: ignore[attr-defined]
    introduce(a, newer)
    await eventually(lambda: any("run the same release" in line and "Refused" not in line for line in logged))
    await eventually(
        lambda: any("Refused by the other side. The other side speaks protocol" in line for line in logged)
    )
    assert a.sees()


async def test_secrets_can_be_rotated_one_node_after_the_other(nodes: Nodes) -> None:
    old, new = "the old secret, long enough", "the new secret, long enough"
    a, b, c = [
        await nodes.add(node_id, secrets=secrets)
        for node_id, secrets in (("a", (old, new)), ("b", (new, old)), ("c", (new,)))
    ]
    introduce(a, b, c)
    await eventually(lambda: a.sees(b, c) and b.sees(a, c) and c.sees(a, b))


async def test_the_same_failure_is_not_logged_at_every_try(nodes: Nodes, logged: list[str]) -> None:
    a, odd = await nodes.add("a"), await nodes.add("b", name="other")
    a.transport._chance = lambda: 1.0  # type: ignore[attr-defined]
    introduce(a, odd)
    await asyncio.sleep(1.5)
    assert 1 <= sum("another cluster" in line for line in logged) <= 2


async def test_a_node_that_answers_at_the_wrong_address_is_left_alone(nodes: Nodes, logged: list[str]) -> None:
    """The view says that b is at c's address. Both lines name all that are concerned; a's has the address, too."""
    a, c = await nodes.add("a"), await nodes.add("c")
    a.set_peers(frozenset({Peer(Instance("b", "1"), c.peer.address)}))
    c.set_peers(frozenset({a.peer}))
    here, there = a.peer.instance, c.peer.instance
    looks = f"{c.peer.address} failed: {there} answers at the address of b/1: correct cluster.url of node b."
    looked_for = f"{here} looks for node b here, at the address of {there}: correct cluster.url of node b."
    await eventually(lambda: all(any(words in line for line in logged) for words in (looks, looked_for)))
    assert a.sees()
    assert c.sees()


async def test_a_node_that_is_led_back_to_itself_says_by_whose_address(nodes: Nodes, logged: list[str]) -> None:
    a = await nodes.add("a")
    a.set_peers(frozenset({Peer(Instance("b", "1"), a.peer.address)}))
    dialled = f"{a.peer.address} failed: Refused by the other side. {a.peer.instance} has connected to itself"
    await eventually(lambda: any(f"{dialled}: correct cluster.url of node b." in line for line in logged))
    assert a.sees()


async def test_a_recorded_handshake_is_worth_nothing(nodes: Nodes) -> None:
    a = await nodes.add("a")
    recorded = await nodes.stranger(a)
    await recorded.join(a)
    again = await nodes.stranger(a)
    again.send(recorded.sent[0])
    await eventually(lambda: again.messages)
    again.send(recorded.sent[1])
    await eventually(lambda: again.end)
    assert again.end == (4101, "refused")
    assert b"wrong_secret" in again.messages[1]
    assert a.listener.up_now == {"0"}


async def test_what_is_not_a_mesh_is_said_to_the_operator(nodes: Nodes, logged: list[str]) -> None:
    a = await nodes.add("a")
    server = await asyncio.start_server(_answer_404, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    a.set_peers(frozenset({Peer(Instance("b", "1"), f"ws://127.0.0.1:{port}")}))
    await eventually(lambda: any("status 404" in line for line in logged))
    server.close()
    await server.wait_closed()


async def _answer_404(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


# What strangers send


@pytest.mark.parametrize(
    ("message", "code"),
    [(b"", 4101), (b"garbage", 4101), (b"\x93\xa9wsp.hello\x01" + b"\x91" * 1500, 4101), (bytes(3000), 1009)],
)
async def test_garbage_from_a_stranger_ends_its_connection_only(nodes: Nodes, message: bytes, code: int) -> None:
    a, b = await nodes.pair()
    stranger = await nodes.stranger(a)
    stranger.send(message)
    await eventually(lambda: stranger.end)
    assert stranger.end is not None
    assert stranger.end[0] == code
    assert a.send(b, b"x")
    await eventually(lambda: b.got(a) == [b"x"])
    assert not a.listener.downs


async def test_text_is_no_message_of_this_protocol(nodes: Nodes) -> None:
    a = await nodes.add("a")
    stranger = await nodes.stranger(a)
    assert stranger.connection is not None
    stranger.connection.send_text(b"hello")
    await eventually(lambda: stranger.end)
    assert stranger.end == (4100, "malformed")


async def test_a_forged_proof_is_refused(nodes: Nodes) -> None:
    a = await nodes.add("a")
    stranger = await nodes.stranger(a)
    forger = Identity(SETTINGS.name, "node", stranger.peer.instance, ("not the secret",))
    stranger.send(Initiator(forger, bytes(NONCE_BYTES)).hello())
    await eventually(lambda: stranger.messages)
    stranger.send(msgspec.msgpack.encode(["wsp.proof", bytes(32)]))
    await eventually(lambda: stranger.end)
    assert stranger.end == (4101, "refused")
    assert b"wrong_secret" in stranger.messages[1]


async def test_who_says_nothing_is_shown_the_door(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_wire, "HANDSHAKE_SECONDS", 0.2)
    a = await nodes.add("a")
    stranger = await nodes.stranger(a)
    await eventually(lambda: stranger.end)
    assert stranger.end == (4102, "handshake_timeout")


async def test_a_crowd_of_strangers_keeps_nobody_out(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_STRANGERS", 10)
    a, b = await nodes.add("a"), await nodes.add("b")
    crowd = [await nodes.stranger(b) for _ in range(30)]
    await eventually(lambda: sum(stranger.end is not None for stranger in crowd) == 20)
    introduce(a, b)
    await eventually(lambda: a.sees(b) and b.sees(a))
    assert len(b.transport._strangers) <= 10  # type: ignore[attr-defined]


async def test_a_proved_instance_outside_the_view_waits_for_a_bounded_time(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_wire, "WAITING_SECONDS", 0.3)
    monkeypatch.setattr(websocket, "MAX_WAITING", 2)
    a = await nodes.add("a")
    strangers = [await nodes.stranger(a, f"0{number}") for number in range(3)]
    for stranger in strangers:
        await stranger.prove()
    await eventually(lambda: all(stranger.end for stranger in strangers))
    assert [stranger.end for stranger in strangers] == [(4103, "unknown_instance")] * 3
    assert a.sees()
    assert not a.transport._waiting  # type: ignore[attr-defined]


async def test_who_speaks_before_the_welcome_is_dropped(nodes: Nodes) -> None:
    a = await nodes.add("a")
    stranger = await nodes.stranger(a)
    await stranger.prove()
    stranger.say(b"early")
    await eventually(lambda: stranger.end)
    assert stranger.end == (4100, "malformed")
    assert not a.listener.envelopes


async def test_another_instance_with_ones_own_id_is_refused(nodes: Nodes, logged: list[str]) -> None:
    b = await nodes.add("b")
    stranger = await nodes.stranger(b, "b")
    await stranger.prove()
    await eventually(lambda: stranger.end)
    assert stranger.end == (4105, "duplicate")
    assert any("give each node its own" in line for line in logged)


# What peers send


@pytest.mark.parametrize(
    "how", ["garbage", "changed", "cut", "repeated", "removed", "swapped", "no batch", "crowd", "text"]
)
async def test_a_peer_that_breaks_the_protocol_is_dropped_and_nobody_else(nodes: Nodes, how: str) -> None:
    a, b = await nodes.pair()
    stranger = await nodes.stranger(a)
    await stranger.join(a)
    assert stranger.connection is not None
    sealed = stranger.sealer.seal(encode_batch([b"one"]), b"mesh")
    if how == "garbage":
        stranger.send(b"garbage")
    elif how == "changed":
        stranger.send(sealed[:-1] + b"x")
    elif how == "cut":
        stranger.send(sealed[:-1])
    elif how == "swapped":
        stranger.say(b"two")
        stranger.send(sealed)
    elif how == "repeated":
        stranger.send(sealed)
        stranger.send(sealed)
    elif how == "removed":
        stranger.say(b"two")
    elif how == "no batch":
        stranger.send(sealed)
        stranger.send(stranger.sealer.seal(b"\xc1", b"mesh"))
    elif how == "crowd":
        stranger.send(sealed)
        stranger.say(*[b""] * websocket_wire.BATCH_BYTES)
    else:
        stranger.connection.send_text(b"x")
    await eventually(lambda: stranger.end)
    assert stranger.end is not None
    assert stranger.end[0] == (4100 if how in ("no batch", "crowd", "text") else 4106)
    assert a.listener.envelopes["0"] == ([b"one"] if how in ("repeated", "no batch", "crowd") else [])
    assert a.listener.downs == {"0": 1}
    assert a.sees(b)


async def test_a_peer_that_floods_disturbs_nobody(nodes: Nodes) -> None:
    """A million small envelopes as fast as they go in, while two others talk to each other."""
    a, b = await nodes.pair()
    stranger = await nodes.stranger(a)
    await stranger.join(a)
    flood = encode_batch([b"x" * 10] * 5000)
    asked = 0.0
    for number in range(200):
        stranger.send(stranger.sealer.seal(flood, b"mesh"))
        if number % 20 == 0:
            began = asyncio.get_running_loop().time()
            assert a.send(b, b"%d" % number)
            await eventually(lambda number=number: b"%d" % number in b.got(a))
            asked = max(asked, asyncio.get_running_loop().time() - began)
        await asyncio.sleep(0)
    await eventually(lambda: len(a.listener.envelopes["0"]) == 1_000_000)
    assert asked < 2.0
    assert not a.listener.downs
    assert not b.listener.downs
    stranger.send(b"garbage")
    await eventually(lambda: stranger.end == (4106, "bad_seal"))
    assert a.sees(b)


async def test_a_message_too_large_for_any_peer_ends_its_connection(nodes: Nodes) -> None:
    a = await nodes.add("a")
    stranger = await nodes.stranger(a)
    await stranger.join(a)
    stranger.say(bytes(SETTINGS.max_envelope_bytes))
    await eventually(lambda: stranger.peer.id in a.listener.envelopes)
    stranger.say(bytes(SETTINGS.max_envelope_bytes + 1000))
    await eventually(lambda: stranger.end)
    assert stranger.end is not None
    assert stranger.end[0] == 1009
    assert a.listener.downs == {"0": 1}


async def test_a_silent_peer_is_down_and_a_talking_one_is_not(nodes: Nodes) -> None:
    a, b = await nodes.pair()
    stranger = await nodes.stranger(a)
    await stranger.join(a)
    begin = asyncio.get_running_loop().time()
    await eventually(lambda: a.listener.downs["0"])
    silent = asyncio.get_running_loop().time() - begin
    assert SETTINGS.dead_seconds * 0.7 < silent < SETTINGS.dead_seconds * 2
    assert a.sees(b)
    assert b.sees(a)


async def test_a_loop_that_stood_still_does_not_take_its_peers_for_dead(nodes: Nodes) -> None:
    a, b = await nodes.pair()
    import time

    time.sleep(2 * SETTINGS.dead_seconds)
    await asyncio.sleep(3 * SETTINGS.ping_seconds)
    assert not a.listener.downs
    assert not b.listener.downs


async def test_a_second_connection_of_an_instance_replaces_the_first(nodes: Nodes) -> None:
    """It dials again because it has lost the first, which this side may not have noticed."""
    a = await nodes.add("a")
    first = await nodes.stranger(a)
    await first.join(a)
    second = await nodes.stranger(a)
    await second.prove()
    await eventually(lambda: first.end)
    assert first.end == (4104, "replaced")
    await eventually(lambda: a.listener.ups["0"] == 2)
    assert a.listener.downs == {"0": 1}
    second.say(b"x")
    await eventually(lambda: a.listener.envelopes["0"] == [b"x"])


async def test_whom_one_has_to_dial_may_not_dial(nodes: Nodes) -> None:
    a, b = await nodes.pair()
    stranger = await nodes.stranger(a, "c")
    stranger.peer = Peer(stranger.peer.instance, b.peer.address)
    a.set_peers(frozenset({b.peer, stranger.peer}))
    await stranger.prove()
    await eventually(lambda: stranger.end)
    assert stranger.end == (4105, "duplicate")
    assert a.sees(b)


# Who dials


async def test_between_two_nodes_there_is_one_connection(nodes: Nodes) -> None:
    trio = [await nodes.add(node_id) for node_id in "abc"]
    introduce(*trio)
    await eventually(lambda: all(len(node.listener.up_now) == 2 for node in trio))
    for _ in range(5):
        introduce(*trio)
        await asyncio.sleep(0.02)
    assert [len(node.face.connections) for node in trio if node.face is not None] == [0, 1, 2]


async def test_a_node_without_an_address_dials_all_others(nodes: Nodes) -> None:
    a, b = await nodes.add("a"), await nodes.add("b")
    hidden = TransportNode("c", lambda context: _DialsOnly(websocket.create(context)), SETTINGS)
    nodes.all.append(hidden)
    await hidden.start()
    assert hidden.peer.address == ""
    introduce(a, b, hidden)
    await eventually(lambda: a.sees(b, hidden) and b.sees(a, hidden) and hidden.sees(a, b))
    assert a.send(hidden, b"x")
    await eventually(lambda: hidden.got(a) == [b"x"])


class _DialsOnly:
    """A transport without its ability Inbound."""

    def __init__(self, inner: Transport) -> None:
        self.start, self.stop = inner.start, inner.stop
        self.set_peers, self.send = inner.set_peers, inner.send


async def test_a_peer_that_is_reachable_later_is_connected_within_the_longest_wait(nodes: Nodes) -> None:
    a, b = await nodes.add("a"), await nodes.add("b")
    assert b.face is not None
    await b.face.close()
    introduce(a, b)
    await asyncio.sleep(0.5)
    await b.face.open()
    await eventually(lambda: a.sees(b) and b.sees(a), within=3.5)


async def test_tries_are_spaced_out(nodes: Nodes) -> None:
    a = await nodes.add("a")
    acceptor = RecordingAcceptor()
    acceptor.reply = lambda connection, name, payload: connection.close(4999) if name == "binary" else None
    face = NodeFace({websocket.PATH: acceptor}, nodes.sweep)
    await face.open()
    a.transport._chance = lambda: 0.0  # type: ignore[attr-defined]
    a.set_peers(frozenset({Peer(Instance("b", "1"), face.url)}))
    await asyncio.sleep(1.6)
    assert 3 <= len(acceptor.requests) <= 5  # after 0, 0.1, 0.3, 0.7 and 1.5 s
    await face.close()


async def test_a_dialled_stranger_learns_nothing_and_is_not_up(nodes: Nodes, logged: list[str]) -> None:
    """What answers does not know the secret: it gets a hello and a refusal, and nothing of what was published."""
    a = await nodes.add("a")
    acceptor = RecordingAcceptor()
    acceptor.reply = lambda connection, name, payload: connection.send_binary(b"trust me") if name == "binary" else None
    face = NodeFace({websocket.PATH: acceptor}, nodes.sweep)
    await face.open()
    a.set_peers(frozenset({Peer(Instance("b", "1"), face.url)}))
    await eventually(lambda: any("not a handshake of this protocol" in line for line in logged))
    assert a.sees()
    (message, *_) = [payload for name, payload in acceptor.handlers[0].told if name == "binary"]
    assert re.match(rb".wsp\.hello|..?wsp\.hello", message)
    a.set_peers(frozenset())
    await face.close()


# Other processes


class Process:
    """tests/integration/mesh/peer_process.py: a peer that echoes."""

    def __init__(self, node_id: str, settings: ClusterTable = SETTINGS, kind: str = "websocket") -> None:
        self.id = node_id
        self.settings = settings
        self.kind = kind
        self.peer = Peer(Instance(node_id, ""))
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.mesh.peer_process",
            self.id,
            msgspec.json.encode(self.settings).decode(),
            self.kind,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.peer = msgspec.json.decode(await self._process.stdout.readline(), type=Peer)

    def introduce(self, *nodes: TransportNode) -> None:
        peers = frozenset({self.peer, *(node.peer for node in nodes)})
        for node in nodes:
            node.set_peers(peers)
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(list(peers)) + b"\n")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


@pytest.mark.parametrize("ours", ["a", "c"])
async def test_a_killed_process_is_down_at_once_and_up_again_after_its_restart(nodes: Nodes, ours: str) -> None:
    """Once with this side dialling, once with the other."""
    node = await nodes.add(ours)
    async with Process("b") as process:
        sent = 0
        for round_ in range(3):
            process.introduce(node)
            await eventually(lambda round_=round_: node.listener.ups["b"] == round_ + 1)
            first = sent
            for _ in range(500):
                assert node.transport.send("b", b"%d" % sent)
                sent += 1
            await eventually(lambda sent=sent: node.listener.envelopes["b"][-1:] == [b"%d" % (sent - 1)])
            echoed = [int(envelope) for envelope in node.listener.envelopes["b"]]
            assert echoed[-500:] == list(range(first, sent))
            await process.kill()
            await eventually(lambda round_=round_: node.listener.downs["b"] == round_ + 1, within=2)
            assert not node.transport.send("b", b"x")
            await process.start()
        assert [int(envelope) for envelope in node.listener.envelopes["b"]] == list(range(sent))


async def test_a_frozen_process_is_down_after_its_time_and_comes_back(nodes: Nodes) -> None:
    node = await nodes.add("a")
    async with Process("b") as process:
        process.introduce(node)
        await eventually(lambda: node.listener.up_now == {"b"})
        process.signal(signal.SIGSTOP)
        begin = asyncio.get_running_loop().time()
        await eventually(lambda: not node.listener.up_now)
        assert asyncio.get_running_loop().time() - begin < SETTINGS.dead_seconds + 3 * SETTINGS.ping_seconds
        process.signal(signal.SIGCONT)
        await eventually(lambda: node.listener.up_now == {"b"})
        assert node.transport.send("b", b"x")
        await eventually(lambda: node.listener.envelopes["b"] == [b"x"])


async def test_a_peer_that_does_not_read_costs_bounded_bytes_and_loses_nothing_it_was_sent(nodes: Nodes) -> None:
    settings = msgspec.structs.replace(SETTINGS, dead_seconds=20.0)
    node = await nodes.add("a", dead_seconds=20.0)
    async with Process("b", settings) as process:
        process.introduce(node)
        await eventually(lambda: node.listener.up_now == {"b"})
        process.signal(signal.SIGSTOP)
        accepted: list[bytes] = []
        refused = 0
        while refused < 20:
            for _ in range(50):
                envelope = b"%08d" % len(accepted) + bytes(10_000)
                if node.transport.send("b", envelope):
                    accepted.append(envelope[:8])
                else:
                    refused += 1
            await asyncio.sleep(0.01)
        connection = node.transport._up["b"]  # type: ignore[attr-defined]
        assert connection._connection.buffered <= settings.outbox_bytes + 2 * websocket_wire.BATCH_BYTES
        process.signal(signal.SIGCONT)
        node.listener.on_received = lambda peer_id, envelope: None
        await eventually(lambda: len(node.listener.envelopes["b"]) == len(accepted), within=15)
        assert [envelope[:8] for envelope in node.listener.envelopes["b"]] == accepted
        assert not node.listener.downs


# Peers of the same host


async def test_a_peer_of_this_host_is_dialled_on_its_unix_socket_while_there_is_one(
    nodes: Nodes, tmp_path: Path
) -> None:
    path = socket_path(tmp_path, "b")
    bind_unix(path).close()
    nodes.neighbours = tmp_path
    a, b = await nodes.add("a"), await nodes.add("b")
    near: set[Any] = set()
    build = protocol_factory(b.transport.acceptors(), b.sweep, HeadLimits(16_384, 2.0))  # type: ignore[attr-defined]
    loop = asyncio.get_running_loop()

    async def listen() -> asyncio.Server:
        return await loop.create_unix_server(lambda: build(loop=loop, connections=near), sock=bind_unix(path))

    introduce(a, b)  # what a dead process has left is there
    server = await listen()
    await eventually(lambda: a.sees(b) and b.sees(a))
    assert b.face is not None
    assert not b.face.connections
    assert a.send(b, b"over the socket")
    await eventually(lambda: b.got(a) == [b"over the socket"])

    path.unlink()
    server.close()
    for connection in tuple(near):
        connection.abort()
    await eventually(lambda: b.face and b.face.connections)
    await eventually(lambda: a.sees(b) and b.sees(a))
    assert a.send(b, b"over TCP")
    await eventually(lambda: b.got(a)[1:] == [b"over TCP"])


async def test_a_peer_that_does_not_answer_in_time_is_told_as_that(
    nodes: Nodes, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(websocket, "connect", never)
    a, b = await nodes.add("a"), await nodes.add("b")
    introduce(a, b)
    await eventually(lambda: any("Cannot connect to node b" in line for line in logged))
    assert "nothing has answered in time" in next(line for line in logged if "Cannot connect" in line)
