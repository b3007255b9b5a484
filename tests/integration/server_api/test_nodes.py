"""Commands about sessions, wherever in the cluster they are."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from tests.support.api_nodes import API, CLIENT, Nodes, subscribed, unsubscribed
from tests.support.client import Client
from tests.support.wait import eventually


async def connect(stack: AsyncExitStack, nodes: Nodes, node: int, user: str = "") -> Client:
    token = nodes.token(user) if user else ""
    return await stack.enter_async_context(Client(nodes.http, nodes[node].url, token))


async def test_a_publication_on_any_node_reaches_all(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        clients = [await connect(stack, nodes, node) for node in range(3)]
        for client in clients:
            await client.subscribe("news")
        for number in range(30):
            await nodes.call("publish", node=number % 3, channel="news", data=number)
        await nodes.call("broadcast", node=1, channels=["news", "other"], data="last", tags={"k": "v"})
        for client in clients:
            await eventually(lambda client=client: len(client.publications["news"]) == 31)
            assert sorted(client.publications["news"][:30]) == list(range(30))


async def test_channels_of_all_nodes(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        for node, channels in enumerate((["chat:1", "chat:2"], ["chat:1", "news"], ["chat:1"])):
            client = await connect(stack, nodes, node)
            for channel in channels:
                await client.subscribe(channel)
        answer = await nodes.call("channels")
        assert answer["result"]["channels"] == {
            "chat:1": {"num_clients": 3},
            "chat:2": {"num_clients": 1},
            "news": {"num_clients": 1},
        }
        for pattern, names in (("chat:*", {"chat:1", "chat:2"}), ("{news,chat:2}", {"news", "chat:2"}), ("x", set())):
            answer = await nodes.call("channels", pattern=pattern)
            assert set(answer["result"]["channels"]) == names
        answer = await nodes.call("channels", pattern="[")
        assert answer["error"]["code"] == 107


async def test_info_of_all_nodes(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        ann = [await connect(stack, nodes, 1, "ann") for _ in range(2)]
        for client in ann:
            await client.subscribe("news")
        await ann[0].subscribe("chat:1")
        answer = await nodes.call("info")
    first, second, third = answer["result"]["nodes"]
    assert (first["name"], second["name"], third["name"]) == ("n1", "n2", "n3")
    assert second["uid"] == nodes[1].instance.incarnation
    assert [second[name] for name in ("num_clients", "num_users", "num_subs", "num_channels")] == [2, 1, 3, 2]
    assert [first[name] for name in ("num_clients", "num_users", "num_subs", "num_channels")] == [0, 0, 0, 0]
    assert first["version"]
    assert first["uptime"] >= 0


async def test_disconnecting_a_user_everywhere(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        ann = [await connect(stack, nodes, node, "ann") for node in range(3)]
        bob = await connect(stack, nodes, 1, "bob")
        nobody = await connect(stack, nodes, 1)
        assert await nodes.call("disconnect", user="ann") == {"result": {}}
        for client in ann:
            await eventually(lambda client=client: client.close_code == 3503)
        assert (bob.close_code, nobody.close_code) == (None, None)
        assert await bob.call("ping", {}) == {}
        assert await nodes.call("disconnect", user="ann") == {"result": {}}


async def test_disconnecting_one_session_or_all_but_some(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        ann = [await connect(stack, nodes, node, "ann") for node in (0, 1, 2, 2)]
        bob = await connect(stack, nodes, 1, "bob")
        advice = {"code": 4501, "reason": "signed out"}
        await nodes.call("disconnect", user="ann", client=ann[1].id, disconnect=advice)
        await eventually(lambda: ann[1].close_code == 4501)
        await nodes.call("disconnect", user="ann", client=bob.id)
        await nodes.call("disconnect", user="ann", whitelist=[ann[0].id, ann[2].id])
        await eventually(lambda: ann[3].close_code == 3503)
        assert [client.close_code for client in (ann[0], ann[2], bob)] == [None, None, None]


async def test_a_session_without_a_user_is_disconnected_by_its_id(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        one, other = [await connect(stack, nodes, 2) for _ in range(2)]
        assert (await nodes.call("disconnect", user=""))["error"]["code"] == 107
        await nodes.call("disconnect", user="", client=one.id)
        await eventually(lambda: one.close_code == 3503)
        assert other.close_code is None


async def test_unsubscribing_a_user_everywhere(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        ann = [await connect(stack, nodes, node, "ann") for node in range(3)]
        bob = await connect(stack, nodes, 1, "bob")
        for client in (*ann, bob):
            await client.subscribe("news")
            await client.subscribe("chat")
        assert await nodes.call("unsubscribe", user="ann", client=ann[0].id, channel="chat") == {"result": {}}
        assert await nodes.call("unsubscribe", user="ann", channel="news") == {"result": {}}
        for client in ann:
            await eventually(lambda client=client: "news" in unsubscribed(client))
        assert unsubscribed(ann[0]) == {"chat": 2000, "news": 2000}
        assert unsubscribed(ann[1]) == {"news": 2000}
        answer = await nodes.call("channels")
        assert answer["result"]["channels"] == {"news": {"num_clients": 1}, "chat": {"num_clients": 3}}
        assert unsubscribed(bob) == {}


async def test_subscribing_a_user_everywhere(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        ann = [await connect(stack, nodes, node, "ann") for node in range(3)]
        bob = await connect(stack, nodes, 1, "bob")
        await ann[2].subscribe("news")
        assert await nodes.call("subscribe", user="ann", channel="news") == {"result": {}}
        await nodes.call("publish", node=1, channel="news", data="all")
        for client in ann:
            await eventually(lambda client=client: client.publications["news"] == ["all"])
        assert [subscribed(client) for client in ann] == [{"news"}, {"news"}, set()]
        assert subscribed(bob) == set()
        # A channel that clients cannot choose themselves.
        await nodes.call("subscribe", user="bob", client=bob.id, channel="closed:1")
        await nodes.call("publish", node=2, channel="closed:1", data="bob's")
        await eventually(lambda: bob.publications["closed:1"] == ["bob's"])


async def test_what_is_published_after_the_reply_is_received(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        ann = await connect(stack, nodes, 2, "ann")
        for number in range(40):
            channel = f"news:{number}"
            await nodes.call("subscribe", node=number % 3, user="ann", channel=channel)
            await nodes.call("publish", node=(number + 1) % 3, channel=channel, data=number)
            await eventually(lambda channel=channel, number=number: ann.publications[channel] == [number])
            await nodes.call("unsubscribe", user="ann", channel=channel)


async def test_a_session_on_too_many_channels_is_not_subscribed(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        full = await connect(stack, nodes, 1, "ann")
        free = await connect(stack, nodes, 2, "ann")
        for number in range(CLIENT.max_channels):
            await full.subscribe(f"c{number}")
        error = (await nodes.call("subscribe", user="ann", channel="news"))["error"]
        assert error["code"] == 106
        assert "n2" in error["message"]
        await eventually(lambda: subscribed(free) == {"news"})
        assert subscribed(full) == set()


async def test_a_node_that_does_not_answer_is_named_and_the_others_have_acted(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        ann = [await connect(stack, nodes, node, "ann") for node in (0, 1)]
        nodes[2].fall_silent()
        for method, params in (
            ("info", {}),
            ("channels", {}),
            ("subscribe", {"user": "ann", "channel": "news"}),
            ("unsubscribe", {"user": "ann", "channel": "news"}),
            ("disconnect", {"user": "ann"}),
        ):
            began = time.monotonic()
            answer = await nodes.call(method, **params)
            assert time.monotonic() - began < API.survey_seconds + 1.0
            assert set(answer) == {"error"}
            assert answer["error"]["code"] == 100
            assert "from n3;" in answer["error"]["message"]
        for client in ann:
            await eventually(lambda client=client: client.close_code == 3503)
            assert subscribed(client) == {"news"}
            assert unsubscribed(client) == {"news": 2000}
        assert await nodes.call("publish", channel="news", data=1) == {"result": {}}


async def test_a_node_that_is_cut_off_is_named_at_once(nodes: Nodes) -> None:
    nodes.hub.cut("n1", "n2")
    await eventually(lambda: nodes[0].relay.links()[0].state == "connecting")
    began = time.monotonic()
    answer = await nodes.call("info")
    assert time.monotonic() - began < API.survey_seconds
    assert answer["error"]["code"] == 100
    assert "n2" in answer["error"]["message"]
    assert len((await nodes.call("info", node=2))["result"]["nodes"]) == 3
    nodes.hub.heal("n1", "n2")

    async def all_three() -> bool:
        return len((await nodes.call("info")).get("result", {}).get("nodes", ())) == 3

    await eventually(all_three)


async def test_a_list_that_fits_into_no_message_is_refused_with_advice() -> None:
    async with Nodes(2, max_envelope_bytes=2_000) as nodes, AsyncExitStack() as stack:
        await nodes.settled()
        clients = [await connect(stack, nodes, 1) for _ in range(4)]
        for index, client in enumerate(clients):
            for number in range(CLIENT.max_channels):
                await client.subscribe(f"c{index}{number}{'x' * 200}")
        answer = await nodes.call("channels")
        assert answer["error"]["code"] == 106
        assert "n2" in answer["error"]["message"]
        assert len((await nodes.call("channels", pattern="c0*"))["result"]["channels"]) == CLIENT.max_channels


async def test_a_node_alone_waits_for_nobody(node: Nodes) -> None:
    async with AsyncExitStack() as stack:
        ann = await connect(stack, node, 0, "ann")
        began = time.monotonic()
        for _ in range(20):
            await node.call("subscribe", user="ann", channel="news")
            await node.call("unsubscribe", user="ann", channel="news")
            await node.call("channels")
            await node.call("info")
        assert time.monotonic() - began < API.survey_seconds
        assert unsubscribed(ann) == {"news": 2000}


async def test_many_orders_at_once_leave_nothing_behind(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        ann = [await connect(stack, nodes, node, "ann") for node in range(3)]
        orders = [
            nodes.call(method, node=number % 3, user="ann", channel=f"c{number % 5}")
            for number in range(60)
            for method in ("subscribe", "unsubscribe")
        ]
        await asyncio.gather(*orders)
        await nodes.call("disconnect", user="ann")
        for client in ann:
            await eventually(lambda client=client: client.close_code == 3503)
        await eventually(lambda: all(len(nodes[index].sessions) == 0 for index in range(3)))
        assert [len(nodes[index].subscriptions) for index in range(3)] == [0, 0, 0]
