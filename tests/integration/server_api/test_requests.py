"""One node over HTTP: publishing, keys, and input that must be refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.api_nodes import API, Nodes
from tests.support.client import Client
from tests.support.wait import eventually


def body(**params: Any) -> bytes:
    return json.dumps(params).encode()


async def test_a_publication_reaches_its_subscribers_as_it_was(node: Nodes) -> None:
    data = b'{\n  "text": "h\xc3\xa9",\r\n  "n": 12345678901234567890\n}'
    request = b'{"channel": "news", "data": ' + data + b"}"
    async with Client(node.http, node[0].url) as client:
        await client.subscribe("news")
        async with node.http.post(f"{node[0].url}/api/publish", data=request, headers={"X-API-Key": node.key}) as reply:
            assert (reply.status, await reply.json()) == (200, {"result": {}})
        await node.call("publish", channel="news", data=None)
        await eventually(lambda: len(client.publications["news"]) == 2)
    assert client.publications["news"] == [{"text": "hé", "n": 12345678901234567890}, None]


async def test_publications_keep_their_order(node: Nodes) -> None:
    async with Client(node.http, node[0].url) as client:
        await client.subscribe("news")
        for number in range(200):
            await node.call("publish", channel="news", data=number)
        await eventually(lambda: len(client.publications["news"]) == 200)
    assert client.publications["news"] == list(range(200))


async def test_a_broadcast_answers_for_each_channel(node: Nodes) -> None:
    async with Client(node.http, node[0].url) as client:
        await client.subscribe("a")
        await client.subscribe("b")
        answer = await node.call("broadcast", channels=["a", "b*", "$x", "small:1", "b"], data="x" * 200)
        await eventually(lambda: client.publications["a"] and client.publications["b"])
    codes = [response.get("error", {}).get("code") for response in answer["result"]["responses"]]
    assert codes == [None, 107, 103, 106, None]
    assert answer["result"]["responses"][0] == {"result": {}}


async def test_a_broadcast_to_the_most_channels_leaves_room_for_others(node: Nodes) -> None:
    channels = [f"c{number}" for number in range(10_000)]
    broadcast = asyncio.ensure_future(node.call("broadcast", channels=channels, data=1))
    answered = 0
    while not broadcast.done():
        await node.call("publish", channel="news", data=1)
        answered += 1
    assert len((await broadcast)["result"]["responses"]) == 10_000
    assert answered > 2


async def test_a_batch_is_carried_out_in_order_whatever_becomes_of_each(node: Nodes) -> None:
    commands: list[dict[str, Any]] = [{"publish": {"channel": "news", "data": number}} for number in range(50)]
    commands[10:10] = [{"publish": {"channel": "news"}}, {"nothing": {}}, {}, {"channels": {"pattern": "news"}}]
    async with Client(node.http, node[0].url) as client:
        await client.subscribe("news")
        answer = await node.call("batch", commands=commands, parallel=True)
        await eventually(lambda: len(client.publications["news"]) == 50)
    assert client.publications["news"] == list(range(50))
    assert set(answer) == {"replies"}
    assert answer["replies"][0] == {"publish": {}}
    assert [reply["error"]["code"] for reply in answer["replies"][10:13]] == [107, 104, 107]
    assert answer["replies"][13] == {"channels": {"channels": {"news": {"num_clients": 1}}}}


async def test_a_body_that_does_not_end_is_cut(node: Nodes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(node[0].url.rpartition(":")[2]))
    head = b"POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head % node.key.encode())

    async def send() -> None:
        while True:
            writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            await writer.drain()

    async with asyncio.timeout(10):
        with pytest.raises(ConnectionError):
            await send()
    writer.close()
    assert await node.call("publish", channel="news", data=1) == {"result": {}}


async def test_a_body_without_a_length_is_bounded_as_well(node: Nodes) -> None:
    async def body_of(size: int) -> Any:
        yield b'{"channel":"news","data":"'
        for _ in range(size // 1_000):
            yield b"x" * 1_000
        yield b'"}'

    for size, status in ((5_000, 200), (API.max_request_bytes, 413), (20_000_000, 413)):
        headers = {"X-API-Key": node.key}
        async with node.http.post(f"{node[0].url}/api/publish", data=body_of(size), headers=headers) as response:
            assert response.status == status


async def test_a_key_is_checked_before_the_body_is_read(node: Nodes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(node[0].url.rpartition(":")[2]))
    writer.write(b"POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: wrong\r\nContent-Length: 199000\r\n\r\n{")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert head.startswith(b"HTTP/1.1 401 ")
    writer.close()


@pytest.mark.parametrize(("right_key", "size", "status"), [(False, 199_000, b"401"), (True, 20_000_000, b"413")])
async def test_a_sender_who_asks_first_is_not_told_to_go_on(
    node: Nodes, right_key: bool, size: int, status: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(node[0].url.rpartition(":")[2]))
    key = node.key.encode() if right_key else b"wrong"
    writer.write(
        b"POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nContent-Length: %d\r\n"
        b"Expect: 100-continue\r\n\r\n" % (key, size)
    )
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"100 Continue" not in answer
    writer.close()


async def test_a_sender_who_asks_first_is_told_to_go_on(node: Nodes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(node[0].url.rpartition(":")[2]))
    request = body(channel="news", data=1)
    writer.write(
        b"POST /api/publish HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nContent-Length: %d\r\n"
        b"Expect: 100-continue\r\n\r\n" % (node.key.encode(), len(request))
    )
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 100 ")
    writer.write(request)
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_key_for_some_channels_reaches_no_others(node: Nodes) -> None:
    chat = node.add_key("api", channels=("chat:*", "news"))
    async with Client(node.http, node[0].url) as client:
        for channel in ("chat:1", "news", "secret"):
            await client.subscribe(channel)
        for channel, code in (("chat:1", None), ("news", None), ("secret", 103), ("news2", 103)):
            answer = await node.call("publish", key=chat, channel=channel, data=1)
            assert answer.get("error", {}).get("code") == code
        answer = await node.call("broadcast", key=chat, channels=["news", "secret"], data=1)
        assert [reply.get("error", {}).get("code") for reply in answer["result"]["responses"]] == [None, 103]
        seen = await node.call("channels", key=chat)
        assert set(seen["result"]["channels"]) == {"chat:1", "news"}
        assert set((await node.call("channels"))["result"]["channels"]) == {"chat:1", "news", "secret"}
        for method in ("subscribe", "unsubscribe"):
            answer = await node.call(method, key=chat, user="", client=client.id, channel="secret")
            assert answer["error"]["code"] == 103
        answer = await node.call("disconnect", key=chat, user="", client=client.id)
        assert answer["error"]["code"] == 103
        assert "result" in await node.call("info", key=chat)
        assert client.publications["secret"] == []
