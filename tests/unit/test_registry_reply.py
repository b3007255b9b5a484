from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.model import ApiKey, ChannelRule, ClusterConfig, HeartbeatReply, Member, Registration, View
from wsplatform.wire.registry_reply import read

RULE = {"pattern": "chat:*", "subscribe": "users", "publish": "subscribers", "max_bytes": 7}
KEY = {"id": "k1", "name": "shop", "digest": "00", "scopes": ["api"], "channels": ["chat:*"]}
MEMBER = Member(node_id="n1", incarnation="1", cluster_url="ws://a:1", client_url="http://a:1", ready=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
RULES = st.builds(
    ChannelRule,
    pattern=st.text(max_size=8),
    subscribe=st.sampled_from(["anyone", "users", "token", "nobody"]),
    publish=st.sampled_from(["anyone", "users", "subscribers", "nobody"]),
    max_bytes=st.integers(0, 2**31 - 1),
)
KEYS = st.builds(
    ApiKey,
    id=st.text(max_size=8),
    name=st.text(max_size=8),
    digest=st.text(max_size=8),
    scopes=st.lists(st.sampled_from(["admin", "api"]), max_size=2).map(tuple),
    channels=st.lists(st.text(max_size=8), max_size=3).map(tuple),
)


def told(rules: Any = (), keys: Any = (), **more: Any) -> bytes:
    return msgspec.msgpack.encode({"config": {"version": 3, "rules": rules, "keys": keys, **more}, **more})


def config_of(reply: bytes) -> ClusterConfig:
    config = read(reply, HeartbeatReply).config
    assert config is not None
    return config


@given(st.lists(RULES, max_size=5), st.lists(KEYS, max_size=5))
def test_a_registry_of_the_same_release_is_understood_word_for_word(rules: list[ChannelRule], keys: list[ApiKey]):
    view, config = View(4, (MEMBER,)), ClusterConfig(3, tuple(rules), tuple(keys))
    for reply in (Registration(view, config, 1.0), HeartbeatReply(view, config, 5), HeartbeatReply()):
        assert read(msgspec.msgpack.encode(reply), type(reply)) == reply


def test_an_option_that_is_not_known_is_passed_over():
    config = config_of(told([RULE, {**RULE, "pattern": "new", "history": {"size": 10}}], news=[1]))
    assert config.rules == (ChannelRule(**RULE), ChannelRule(**{**RULE, "pattern": "new"}))


@pytest.mark.parametrize("right", ["subscribe", "publish"])
def test_a_right_that_is_not_known_is_nobodys(right: str):
    (rule,) = config_of(told([{**RULE, right: "friends"}])).rules
    assert getattr(rule, right) == "nobody"


def test_a_scope_that_is_not_known_gives_no_right():
    known, unknown = config_of(told([], [{**KEY, "scopes": ["api", "paint"]}, {**KEY, "scopes": ["paint"]}])).keys
    assert known.scopes == ("api",)
    assert unknown.scopes == ()


@given(JSON, JSON, JSON)
def test_what_is_no_reply_is_told_apart(rules: Any, keys: Any, config: Any):
    for reply in (told([rules], [keys]), told(rules, keys), msgspec.msgpack.encode({"config": config})):
        with contextlib.suppress(msgspec.MsgspecError):
            assert isinstance(read(reply, HeartbeatReply), HeartbeatReply)


@given(st.binary(max_size=64))
def test_garbage_raises_what_is_said(garbage: bytes):
    with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
        read(garbage, HeartbeatReply)
