from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.face import OPEN, Node
from tests.support.subscribers import subscribers
from wsplatform.core.keys import RANDOM_BYTES, new_key
from wsplatform.core.tokens import Claims
from wsplatform.errors import CommandError, Disconnect, Unsubscribe
from wsplatform.model import ChannelRule, ClusterConfig
from wsplatform.node import policy as module
from wsplatform.node.eviction import AT_ONCE
from wsplatform.node.policy import Policy
from wsplatform.node.session import Session, Subscription
from wsplatform.settings import ClientTable
from wsplatform.wire.centrifuge import CentrifugeFormat


def number(policy: Policy, channel: str) -> int:
    with pytest.raises(CommandError) as caught:
        policy.rule(channel)
    return caught.value.number


def test_before_the_rules_have_arrived_the_answer_is_to_try_again() -> None:
    policy = Policy()
    assert not policy.loaded
    with pytest.raises(CommandError) as caught:
        policy.rule("news")
    assert caught.value.temporary
    assert policy.key("wsp_x_y") is None


def test_the_rule_of_a_channel_and_why_there_is_none() -> None:
    policy = Policy()
    policy.update(ClusterConfig(1, (ChannelRule(pattern="chat:*"), ChannelRule(pattern="chat:vip", publish="anyone"))))
    assert policy.loaded
    for _ in range(2):
        assert policy.rule("chat:1").pattern == "chat:*"
        assert policy.rule("chat:vip").pattern == "chat:vip"
        assert number(policy, "news") == 102
        assert number(policy, "$own") == 103
        assert number(policy, "a\x00") == 107
        assert number(policy, "") == 107


def test_a_change_is_seen_at_once_and_told_only_when_it_is_one() -> None:
    policy = Policy()
    told: list[str] = []
    policy.listen(lambda: told.append("changed"))
    policy.update(ClusterConfig(1, OPEN))
    assert policy.rule("news")
    text, key = new_key(bytes(RANDOM_BYTES), "backend", ("api",))
    policy.update(ClusterConfig(2, OPEN, (key,)))
    assert policy.key(text) == key
    assert told == ["changed"]
    policy.update(ClusterConfig(3, ()))
    assert policy.key(text) is None
    assert number(policy, "news") == 102
    assert told == ["changed"] * 2


def test_what_is_remembered_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", 10)
    policy = Policy()
    policy.update(ClusterConfig(1, OPEN))
    for index in range(100):
        assert policy.rule(f"c{index}").pattern == "*"
        assert len(policy._cache) <= 10


class Nobody:
    """The client of a session of which only its subscriptions are looked at."""

    fileno = -1

    def __init__(self) -> None:
        self.format = CentrifugeFormat()
        self.ended: list[str] = []

    address = ""
    protocol = "none"
    waiting_bytes = 0

    @property
    def outlet(self) -> Nobody:
        return self

    def send_frame(self, frame: bytes) -> None: ...
    def send_rest(self, rest: bytes) -> None: ...
    def ready(self, channel: str, subscription: Subscription) -> None: ...
    def disconnect(self, why: Disconnect) -> None: ...
    def unsubscribed(self, channel: str, why: Unsubscribe) -> None:
        self.ended.append(channel)


def test_a_change_of_rules_goes_through_all_sessions_some_each_turn() -> None:
    turns: list[Callable[[], None]] = []
    node = Node(ClientTable(), OPEN, turns.append, 25.0)
    clients = [Nobody() for _ in range(AT_ONCE * 2 + 1)]
    for index, client in enumerate(clients):
        session = Session(str(index), Claims(""), client, node.services, 0.0)
        node.sessions.add(session)
        session.subscribe("kept", "", 0.0)
        session.subscribe(f"lost:{index}", "", 0.0)
    node.change_rules(ChannelRule(pattern="kept", subscribe="anyone"))
    ended = []
    while turns:
        turns.pop(0)()
        ended.append(sum(len(client.ended) for client in clients))
    assert ended[0] <= AT_ONCE
    assert all(client.ended == [f"lost:{index}"] for index, client in enumerate(clients))
    assert subscribers(node.subscriptions) == {"kept": len(clients)}


def test_a_second_change_begins_again_and_ends() -> None:
    turns: list[Callable[[], None]] = []
    node = Node(ClientTable(), OPEN, turns.append, 25.0)
    clients = [Nobody() for _ in range(AT_ONCE + 1)]
    for index, client in enumerate(clients):
        session = Session(str(index), Claims(""), client, node.services, 0.0)
        node.sessions.add(session)
        session.subscribe("a", "", 0.0)
        session.subscribe("b", "", 0.0)
    node.change_rules(ChannelRule(pattern="a", subscribe="anyone"), ChannelRule(pattern="b", subscribe="anyone"))
    turns.pop(0)()
    node.change_rules(ChannelRule(pattern="b", subscribe="anyone"))
    while turns:
        turns.pop(0)()
    assert all(client.ended == ["a"] for client in clients)
