"""Whatever a client sends, in whatever order: no exception, one reply to each command, and nothing left behind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from loguru import logger

from tests.support.face import OPEN, SECRET, Node
from tests.support.subscribers import subscribers
from wsplatform.core.tokens import Claims, sign
from wsplatform.errors import SHUTDOWN, CommandError
from wsplatform.model import ChannelRule
from wsplatform.net.websocket import WebSocketConnection
from wsplatform.node.counts import ClientCounts
from wsplatform.settings import ClientTable
from wsplatform.web.centrifuge_handler import CentrifugeHandler
from wsplatform.web.face import Clock, Face, Open, Timing
from wsplatform.wire.centrifuge import CentrifugeFormat
from wsplatform.wire.rfc6455 import FrameParser

NOW = 1_700_000_000.0
FIRST_ID = 10**6
CHANNELS = ("a", "b", "users", "token", "small", "unknown", "$own", "bad\n", "*", "")
RULES = (
    ChannelRule(pattern="a", subscribe="anyone", publish="anyone"),
    ChannelRule(pattern="b", subscribe="anyone", publish="subscribers"),
    ChannelRule(pattern="users", subscribe="users", publish="users"),
    ChannelRule(pattern="token", subscribe="token", publish="nobody"),
    ChannelRule(pattern="small", subscribe="nobody", publish="anyone", max_bytes=3),
)
TOKENS = (
    "",
    "forged",
    sign(Claims("ann"), SECRET),
    sign(Claims("ann", NOW + 50), SECRET),
    sign(Claims("ann", NOW + 500), SECRET),
    sign(Claims("bob"), SECRET),
    sign(Claims("ann", NOW + 30, None, "token"), SECRET),
    sign(Claims("ann", NOW + 300, None, "token"), SECRET),
    sign(Claims("", None, None, "a"), SECRET),
)
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2), max_leaves=4
)
COMMANDS = st.one_of(
    st.fixed_dictionaries({"subscribe": st.fixed_dictionaries({"channel": st.sampled_from(CHANNELS[:4])})}),
    st.fixed_dictionaries({"unsubscribe": st.fixed_dictionaries({"channel": st.sampled_from(CHANNELS[:4])})}),
    st.fixed_dictionaries(
        {
            "subscribe": st.fixed_dictionaries(
                {"channel": st.sampled_from(CHANNELS[:-1]), "token": st.sampled_from(TOKENS)}
            )
        }
    ),
    st.fixed_dictionaries(
        {"publish": st.fixed_dictionaries({"channel": st.sampled_from(CHANNELS[:-1]), "data": JSON})}
    ),
    st.fixed_dictionaries(
        {
            "sub_refresh": st.fixed_dictionaries(
                {"channel": st.sampled_from(CHANNELS[:-1]), "token": st.sampled_from(TOKENS)}
            )
        }
    ),
    st.fixed_dictionaries({"refresh": st.fixed_dictionaries({"token": st.sampled_from(TOKENS[2:5])})}),
    st.sampled_from(["rpc", "history", "presence", "presence_stats", "ping", "news"]).map(lambda name: {name: {}}),
)
FAULTS = st.one_of(
    st.binary(max_size=20),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(
        st.sampled_from(["id", "connect", "subscribe", "publish", "unsubscribe", "refresh", "send"]),
        JSON | st.fixed_dictionaries({"channel": st.sampled_from(CHANNELS) | JSON}),
    ).map(lambda value: json.dumps(value).encode()),
)


@pytest.fixture(autouse=True, scope="module")
def _silence() -> Iterator[None]:
    logger.disable("wsplatform.web.centrifuge_handler")
    yield
    logger.enable("wsplatform.web.centrifuge_handler")


class Connection:
    """What a handler sees of net/websocket.py. Its descriptor cannot be written to, so all comes through `send_*`."""

    fileno = -1
    deflate = False
    remote = ""

    def __init__(self, handler: CentrifugeHandler) -> None:
        self.handler = handler
        self.open = True
        self.deadline = math.inf
        self.lines: list[dict[str, Any]] = []
        self.code: int | None = None

    def send_text(self, payload: bytes) -> None:
        if self.open:
            self.lines += [json.loads(line) for line in payload.decode().split("\n")]

    def send_frame(self, frame: bytes) -> None:
        for _, payload in FrameParser(masked=False, max_message=1 << 20).feed(frame):
            self.send_text(payload)

    send_rest = send_frame

    def close(self, code: int, reason: str = "") -> None:
        if self.open:
            self.open = False
            self.code = code
            self.handler.writable(False)


class Bench:
    """One handler, a clock that is turned by hand, and a loop whose turns are taken one by one."""

    def __init__(self, rules: tuple[ChannelRule, ...] = OPEN, **client: Any) -> None:
        table = ClientTable(allow_anonymous=True, token_hmac_secrets=(SECRET,), max_channels=3, **client)
        self.turns: list[Callable[[], None]] = []
        self.node = Node(table, rules, self.turns.append, grace=25.0)
        self.now = 1000.0
        self.reports: list[str] = []
        self.handlers: set[Open] = set()
        ids = count()
        self.face = Face(
            services=self.node.services,
            sessions=self.node.sessions,
            plain=CentrifugeFormat(),
            deflated=CentrifugeFormat(deflate=True),
            clock=Clock(lambda: self.now, lambda: NOW - 1000.0 + self.now, lambda: 0.5),
            timing=Timing(10.0, 25.0, 8.0),
            allow_anonymous=True,
            version="test",
            new_id=lambda: f"c{next(ids)}",
            call_soon=self.turns.append,
            report=lambda address, session, what, turn="": self.reports.append(what),
            handlers=self.handlers,
            slow=set(),
            counts=ClientCounts(),
        )
        self.handler = CentrifugeHandler(self.face, "192.0.2.1")
        self.connection = Connection(self.handler)
        self.handler.opened(cast("WebSocketConnection", self.connection))

    def send(self, *commands: dict[str, Any]) -> None:
        self.receive("\n".join(map(json.dumps, commands)).encode())

    def receive(self, message: bytes) -> None:
        if self.connection.open:
            self.handler.text(message)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        if self.connection.open and self.connection.deadline <= self.now:
            self.handler.expired(self.now)

    def run(self) -> None:
        while self.turns:
            self.turns.pop(0)()

    def lose(self) -> None:
        self.connection.open = False
        self.handler.closed(1006, "")


class HandlerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(RULES)
        self.ids = count(FIRST_ID)
        self.asked: dict[int, dict[str, Any]] = {}
        self.published = 0
        self.expected: dict[str, list[int]] = {}

    @initialize(token=st.sampled_from(TOKENS[2:5]) | st.just(""), slow=st.booleans())
    def connect(self, token: str, slow: bool) -> None:
        self.bench.node.mesh.slow = slow
        self.send([{"connect": {"token": token}}])

    @rule(commands=st.lists(COMMANDS, min_size=1, max_size=4))
    def send(self, commands: list[dict[str, Any]]) -> None:
        if self.bench.connection.open:
            numbered = [{"id": next(self.ids), **command} for command in commands]
            self.asked |= {command["id"]: command for command in numbered}
            for command in commands:
                self.expected.pop(command.get("unsubscribe", {}).get("channel"), None)
            self.bench.send(*numbered)

    @rule(message=FAULTS)
    def fault(self, message: bytes) -> None:
        self.bench.receive(message)
        lines = self.bench.connection.lines
        lines[:] = [line for line in lines if line.get("id", FIRST_ID) >= FIRST_ID]

    @rule()
    def pong(self) -> None:
        if {} in self.bench.connection.lines[-1:]:
            self.bench.send({})

    @rule(seconds=st.sampled_from([0.5, 7.0, 13.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.bench.pass_time(seconds)

    @rule(slow=st.booleans())
    def mesh(self, slow: bool) -> None:
        self.bench.node.mesh.acknowledge()
        self.bench.node.mesh.slow = slow

    @rule()
    def turn(self) -> None:
        if self.bench.turns:
            self.bench.turns.pop(0)()

    @rule(channel=st.sampled_from(CHANNELS[:4]))
    def publish(self, channel: str) -> None:
        self.published += 1
        if channel in self.heard()[0]:
            self.expected.setdefault(channel, []).append(self.published)
        self.bench.node.publish(channel, {"n": self.published})

    @rule(channel=st.sampled_from(CHANNELS[:5]), on=st.booleans())
    def server(self, channel: str, on: bool) -> None:
        for session in self.bench.node.sessions:
            if not on:
                session.unsubscribe_by_server(channel)
            else:
                with suppress(CommandError):
                    session.subscribe_by_server(channel)

    @rule(rules=st.sets(st.sampled_from(RULES)))
    def change_rules(self, rules: set[ChannelRule]) -> None:
        self.bench.node.change_rules(*rules, *RULES[:1])

    @rule(ready=st.booleans())
    def writable(self, ready: bool) -> None:
        self.bench.handler.writable(ready)

    @rule()
    def shut_down(self) -> None:
        for handler in tuple(self.bench.handlers):
            handler.disconnect(SHUTDOWN)

    @rule()
    def lose(self) -> None:
        if self.bench.handlers:
            self.bench.lose()

    @invariant()
    def gauges(self) -> None:
        node = self.bench.node
        channels = {channel for session in node.sessions for channel in session.channels()}
        assert node.mesh.wanted == channels
        assert node.subscriptions.seats <= len(channels) <= 3
        if not self.bench.connection.open:
            assert len(node.sessions) == 0

    def heard(self) -> tuple[set[str], dict[str, list[int]]]:
        """The channels that the client is on, as it was told, and what it got on them."""
        active: set[str] = set()
        got: dict[str, list[int]] = {}
        for line in self.bench.connection.lines:
            asked = self.asked.get(line.get("id", 0), {})
            push = line.get("push", {})
            if "subscribe" in line or "subscribe" in push:
                channel = push.get("channel") or asked["subscribe"]["channel"]
                assert channel not in active
                active.add(channel)
            elif "unsubscribe" in line or "unsubscribe" in push:
                active.discard(push.get("channel") or asked["unsubscribe"]["channel"])
            elif push:
                assert push["channel"] in active, "a publication without a subscription"
                if isinstance(push["pub"]["data"], dict):
                    got.setdefault(push["channel"], []).append(push["pub"]["data"]["n"])
        return active, got

    @invariant()
    def forget_what_ended(self) -> None:
        active, _ = self.heard()
        self.expected = {channel: numbers for channel, numbers in self.expected.items() if channel in active}

    def teardown(self) -> None:
        bench = self.bench
        bench.node.mesh.acknowledge()
        bench.run()
        answered = [line["id"] for line in bench.connection.lines if "id" in line]
        assert len(answered) == len(set(answered)), "two replies to one command"
        active, got = self.heard()
        for numbers in got.values():
            assert numbers == sorted(set(numbers)), "twice, or out of order"
        if bench.connection.open:
            assert sorted(answered) == list(self.asked), "a command without a reply"
            for channel in active.intersection(self.expected):
                assert set(self.expected[channel]) <= set(got.get(channel, ())), "missing"
            bench.lose()
        elif bench.handlers:
            bench.lose()
        assert not bench.handlers
        assert len(bench.node.sessions) == len(bench.node.subscriptions) == bench.node.subscriptions.seats == 0
        assert bench.node.mesh.wanted == set()


TestHandler = HandlerMachine.TestCase
TestHandler.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def connected(**options: Any) -> Bench:
    bench = Bench(**options)
    bench.send({"id": 1, "connect": {}})
    bench.connection.lines.clear()
    return bench


def test_the_first_ping_comes_at_a_random_time_and_each_wants_its_pong() -> None:
    bench = connected()
    assert bench.connection.deadline == 1000.0 + 25.0 * 0.5
    bench.pass_time(12.5)
    assert bench.connection.lines == [{}]
    assert bench.connection.deadline == bench.now + 8.0
    bench.pass_time(3.0)
    bench.send({})
    assert bench.connection.deadline == bench.now + 22.0
    bench.pass_time(22.0)
    assert bench.connection.lines == [{}, {}]
    bench.pass_time(8.0)
    assert bench.connection.code == 3012


def test_a_ping_that_is_late_does_not_bring_two() -> None:
    bench = connected()
    bench.pass_time(500.0)
    assert bench.connection.lines == [{}]
    assert bench.connection.open
    bench.send({})
    assert bench.connection.open
    assert bench.connection.deadline == bench.now + 25.0


def test_deadlines_of_tokens_follow_the_wall_clock() -> None:
    bench = Bench()
    bench.send({"id": 1, "connect": {"token": sign(Claims("ann", NOW + 100), SECRET)}})
    for _ in range(4):
        bench.pass_time(25.0)
        bench.send({})
    bench.pass_time(24.0)
    assert bench.connection.open
    bench.pass_time(1.0)
    assert bench.connection.code == 3005


def test_bad_input_is_reported_without_what_was_in_it() -> None:
    for message in (
        b"secret words",
        b'{"id":1,"connect":{"token":"secret words"}}',
        b'{"id":1,"publish":{"data":"secret words"}}',
    ):
        bench = Bench()
        bench.receive(message)
        assert bench.connection.code in (3500, 3501)
        assert len(bench.reports) == 1
        assert "secret words" not in bench.reports[0]


def test_a_connection_that_ends_for_what_was_sent_counts_as_an_error() -> None:
    bench = Bench()
    bench.send({"id": 1, "connect": {"token": "e30.e30.x"}})
    assert bench.connection.code == 3500
    assert bench.face.counts.errors == {"invalid_token": 1}
    bench = Bench()
    bench.receive(b"{")
    assert bench.face.counts.errors == {"bad_request": 1}


def test_the_log_names_the_channel_of_what_is_refused() -> None:
    bench = Bench(rules=())
    bench.send({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": "ordres:1"}})
    assert bench.face.counts.errors == {"unknown_channel": 1}
    assert bench.reports == ["refused on 'ordres:1': unknown channel: no channel rule admits it [unknown_channel]"]


def test_subscribes_that_become_ready_together_are_answered_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = connected()
    bench.node.mesh.slow = True
    bench.send(*({"id": number, "subscribe": {"channel": f"c{number}"}} for number in (2, 3, 4)))
    messages: list[bytes] = []
    monkeypatch.setattr(bench.connection, "send_text", messages.append)
    bench.node.mesh.acknowledge()
    assert bench.node.subscriptions.seats == 0
    bench.run()
    assert messages == [b'{"id":2,"subscribe":{}}\n{"id":3,"subscribe":{}}\n{"id":4,"subscribe":{}}']
    assert bench.node.subscriptions.seats == 3


def test_a_client_that_unsubscribes_and_comes_back_just_before_it_is_seated() -> None:
    bench = connected()
    bench.node.mesh.slow = True
    bench.send({"id": 2, "subscribe": {"channel": "a"}}, {"id": 3, "subscribe": {"channel": "b"}})
    bench.node.mesh.acknowledge()
    bench.send({"id": 4, "unsubscribe": {"channel": "a"}}, {"id": 5, "unsubscribe": {"channel": "b"}})
    bench.send({"id": 6, "subscribe": {"channel": "a"}})
    bench.run()
    assert [line["id"] for line in bench.connection.lines] == [2, 4, 3, 5]
    assert bench.node.subscriptions.seats == 0
    bench.node.mesh.acknowledge()
    bench.run()
    assert bench.connection.lines[-1] == {"id": 6, "subscribe": {}}
    assert subscribers(bench.node.subscriptions) == {"a": 1}


def test_a_client_that_is_gone_just_before_it_is_seated() -> None:
    bench = connected()
    bench.node.mesh.slow = True
    bench.send({"id": 2, "subscribe": {"channel": "a"}})
    bench.node.mesh.acknowledge()
    bench.lose()
    bench.run()
    assert bench.connection.lines == []
    assert bench.node.mesh.wanted == set()
