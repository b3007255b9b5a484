"""The Python SDK that users have, unmodified."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from centrifuge import (
    CentrifugeError,
    Client,
    ClientEventHandler,
    ClientState,
    ReplyError,
    SubscriptionEventHandler,
    SubscriptionState,
)

from tests.support.face import SECRET, Served, serve
from tests.support.wait import eventually
from wsplatform.core.tokens import Claims, sign
from wsplatform.errors import CONNECTION_EXPIRED, FORCE_NO_RECONNECT, SHUTDOWN, SUBSCRIPTION_EXPIRED
from wsplatform.model import ChannelRule

GetToken = Callable[[], Awaitable[str]]


class Events(ClientEventHandler):
    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []
        self.publications: list[Any] = []

    async def on_connected(self, ctx: Any) -> None:
        self.log.append(("connected", ctx.client))

    async def on_connecting(self, ctx: Any) -> None:
        self.log.append(("connecting", ctx.code))

    async def on_disconnected(self, ctx: Any) -> None:
        self.log.append(("disconnected", ctx.code))

    async def on_subscribed(self, ctx: Any) -> None:
        self.log.append(("subscribed", ctx.channel))

    async def on_unsubscribed(self, ctx: Any) -> None:
        self.log.append(("unsubscribed", ctx.channel))

    async def on_publication(self, ctx: Any) -> None:
        self.publications.append(ctx.pub.data)

    def named(self, name: str) -> list[Any]:
        return [value for what, value in self.log if what == name]


class SubscriptionEvents(SubscriptionEventHandler):
    def __init__(self) -> None:
        self.publications: list[Any] = []
        self.info: list[Any] = []
        self.ends: list[int] = []
        self.subscribed = 0

    async def on_publication(self, ctx: Any) -> None:
        self.publications.append(ctx.pub.data)
        self.info.append(ctx.pub.info)

    async def on_subscribed(self, ctx: Any) -> None:
        self.subscribed += 1

    async def on_subscribing(self, ctx: Any) -> None:
        self.ends.append(ctx.code)

    async def on_unsubscribed(self, ctx: Any) -> None:
        self.ends.append(ctx.code)


@asynccontextmanager
async def client(node: Served, **options: Any) -> AsyncIterator[tuple[Client, Events]]:
    events = Events()
    sdk = Client(node.websocket, events, min_reconnect_delay=0.01, max_reconnect_delay=0.05, **options)
    await sdk.connect()
    try:
        yield sdk, events
    finally:
        await sdk.disconnect()


def token(user: str = "ann", lives: float | None = None, channel: str = "") -> str:
    return sign(Claims(user, None if lives is None else time.time() + lives, None, channel), SECRET)


async def test_subscribe_publish_and_leave() -> None:
    async with (
        serve() as node,
        client(node, token=token("ann")) as (ann, _),
        client(node, token=token("bob")) as (bob, _),
    ):
        events = SubscriptionEvents()
        subscription = ann.new_subscription("chat", events)
        await subscription.subscribe()
        await subscription.ready(timeout=5)
        for number in range(50):
            await bob.publish("chat", {"n": number, "text": "line\nbreak"})
        await subscription.publish("mine")
        await eventually(lambda: len(events.publications) == 51)
        assert [data["n"] for data in events.publications[:50]] == list(range(50))
        assert [info.user for info in events.info] == ["bob"] * 50 + ["ann"]
        await subscription.unsubscribe()
        await eventually(lambda: len(node.subscriptions) == 0)
        assert events.ends[-1] == 0


async def test_errors_reach_the_application_and_the_connection_stays() -> None:
    async with serve(rules=(ChannelRule(pattern="open", subscribe="anyone"),)) as node, client(node) as (sdk, _):
        await sdk.ready(timeout=5)
        for call, code in (
            (sdk.rpc("method", {}), 104),
            (sdk.publish("open", 1), 103),
            (sdk.publish("unknown", 1), 102),
            (sdk.history("open", limit=1), 108),
            (sdk.presence("open"), 108),
        ):
            with pytest.raises(ReplyError) as refused:
                await call
            assert refused.value.code == code
        events = SubscriptionEvents()
        subscription = sdk.new_subscription("unknown", events)
        await subscription.subscribe()
        await eventually(lambda: subscription.state is SubscriptionState.UNSUBSCRIBED)
        assert events.ends[-1] == 102
        assert sdk.state is ClientState.CONNECTED


async def test_many_subscriptions_while_the_mesh_takes_its_time() -> None:
    async with serve() as node, client(node) as (sdk, _):
        await sdk.ready(timeout=5)
        node.mesh.slow = True
        subscriptions = [sdk.new_subscription(f"c{number}", SubscriptionEvents()) for number in range(50)]
        for subscription in subscriptions:
            await subscription.subscribe()
        await eventually(lambda: len(node.subscriptions) == 50)
        await subscriptions[0].unsubscribe()
        await eventually(lambda: len(node.subscriptions) == 49)
        node.mesh.acknowledge()
        await asyncio.gather(*(subscription.ready(timeout=5) for subscription in subscriptions[1:]))
        for number in range(50):
            node.publish(f"c{number}", number)
        await eventually(lambda: all(one.events.publications for one in subscriptions[1:]))
        assert [one.events.publications for one in subscriptions] == [[]] + [[number] for number in range(1, 50)]


async def test_an_expired_token_is_replaced_by_a_new_one() -> None:
    asked = 0

    async def get_token() -> str:
        nonlocal asked
        asked += 1
        return token("ann")

    async with (
        serve(allow_anonymous=False) as node,
        client(node, token=token("ann", lives=-10), get_token=get_token) as (sdk, events),
    ):
        await sdk.ready(timeout=5)
        assert asked == 1
        assert node.sessions.of_user("ann")
        assert not events.named("disconnected")


async def test_a_connection_and_a_subscription_live_on_with_new_tokens() -> None:
    async def get_token() -> str:
        return token("ann", lives=2.9)

    async def get_channel_token(ctx: Any) -> str:
        return token("ann", lives=2.9, channel="private")

    rules = (ChannelRule(pattern="private", subscribe="token"),)
    async with (
        serve(rules=rules, grace=2.0, allow_anonymous=False) as node,
        client(node, get_token=get_token) as (sdk, events),
    ):
        seen = SubscriptionEvents()
        subscription = sdk.new_subscription("private", seen, get_token=get_channel_token)
        await subscription.subscribe()
        await subscription.ready(timeout=5)
        (session,) = node.sessions.of_user("ann")
        first = session.expires_at
        await eventually(lambda: session.expires_at >= first + 3, within=15)
        node.publish("private", "still here")
        await eventually(lambda: seen.publications == ["still here"])
        assert len(events.named("connected")) == 1
        assert seen.subscribed == 1


async def test_a_subscription_that_expired_is_taken_again() -> None:
    async with serve() as node, client(node, token=token("ann")) as (sdk, _):
        seen = SubscriptionEvents()
        subscription = sdk.new_subscription("news", seen)
        await subscription.subscribe()
        await subscription.ready(timeout=5)
        (session,) = node.sessions.of_user("ann")
        session.unsubscribe_by_server("news", SUBSCRIPTION_EXPIRED)
        await eventually(lambda: seen.subscribed == 2)
        session.unsubscribe_by_server("news")
        await eventually(lambda: subscription.state is SubscriptionState.UNSUBSCRIBED)
        assert seen.ends[-2:] == [2501, 2000]


@pytest.mark.parametrize(("why", "again"), [(SHUTDOWN, True), (CONNECTION_EXPIRED, True), (FORCE_NO_RECONNECT, False)])
async def test_disconnect_codes_say_whether_to_come_back(why: Any, again: bool) -> None:
    async with serve() as node, client(node, token=token("ann")) as (sdk, events):
        await sdk.ready(timeout=5)
        (session,) = node.sessions.of_user("ann")
        session.end(why)
        if again:
            await eventually(lambda: len(events.named("connected")) == 2)
            assert events.named("connecting")[-1] == why.code
        else:
            await eventually(lambda: events.named("disconnected") == [why.code])
            assert len(node.acceptor) == 0


@pytest.mark.parametrize(("text", "code"), [("", 101), ("forged", 3500)])
async def test_who_cannot_say_who_it_is_gives_up(text: str, code: int) -> None:
    async with serve(allow_anonymous=False) as node, client(node, token=text) as (sdk, events):
        with pytest.raises(CentrifugeError):
            await sdk.ready(timeout=5)
        await eventually(lambda: events.named("disconnected") == [code])


async def test_server_side_subscriptions() -> None:
    async with serve() as node, client(node, token=token("ann")) as (sdk, events):
        await sdk.ready(timeout=5)
        (session,) = node.sessions.of_user("ann")
        session.subscribe_by_server("system")
        node.publish("system", "hello")
        await eventually(lambda: events.publications == ["hello"])
        session.unsubscribe_by_server("system")
        await eventually(lambda: events.named("unsubscribed") == ["system"])
        assert events.named("subscribed") == ["system"]


async def test_pings_keep_it_connected() -> None:
    async with serve(ping_seconds=0.05, pong_seconds=1.0) as node, client(node) as (sdk, events):
        await sdk.ready(timeout=5)
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            await asyncio.sleep(0.05)
            assert sdk.state is ClientState.CONNECTED
        assert events.named("connecting") == [0]


async def test_the_protobuf_client_is_told_at_the_door() -> None:
    async with serve() as node:
        events = Events()
        sdk = Client(node.websocket, events, use_protobuf=True, min_reconnect_delay=10)
        await sdk.connect()
        with pytest.raises(CentrifugeError):
            await sdk.ready(timeout=0.3)
        await sdk.disconnect()
        assert len(node.acceptor) == 0
