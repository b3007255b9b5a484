"""The client protocol over real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from msgspec import Raw

from tests.support.client import Client, Refused
from tests.support.face import SECRET, serve
from tests.support.subscribers import subscribers
from tests.support.wait import eventually
from wsplatform.core.tokens import Claims, sign
from wsplatform.errors import FORCE_NO_RECONNECT
from wsplatform.model import ChannelRule


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


def token(user: str = "ann", *, lives: float | None = None, channel: str = "", info: bytes = b"") -> str:
    expires_at = None if lives is None else time.time() + lives
    return sign(Claims(user, expires_at, Raw(info) if info else None, channel), SECRET)


async def said(socket: ClientWebSocketResponse) -> list[dict[str, Any]]:
    """The next message, as its lines."""
    message = await socket.receive(timeout=5)
    assert message.type is WSMsgType.TEXT, (message, socket.close_code)
    return [json.loads(line) for line in message.data.split("\n")]


async def ended(socket: ClientWebSocketResponse) -> int | None:
    """The code that the connection is closed with; what comes before it is passed over."""
    while not socket.closed:
        await socket.receive(timeout=5)
    return socket.close_code


async def test_connect_says_who_the_client_is_and_how_often_it_is_pinged(http: ClientSession) -> None:
    async with serve(ping_seconds=24.5) as node, http.ws_connect(node.websocket) as socket:
        await socket.send_str('{"id":1,"connect":{"name":"test"}}')
        ((reply),) = await said(socket)
        session = next(iter(node.sessions))
        expected = {"client": session.id, "version": "test", "ping": 25, "pong": True}
        assert reply == {"id": 1, "connect": expected}
        assert len(node.acceptor) == 1
        await socket.close()
        await eventually(lambda: len(node.acceptor) == len(node.sessions) == 0)


async def test_subscribers_get_what_is_published_once_in_order_until_they_unsubscribe(http: ClientSession) -> None:
    async with serve() as node, Client(http, node.url) as ann, Client(http, node.url) as bob:
        assert await ann.subscribe("news") == {}
        assert await bob.subscribe("news") == {}
        for number in range(100):
            node.publish("news", number)
        await eventually(lambda: ann.publications["news"] == bob.publications["news"] == list(range(100)))
        assert await bob.call("unsubscribe", {"channel": "news"}) == {}
        node.publish("news", "for ann alone")
        await eventually(lambda: len(ann.publications["news"]) == 101)
        assert await bob.call("ping", {}) == {}
        assert len(bob.publications["news"]) == 100
        assert node.mesh.wanted == {"news"}
    assert node.mesh.wanted == set()


async def test_replies_to_the_commands_of_one_message_come_in_one_message(http: ClientSession) -> None:
    async with serve() as node, http.ws_connect(node.websocket) as socket:
        await socket.send_str(
            '{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}\n'
            '{"id":3,"publish":{"channel":"a","data":{"x":1}}}\n{"send":{"data":1}}\n{"id":4,"rpc":{"method":"m"}}'
        )
        replies = await said(socket)
        assert [reply["id"] for reply in replies] == [1, 2, 3, 4]
        assert replies[2] == {"id": 3, "publish": {}}
        assert replies[3]["error"] == {"code": 104, "message": "method not found"}
        ((push),) = await said(socket)
        assert push["push"]["pub"]["data"] == {"x": 1}


async def test_who_published_is_told_to_the_others(http: ClientSession) -> None:
    async with serve() as node, http.ws_connect(node.websocket) as socket:
        connect = token("ann", info=b'{"name":\n"Ann"}')
        subscription = token("ann", channel="room", info=b'{"role":"host"}')
        await socket.send_str(json.dumps({"id": 1, "connect": {"token": connect}}))
        await said(socket)
        await socket.send_str(json.dumps({"id": 2, "subscribe": {"channel": "room", "token": subscription}}))
        await said(socket)
        await socket.send_str('{"id":3,\n"publish":{"channel":"room",\r\n"data":{"a" :\n1}}}')
        assert await said(socket) == [{"id": 3, "publish": {}}]
        client = next(iter(node.sessions)).id
        info = {"user": "ann", "client": client, "conn_info": {"name": "Ann"}, "chan_info": {"role": "host"}}
        assert await said(socket) == [{"push": {"channel": "room", "pub": {"data": {"a": 1}, "info": info}}}]


# Who may what


RULES = (
    ChannelRule(pattern="open:*", subscribe="anyone", publish="anyone"),
    ChannelRule(pattern="users:*", subscribe="users", publish="users"),
    ChannelRule(pattern="token:*", subscribe="token", publish="subscribers"),
    ChannelRule(pattern="backend:*", subscribe="nobody", publish="nobody"),
    ChannelRule(pattern="small", subscribe="anyone", publish="anyone", max_bytes=10),
)


@pytest.mark.parametrize(
    ("user", "channel", "with_token", "error"),
    [
        ("", "open:1", "", None),
        ("", "users:1", "", 103),
        ("ann", "users:1", "", None),
        ("", "users:1", "users:1", None),
        ("ann", "token:1", "", 103),
        ("ann", "token:1", "token:1", None),
        ("ann", "token:1", "token:2", 103),
        ("ann", "backend:1", "backend:1", 103),
        ("ann", "unknown", "", 102),
        ("ann", "$platform", "", 103),
        ("ann", "a\nb", "", 107),
        ("ann", "users:*", "", 107),
        ("ann", "x" * 256, "", 107),
    ],
)
async def test_who_may_subscribe(
    http: ClientSession, user: str, channel: str, with_token: str, error: int | None
) -> None:
    async with serve(rules=RULES) as node, Client(http, node.url, token(user) if user else "") as client:
        params = {"token": token(user, channel=with_token)} if with_token else {}
        if error is None:
            await client.subscribe(channel, **params)
            assert node.subscriptions.subscribers(channel) == 1
        else:
            with pytest.raises(Refused) as refused:
                await client.subscribe(channel, **params)
            assert refused.value.code == error
            assert len(node.subscriptions) == 0
        await client.call("ping", {})  # and the connection lives on


@pytest.mark.parametrize(
    "made", ["another user", "another channel", "no token", "another secret", "a connection token"]
)
async def test_a_subscription_token_of_somebody_else_admits_nobody(http: ClientSession, made: str) -> None:
    tokens = {
        "another user": token("bob", channel="token:1"),
        "another channel": token("ann", channel="token:2"),
        "no token": "abc",
        "another secret": sign(Claims("ann", None, None, "token:1"), "another secret of 32 bytes or more"),
        "a connection token": token("ann"),
    }
    async with serve(rules=RULES) as node, Client(http, node.url, token("ann")) as client:
        with pytest.raises(Refused, match="103"):
            await client.subscribe("token:1", token=tokens[made])


@pytest.mark.parametrize(
    ("user", "channel", "error"),
    [
        ("", "open:1", None),
        ("", "users:1", 103),
        ("ann", "users:1", None),
        ("ann", "token:1", 103),
        ("ann", "token:mine", None),
        ("ann", "backend:1", 103),
        ("ann", "unknown", 102),
        ("ann", "$platform", 103),
        ("ann", "small", None),
    ],
)
async def test_who_may_publish(http: ClientSession, user: str, channel: str, error: int | None) -> None:
    async with serve(rules=RULES) as node, Client(http, node.url, token(user) if user else "") as client:
        if user:
            await client.subscribe("token:mine", token=token(user, channel="token:mine"))
        if error is None:
            await client.publish(channel, "12345678")
            assert [name for name, _ in node.mesh.published] == [channel]
        else:
            with pytest.raises(Refused) as refused:
                await client.publish(channel, "12345678")
            assert refused.value.code == error
            assert node.mesh.published == []


async def test_publications_that_nobody_should_get(http: ClientSession) -> None:
    async with serve(rules=RULES) as node, Client(http, node.url) as client:
        with pytest.raises(Refused, match=r"106: data: 11 bytes, the channel's rule accepts 10"):
            await client.publish("small", "123456789")
        with pytest.raises(Refused, match="107: data: missing"):
            await client.call("publish", {"channel": "open:1"})
        deep: list[Any] = []
        for _ in range(200):
            deep = [deep]
        with pytest.raises(Refused, match="107"):
            await client.publish("open:1", deep)
        assert node.mesh.published == []


async def test_limits_of_one_connection(http: ClientSession) -> None:
    async with serve(max_channels=2) as node, Client(http, node.url) as client:
        await client.subscribe("a")
        with pytest.raises(Refused, match="105"):
            await client.subscribe("a")
        await client.subscribe("b")
        with pytest.raises(Refused, match="106"):
            await client.subscribe("c")
        await client.call("unsubscribe", {"channel": "a"})
        await client.subscribe("c")
        await client.call("unsubscribe", {"channel": "never subscribed"})
        assert subscribers(node.subscriptions) == {"b": 1, "c": 1}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"history": {"channel": "a"}}, 108),
        ({"presence": {"channel": "a"}}, 108),
        ({"presence_stats": {"channel": "a"}}, 108),
        ({"rpc": {"method": "x", "data": {}}}, 104),
        ({"something_new": {}}, 104),
        ({}, 104),
    ],
)
async def test_what_there_is_not_is_said(http: ClientSession, command: dict[str, Any], code: int) -> None:
    async with serve() as node, http.ws_connect(node.websocket) as socket:
        await socket.send_str('{"id":1,"connect":{}}')
        await said(socket)
        await socket.send_str(json.dumps({"id": 2, **command}))
        assert (await said(socket))[0]["error"]["code"] == code
        await socket.send_str('{"id":3,"ping":{}}')
        assert await said(socket) == [{"id": 3, "ping": {}}]


async def test_recovery_is_not_promised(http: ClientSession) -> None:
    async with serve() as node, Client(http, node.url) as client:
        result = await client.subscribe(
            "a", recoverable=True, positioned=True, recover=True, epoch="x", offset=5, flag=1
        )
        assert result == {"was_recovering": True}


# Tokens


@pytest.mark.parametrize(
    ("connect", "answer"),
    [({}, 101), ({"token": ""}, 101), ({"token": None}, 101), ({"token": token(lives=-1)}, 109)],
)
async def test_without_a_good_token_there_is_no_session(
    http: ClientSession, connect: dict[str, Any], answer: int
) -> None:
    async with serve(allow_anonymous=False, connect_seconds=0.2) as node, http.ws_connect(node.websocket) as socket:
        await socket.send_str(json.dumps({"id": 1, "connect": connect}))
        assert (await said(socket))[0]["error"]["code"] == answer
        assert len(node.sessions) == 0
        assert await ended(socket) == 3502


@pytest.mark.parametrize("text", ["abc", token(channel="a"), sign(Claims("ann"), "another secret of 32 bytes or more")])
async def test_a_forged_token_ends_the_connection_for_good(http: ClientSession, text: str) -> None:
    for anonymous in (True, False):
        async with serve(allow_anonymous=anonymous) as node, http.ws_connect(node.websocket) as socket:
            await socket.send_str(json.dumps({"id": 1, "connect": {"token": text}}))
            assert await ended(socket) == 3500


async def test_a_connection_outlives_its_token_by_the_grace_and_no_longer(http: ClientSession) -> None:
    async with serve(grace=0.3) as node, Client(http, node.url, token(lives=2.5)) as client:
        began = time.time()
        await eventually(lambda: client.close_code == 3005)
        assert time.time() - began > 1.0


async def test_a_refresh_keeps_the_connection(http: ClientSession) -> None:
    async with serve(grace=0.3) as node, http.ws_connect(node.websocket) as socket:
        await socket.send_str(json.dumps({"id": 1, "connect": {"token": token(lives=30)}}))
        ((reply),) = await said(socket)
        assert reply["connect"]["expires"] is True
        assert 20 < reply["connect"]["ttl"] <= 30
        await socket.send_str(json.dumps({"id": 2, "refresh": {"token": token(lives=3600)}}))
        ((reply),) = await said(socket)
        session = next(iter(node.sessions))
        assert reply["refresh"]["client"] == session.id
        assert 3590 < reply["refresh"]["ttl"] <= 3600
        assert session.expires_at > time.time() + 3500
        await socket.send_str(json.dumps({"id": 3, "refresh": {"token": token()}}))
        assert "expires" not in (await said(socket))[0]["refresh"]


@pytest.mark.parametrize(
    ("refresh", "code"),
    [
        ({"token": token("bob")}, 3500),
        ({"token": "abc"}, 3500),
        ({"token": token(lives=-5)}, 3005),
        ({"token": ""}, 3501),
        ({}, 3501),
    ],
)
async def test_a_refresh_that_proves_nothing(http: ClientSession, refresh: dict[str, Any], code: int) -> None:
    async with serve() as node, http.ws_connect(node.websocket) as socket:
        await socket.send_str(json.dumps({"id": 1, "connect": {"token": token("ann")}}))
        await said(socket)
        await socket.send_str(json.dumps({"id": 2, "refresh": refresh}))
        assert await ended(socket) == code


async def test_a_subscription_expires_and_can_be_kept(http: ClientSession) -> None:
    async with serve(rules=RULES, grace=0.1) as node, Client(http, node.url, token()) as client:
        for channel in ("token:kept", "token:lost"):
            result = await client.subscribe(channel, token=token(channel=channel, lives=2.9))
            assert result == {"expires": True, "ttl": result["ttl"]}
            assert 1 <= result["ttl"] <= 2
        long = token(channel="token:kept", lives=3600)
        assert (await client.call("sub_refresh", {"channel": "token:kept", "token": long}))["ttl"] > 3590
        await eventually(lambda: client.pushes)
        assert client.pushes == [
            {"channel": "token:lost", "unsubscribe": {"code": 2501, "reason": "subscription expired"}}
        ]
        assert subscribers(node.subscriptions) == {"token:kept": 1}
        for channel, text, code in (
            ("token:kept", token(channel="token:kept", lives=-1), 110),
            ("token:kept", token(channel="token:lost"), 103),
            ("token:kept", "", 107),
            ("token:lost", long, 103),
        ):
            with pytest.raises(Refused) as refused:
                await client.call("sub_refresh", {"channel": channel, "token": text})
            assert refused.value.code == code


async def test_an_expired_subscription_token_asks_for_another(http: ClientSession) -> None:
    async with serve(rules=RULES) as node, Client(http, node.url, token()) as client:
        with pytest.raises(Refused, match="109"):
            await client.subscribe("token:1", token=token(channel="token:1", lives=-1))


# The protocol's own rules


@pytest.mark.parametrize(
    "messages",
    [
        ["nonsense"],
        [""],
        ["[]"],
        ['{"id":1,"subscribe":{"channel":"a"}}'],
        ["{}"],
        ['{"connect":{}}'],
        ['{"id":1,"connect":{"token":5}}'],
        ['{"id":1,"connect":{}}', '{"id":2,"connect":{}}'],
        ['{"id":1,"connect":{}}\n{"id":2,"connect":{}}'],
        ['{"id":1,"connect":{}}', "{}"],
        ['{"id":1,"connect":{}}', '{"subscribe":{"channel":"a"}}'],
        ['{"id":1,"connect":{}}', '{"id":2,"subscribe":{}}'],
        ['{"id":1,"connect":{}}', '{"id":2,"publish":{"data":1}}'],
        ['{"id":1,"connect":{}}', '{"id":2,"unsubscribe":{"channel":""}}'],
        ['{"id":1,"connect":{}}', '{"id":2,"subscribe":{"channel":7}}'],
        ['{"id":1,"connect":{}}', '{"id":-2,"ping":{}}'],
        ['{"id":1,"connect":{}}', '{"id":2,"publish":{"channel":"a","data":' + "[" * 30_000 + "}}"],
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection_for_good(http: ClientSession, messages: list[str]) -> None:
    async with serve() as node, Client(http, node.url) as bystander, http.ws_connect(node.websocket) as socket:
        for message in messages:
            await socket.send_str(message)
        assert await ended(socket) == 3501
        await eventually(lambda: len(node.acceptor) == len(node.sessions) == 1)
        await bystander.subscribe("still fine")


async def test_a_binary_message_ends_the_connection(http: ClientSession) -> None:
    async with serve() as node, http.ws_connect(node.websocket) as socket:
        await socket.send_bytes(b'{"id":1,"connect":{}}')
        assert await ended(socket) == 3501


async def test_replies_before_the_fault_still_come(http: ClientSession) -> None:
    async with serve() as node, http.ws_connect(node.websocket) as socket:
        await socket.send_str('{"id":1,"connect":{}}\n{"id":2,"ping":{}}\n{"id":3,"subscribe":{}}\n{"id":4,"ping":{}}')
        assert [reply["id"] for reply in await said(socket)] == [1, 2]
        assert await ended(socket) == 3501


async def test_a_message_that_is_too_large_ends_the_connection(http: ClientSession) -> None:
    async with serve(max_message_bytes=1000) as node, http.ws_connect(node.websocket) as socket:
        await socket.send_str('{"id":1,"connect":{"name":"' + "x" * 1000 + '"}}')
        assert await ended(socket) == 1009


async def test_who_does_not_connect_is_not_waited_for(http: ClientSession) -> None:
    async with serve(connect_seconds=0.2) as node, http.ws_connect(node.websocket) as socket:
        assert await ended(socket) == 3502


async def test_pings_are_answered_or_the_connection_ends(http: ClientSession) -> None:
    async with serve(ping_seconds=0.1, pong_seconds=0.3) as node:
        async with Client(http, node.url) as client, http.ws_connect(node.websocket) as silent:
            await silent.send_str('{"id":1,"connect":{}}')
            await said(silent)
            assert await said(silent) == [{}]
            assert await ended(silent) == 3012
            await client.call("ping", {})  # it answers, and stays
        await eventually(lambda: len(node.acceptor) == 0)


async def test_one_pong_for_one_ping(http: ClientSession) -> None:
    async with serve(ping_seconds=0.05, pong_seconds=5) as node, http.ws_connect(node.websocket) as socket:
        await socket.send_str('{"id":1,"connect":{}}')
        await said(socket)
        assert await said(socket) == [{}]
        await socket.send_str("{}")
        assert await said(socket) == [{}]
        await socket.send_str("{}\n{}")
        assert await ended(socket) == 3501


# A mesh that takes its time


async def test_a_subscribe_is_answered_when_every_node_knows(http: ClientSession) -> None:
    async with serve() as node, http.ws_connect(node.websocket) as socket:
        node.mesh.slow = True
        await socket.send_str('{"id":1,"connect":{}}')
        await said(socket)
        await socket.send_str('{"id":2,"subscribe":{"channel":"a"}}\n{"id":3,"subscribe":{"channel":"b"}}')
        await socket.send_str('{"id":4,"ping":{}}')
        assert await said(socket) == [{"id": 4, "ping": {}}]
        assert node.subscriptions.seats == 0
        node.publish("a", "too early")
        node.mesh.acknowledge()
        node.publish("a", "in the same turn, before the reply")
        assert await said(socket) == [{"id": 2, "subscribe": {}}, {"id": 3, "subscribe": {}}]
        node.publish("a", "just right")
        assert [push["push"]["pub"]["data"] for push in await said(socket)] == ["just right"]


async def test_other_commands_while_a_subscribe_waits(http: ClientSession) -> None:
    rules = (ChannelRule(pattern="*", subscribe="anyone", publish="subscribers"),)
    async with serve(rules=rules) as node, http.ws_connect(node.websocket) as socket:
        node.mesh.slow = True
        await socket.send_str('{"id":1,"connect":{}}')
        await said(socket)
        await socket.send_str('{"id":2,"subscribe":{"channel":"a"}}')
        await socket.send_str('{"id":3,"subscribe":{"channel":"a"}}\n{"id":4,"publish":{"channel":"a","data":1}}')
        replies = await said(socket)
        assert [(reply["id"], reply["error"]["code"]) for reply in replies] == [(3, 105), (4, 103)]
        await socket.send_str('{"id":5,"unsubscribe":{"channel":"a"}}\n{"id":6,"subscribe":{"channel":"a"}}')
        assert await said(socket) == [{"id": 2, "subscribe": {}}, {"id": 5, "unsubscribe": {}}]
        node.mesh.acknowledge()
        assert await said(socket) == [{"id": 6, "subscribe": {}}]
        node.publish("a", "once")
        assert len(await said(socket)) == 1
        await socket.send_str('{"id":7,"unsubscribe":{"channel":"a"}}')
        assert await said(socket) == [{"id": 7, "unsubscribe": {}}]
        assert node.mesh.wanted == set()


async def test_a_client_that_leaves_while_its_subscribe_waits_leaves_nothing(http: ClientSession) -> None:
    async with serve() as node, http.ws_connect(node.websocket) as socket:
        node.mesh.slow = True
        await socket.send_str('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}')
        await said(socket)
        assert node.mesh.wanted == {"a"}
        await socket.close()
        await eventually(lambda: node.mesh.wanted == set())
        node.mesh.acknowledge()
        await asyncio.sleep(0)
        assert node.subscriptions.seats == 0


# What the node does


async def test_the_server_subscribes_and_unsubscribes_a_client(http: ClientSession) -> None:
    async with serve() as node, Client(http, node.url, token("ann")) as client:
        (session,) = node.sessions.of_user("ann")
        for slow in (False, True):
            node.mesh.slow = slow
            client.pushes.clear()
            session.subscribe_by_server("news")
            session.subscribe_by_server("news")
            node.mesh.acknowledge()
            if not slow:
                node.publish("news", "in the same turn")
            await eventually(lambda: client.pushes == [{"channel": "news", "subscribe": {}}])
            with pytest.raises(Refused, match="105"):
                await client.subscribe("news")
            assert session.unsubscribe_by_server("news")
            assert not session.unsubscribe_by_server("news")
            await eventually(lambda: len(client.pushes) == 2)
            assert client.pushes[1] == {
                "channel": "news",
                "unsubscribe": {"code": 2000, "reason": "server unsubscribe"},
            }
        assert client.publications["news"] == ["in the same turn"]
        assert node.mesh.wanted == set()


async def test_a_subscribe_that_waits_is_ended_by_the_server(http: ClientSession) -> None:
    async with serve() as node, http.ws_connect(node.websocket) as socket:
        node.mesh.slow = True
        await socket.send_str('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}')
        await said(socket)
        next(iter(node.sessions)).unsubscribe_by_server("a")
        lines = await said(socket) + await said(socket)
        assert lines[0] == {"id": 2, "subscribe": {}}
        assert lines[1]["push"]["unsubscribe"]["code"] == 2000
        node.mesh.acknowledge()
        await socket.send_str('{"id":3,"ping":{}}')
        assert await said(socket) == [{"id": 3, "ping": {}}]
        assert node.mesh.wanted == set()


async def test_subscriptions_end_when_the_rules_do_not_admit_them_any_more(http: ClientSession) -> None:
    async with serve(rules=RULES) as node, Client(http, node.url) as anonymous, Client(http, node.url, token()) as ann:
        for client in (anonymous, ann):
            await client.subscribe("open:1")
            await client.subscribe("small")
        node.change_rules(ChannelRule(pattern="open:*", subscribe="users", publish="nobody"))
        await eventually(lambda: len(anonymous.pushes) == 2 and len(ann.pushes) == 1)
        assert {push["channel"] for push in anonymous.pushes} == {"open:1", "small"}
        assert ann.pushes[0]["channel"] == "small"
        assert subscribers(node.subscriptions) == {"open:1": 1}
        with pytest.raises(Refused, match="102"):
            await ann.subscribe("small")


async def test_the_server_disconnects_a_client(http: ClientSession) -> None:
    async with serve() as node, Client(http, node.url, token("ann")) as ann, Client(http, node.url) as other:
        await ann.subscribe("news")
        (session,) = node.sessions.of_user("ann")
        session.end(FORCE_NO_RECONNECT)
        assert len(node.sessions) == 1
        await eventually(lambda: ann.close_code == 3503)
        session.end(FORCE_NO_RECONNECT)  # again, and too late: nothing happens
        assert node.mesh.wanted == set()
        await other.call("ping", {})


async def test_a_drain_asks_all_to_come_back_at_a_steady_pace(http: ClientSession) -> None:
    async with serve() as node:
        clients = [Client(http, node.url) for _ in range(20)]
        await asyncio.gather(*(client.__aenter__() for client in clients))
        began = time.monotonic()
        drained = asyncio.create_task(node.acceptor.drain(1.0))
        await eventually(lambda: node.acceptor.draining)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(node.websocket)
        assert refused.value.status == 503
        assert refused.value.headers is not None
        assert refused.value.headers["Set-Cookie"].startswith("WSNODE=; Path=/; Max-Age=0")  # the balancer's
        await eventually(lambda: sum(client.close_code == 3001 for client in clients) >= 8)
        assert 0.2 < time.monotonic() - began < 0.8
        await drained
        await eventually(lambda: all(client.close_code == 3001 for client in clients))
        await asyncio.gather(*(client.__aexit__() for client in clients))


async def test_a_client_that_does_not_read_is_disconnected_and_others_get_everything(http: ClientSession) -> None:
    async with serve(max_outbox_bytes=200_000) as node, Client(http, node.url) as client:
        await client.subscribe("big")
        reader, writer = await asyncio.open_connection(*node.url.removeprefix("http://").split(":"), limit=1 << 16)
        writer.write(
            b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        for command in (b'{"id":1,"connect":{}}', b'{"id":2,"subscribe":{"channel":"big"}}'):
            writer.write(bytes((0x81, 0x80 | len(command))) + bytes(4) + command)
        await reader.readuntil(b'"id":2')
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        count = 0
        while len(node.sessions) == 2:
            node.publish("big", {"n": count, "text": "x" * 20_000})
            count += 1
            await asyncio.sleep(0.001)
            assert count < 3000
        await eventually(lambda: [data["n"] for data in client.publications["big"]] == list(range(count)))
        writer.close()


async def test_compressed_connections_and_plain_ones_get_the_same(http: ClientSession) -> None:
    async with (
        serve(deflate=True) as node,
        http.ws_connect(node.websocket, compress=15) as deflated,
        http.ws_connect(node.websocket) as plain,
    ):
        assert deflated.compress
        assert not plain.compress
        for socket in (deflated, plain):
            await socket.send_str('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}')
            await said(socket)
        data = {"text": "long " * 500}
        node.publish("a", data)
        node.publish("a", "short")
        for socket in (deflated, plain):
            pushes = await said(socket) + await said(socket)
            assert [push["push"]["pub"]["data"] for push in pushes] == [data, "short"]


# The door


async def status(http: ClientSession, url: str, **options: Any) -> int:
    try:
        async with http.ws_connect(url, **options) as socket:
            assert not socket.closed
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


@pytest.mark.parametrize(
    ("allowed", "origin", "answer"),
    [
        (("*",), "https://anything.example", 101),
        (("https://app.example",), "https://app.example", 101),
        (("https://app.example",), "https://APP.example", 101),
        (("https://app.example",), "https://evil.example", 403),
        (("https://app.example",), "http://app.example", 403),
        (("https://*.app.example",), "https://a.b.app.example", 101),
        (("https://*.app.example",), "https://app.example", 403),
        (("https://app.example",), None, 101),
        ((), None, 101),
        ((), "same", 101),
        ((), "https://app.example", 403),
        ((), "null", 403),
        ((), "", 403),
    ],
)
async def test_origins(http: ClientSession, allowed: tuple[str, ...], origin: str | None, answer: int) -> None:
    async with serve(allowed_origins=allowed) as node:
        own = node.url if origin == "same" else origin
        headers = {} if own is None else {"Origin": own}
        assert await status(http, node.websocket, headers=headers) == answer


async def test_no_more_connections_than_may_be(http: ClientSession) -> None:
    async with serve(max_connections=1) as node:
        async with http.ws_connect(node.websocket):
            assert await status(http, node.websocket) == 503
        await eventually(lambda: len(node.acceptor) == 0)
        assert await status(http, node.websocket) == 101


@pytest.mark.parametrize(
    ("offered", "answer", "chosen"),
    [
        ([], 101, None),
        (["centrifuge-json"], 101, "centrifuge-json"),
        (["centrifuge-protobuf", "centrifuge-json"], 101, "centrifuge-json"),
        (["centrifuge-protobuf"], 400, None),
        (["other"], 101, None),
    ],
)
async def test_subprotocols(http: ClientSession, offered: list[str], answer: int, chosen: str | None) -> None:
    async with serve() as node:
        assert await status(http, node.websocket, protocols=offered) == answer
        if answer == 101:
            async with http.ws_connect(node.websocket, protocols=offered) as socket:
                assert socket.protocol == chosen


async def test_the_client_address_is_believed_from_trusted_proxies_only(http: ClientSession) -> None:
    for trusted, forwarded, address in (
        ((), "9.9.9.9", "127.0.0.1"),
        (("127.0.0.0/8",), "1.1.1.1, 9.9.9.9", "9.9.9.9"),
        (("127.0.0.1",), "spoofed", "127.0.0.1"),
        (("10.0.0.0/8",), "9.9.9.9", "127.0.0.1"),
        (("127.0.0.1",), "1.1.1.1, ::ffff:9.9.9.9", "9.9.9.9"),
        (("127.0.0.1",), "2001:db8::1", "2001:db8::1"),
    ):
        async with (
            serve(trusted=trusted) as node,
            http.ws_connect(node.websocket, headers={"X-Forwarded-For": forwarded}),
        ):
            (handler,) = node.acceptor._handlers
            assert handler.outlet.remote == address  # type: ignore[attr-defined]


async def test_http_on_the_same_port_stays_http(http: ClientSession) -> None:
    async with serve() as node:
        async with http.get(node.url + "/hello") as response:
            assert await response.text() == "hello"
        async with http.get(node.websocket.replace("ws", "http", 1)) as response:
            assert response.status == 426
        assert len(node.acceptor) == 0
