"""A connection over a real socket: order, endings and everything that a peer may do wrong."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
import tracemalloc
from typing import Any

import pytest

from tests.support.wait import eventually
from tests.support.websocket import LIMITS, Server, binary, close, echo, frame, text, upgrade_head
from wsplatform.net.websocket import ConnectionLimits, WebSocketConnection
from wsplatform.wire.deflate import compress
from wsplatform.wire.rfc6455 import BINARY, CONTINUATION, PING, PONG, TEXT, encode_close, encode_frame

BIG = bytes(400_000)
PATIENT = ConnectionLimits(max_message=1_000_000, max_outbox=2_000_000, close_timeout=0.3)


def server_closes(code: int, reason: str) -> Any:
    def reply(connection: WebSocketConnection, name: str, payload: Any) -> None:
        if name == "text":
            connection.close(code, reason)

    return reply


async def closed(server: Server) -> tuple[int, str]:
    """How the last connection ended, once nothing is left of it."""
    await eventually(lambda: server.handlers[-1].end and not server.connections and not len(server.sweep))
    assert server.handlers[-1].ends == 1
    assert server.handlers[-1].told[-1][0] == "closed"
    assert server.handlers[-1].end is not None
    return server.handlers[-1].end


async def test_every_message_before_a_close_in_one_burst_is_handled(server: Server) -> None:
    client = await server.client()
    client.send(*(text(f"m{number}") for number in range(500)), close(1000, "bye"))
    assert await client.close_frame() == (1000, "")
    assert await client.next() is None
    assert await closed(server) == (1000, "bye")
    assert server.handlers[0].texts() == [b"m%d" % number for number in range(500)]


async def test_every_message_before_a_close_and_the_end_of_the_stream_is_handled(server: Server) -> None:
    client = await server.client()
    client.send(*(text(f"m{number}") for number in range(200)), close(4000))
    client.writer.write_eof()
    assert await closed(server) == (4000, "")
    assert len(server.handlers[0].texts()) == 200


@pytest.mark.parametrize("deflate", [False, True])
async def test_a_flood_of_small_messages_leaves_the_others_a_turn_after_each_slice(
    server: Server, deflate: bool
) -> None:
    server.reply = lambda connection, name, payload: time.sleep(0.0001)
    server.deflate = deflate
    client = await server.dial()
    await client.upgrade("/ws", *(("Sec-WebSocket-Extensions: permessage-deflate",) if deflate else ()))
    count, one = 10_000, text("x" * 20)
    client.send(one * count, close(1000, "bye"))
    client.writer.write_eof()
    handled = most = 0
    while not server.handlers[0].end:
        await asyncio.sleep(0)
        now = len(server.handlers[0].told)
        most, handled = max(most, now - handled), now
    assert server.handlers[0].texts() == [b"x" * 20] * count
    assert server.handlers[0].end == (1000, "bye")
    assert most <= 3 * 16_384 / len(one)  # what is read anew may come in the turn in which the last of the old goes


async def test_messages_sent_together_with_the_request_are_read(server: Server) -> None:
    server.reply = echo
    client = await server.dial()
    client.send(upgrade_head("/ws"), text("early"), text("bird")[:4])
    await client.reader.readuntil(b"\r\n\r\n")
    client.send(text("bird")[4:])
    assert [await client.next(), await client.next()] == [(TEXT, b"early"), (TEXT, b"bird")]


async def test_order_holds_with_pings_in_between_while_writes_are_paused(server: Server) -> None:
    def reply(connection: WebSocketConnection, name: str, payload: Any) -> None:
        if payload == b"big":
            connection.send_binary(bytes(500_000))
        elif name == "text":
            connection.send_text(b"re " + payload)

    server.reply = reply
    server.limits = PATIENT
    client = await server.client()
    client.send(text("big"))
    await eventually(lambda: ("writable", False) in server.handlers[0].told)
    client.send(frame(PING, b"1"), text("a"))
    client.send(text("b"), frame(PING, b"2"), text("c"))
    await eventually(lambda: len(server.handlers[0].texts()) == 4)
    assert server.handlers[0].texts() == [b"big", b"a", b"b", b"c"]
    received = [await client.next() for _ in range(6)]
    assert received == [
        (BINARY, bytes(500_000)),
        (PONG, b"1"),
        (TEXT, b"re a"),
        (TEXT, b"re b"),
        (PONG, b"2"),
        (TEXT, b"re c"),
    ]
    await eventually(lambda: ("writable", True) in server.handlers[0].told)


async def test_a_client_that_never_reads_is_cut_within_bounds(server: Server) -> None:
    await server.client()
    connection = server.handlers[0].connection
    assert connection is not None
    peak = 0
    while connection.open:
        connection.send_binary(bytes(10_000))
        peak = max(peak, connection.buffered)
        await asyncio.sleep(0)
    assert peak <= LIMITS.max_outbox + 20_000
    assert connection.buffered < LIMITS.max_outbox / 2  # what was queued is gone already
    assert connection.fileno == -1
    assert await closed(server) == LIMITS.slow_close


async def test_a_slow_client_that_reads_again_learns_why_it_goes(server: Server) -> None:
    client = await server.client()
    connection = server.handlers[0].connection
    assert connection is not None
    while connection.open:
        connection.send_binary(bytes(10_000))
        await asyncio.sleep(0)
    assert await client.close_frame() == LIMITS.slow_close  # and whole frames only before it: the parser is strict
    client.send(close(3008))
    assert await closed(server) == LIMITS.slow_close


async def test_one_message_larger_than_the_outbox_does_not_make_a_client_slow(server: Server) -> None:
    client = await server.client()
    connection = server.handlers[0].connection
    assert connection is not None
    connection.send_binary(bytes(1_000_000))
    assert connection.open
    assert await client.next() == (BINARY, bytes(1_000_000))


async def test_replies_made_while_reading_leave_in_one_write(server: Server) -> None:
    server.reply = echo
    client = await server.client()
    client.send(*(text(f"m{number}") for number in range(100)))
    await eventually(lambda: len(server.handlers[0].texts()) == 100)
    assert await client.reader.read(1 << 16) == b"".join(encode_frame(TEXT, b"m%d" % number) for number in range(100))


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param([text(b"\xc3\x28")], 1007, id="text that is not UTF-8"),
        pytest.param([frame(TEXT, b"\xc3", fin=False), frame(CONTINUATION, b"\x28")], 1007, id="across fragments"),
        pytest.param([encode_frame(TEXT, b"x")], 1002, id="not masked"),
        pytest.param([frame(3)], 1002, id="reserved opcode"),
        pytest.param([frame(TEXT, rsv1=True)], 1002, id="compressed without negotiation"),
        pytest.param([frame(8, b"\x03\xee")], 1002, id="close with 1006"),
        pytest.param([bytes((0x82, 0xFF)) + (1 << 40).to_bytes(8, "big") + b"mask"], 1009, id="declared too big"),
        pytest.param([frame(BINARY, bytes(600_000), fin=False), frame(CONTINUATION, bytes(600_000))], 1009, id="sum"),
    ],
)
async def test_a_broken_protocol_is_answered_with_its_code(server: Server, frames: list[bytes], code: int) -> None:
    client = await server.client()
    client.send(text("before"), *frames, text("after"), BIG)
    assert (await client.close_frame())[0] == code
    assert await client.rest() == b""
    await client.hang_up()
    assert (await closed(server))[0] == code
    assert server.handlers[0].texts() == [b"before"]


async def test_a_peer_that_breaks_the_protocol_and_stays_is_cut(server: Server) -> None:
    client = await server.client()
    client.send(frame(3))
    assert (await closed(server))[0] == 1002


async def test_fragments_with_control_frames_between(server: Server) -> None:
    client = await server.client()
    client.send(frame(TEXT, b"Hel", fin=False), frame(PING, b"?"), frame(CONTINUATION, b"", fin=False))
    client.send(frame(PONG, b"!"), frame(CONTINUATION, b"lo"), close(1001, "away"))
    assert await client.next() == (PONG, b"?")
    assert await client.close_frame() == (1001, "")
    assert await closed(server) == (1001, "away")
    assert server.handlers[0].told[1:3] == [("pong", b"!"), ("text", b"Hello")]


async def test_the_server_closes_with_code_and_reason_and_says_no_more(server: Server) -> None:
    def reply(connection: WebSocketConnection, name: str, payload: Any) -> None:
        if name == "text":
            connection.send_text(b"last")
            connection.close(1001, "shutdown")
            connection.close(4000, "ignored")
            connection.send_text(b"too late")
            connection.ping()
            assert not connection.open

    server.reply = reply
    client = await server.client()
    client.send(text("go"), text("thrown away"))
    assert await client.next() == (TEXT, b"last")
    assert await client.close_frame() == (1001, "shutdown")
    client.send(text("thrown away too"), frame(PING), close(1001))
    assert await client.rest() == b""
    assert await closed(server) == (1001, "shutdown")
    assert server.handlers[0].texts() == [b"go"]
    assert ("writable", False) in server.handlers[0].told


async def test_a_close_frame_that_crosses_ours_ends_it(server: Server) -> None:
    client = await server.client()
    client.send(text("one"))
    await eventually(server.handlers[0].texts)
    connection = server.handlers[0].connection
    assert connection is not None
    client.send(close(4001, "theirs"))
    connection.close(4002, "ours")
    assert await client.close_frame() == (4002, "ours")
    assert await client.rest() == b""
    assert await closed(server) == (4002, "ours")


async def test_what_was_queued_goes_out_before_the_close_frame(server: Server) -> None:
    server.limits = PATIENT
    client = await server.client()
    connection = server.handlers[0].connection
    assert connection is not None
    connection.send_binary(bytes(700_000))
    connection.send_text(b"queued")
    assert connection.fileno == -1
    connection.close(3000, "done")
    assert await client.next() == (BINARY, bytes(700_000))
    assert await client.next() == (TEXT, b"queued")
    assert await client.close_frame() == (3000, "done")
    client.send(close(3000))
    assert await client.rest() == b""
    assert await closed(server) == (3000, "done")


async def test_an_unanswered_close_is_cut_after_its_time(server: Server) -> None:
    server.reply = server_closes(4000, "bye")
    client = await server.client()
    began = asyncio.get_running_loop().time()
    client.send(text("go"))
    assert await closed(server) == (4000, "bye")
    assert asyncio.get_running_loop().time() - began >= LIMITS.close_timeout


async def test_a_close_code_that_must_not_be_sent_is_an_error_and_closes_nothing(server: Server) -> None:
    await server.client()
    connection = server.handlers[0].connection
    assert connection is not None
    with pytest.raises(ValueError, match="1006"):
        connection.close(1006)
    with pytest.raises(ValueError, match="125"):
        connection.ping(bytes(126))
    assert connection.open


async def test_a_reset_is_1006(server: Server) -> None:
    client = await server.client()
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await client.hang_up()
    assert await closed(server) == (1006, "")


async def test_the_end_of_the_stream_without_a_close_frame_is_1006(server: Server) -> None:
    client = await server.client()
    client.send(text("half")[:-1])
    client.writer.write_eof()
    assert await client.rest() == b""
    assert await closed(server) == (1006, "")


async def test_a_half_closed_client_that_reads_nothing_is_cut(server: Server) -> None:
    client = await server.client()
    connection = server.handlers[0].connection
    assert connection is not None
    connection.send_binary(bytes(1_000_000))
    client.writer.write_eof()
    assert await closed(server) == (1006, "")


async def test_abort_ends_at_once(server: Server) -> None:
    client = await server.client()
    connection = server.handlers[0].connection
    assert connection is not None
    connection.abort()
    connection.abort()
    assert not connection.open
    assert connection.buffered == 0
    assert await client.rest() == b""
    assert await closed(server) == (1006, "")
    connection.send_text(b"nothing happens")
    connection.close(1000)
    connection.abort()


@pytest.mark.parametrize("where", ["opened", "text", "binary", "pong", "writable", "expired", "closed"])
async def test_a_handler_that_raises_costs_its_own_connection_only(
    server: Server, where: str, logged: list[str]
) -> None:
    bystander = await server.client()

    def reply(connection: WebSocketConnection, name: str, payload: Any) -> None:
        if name == "text" and payload == b"fill":
            connection.send_binary(bytes(1_000_000))
        if name == where:
            raise LookupError("handler bug")

    server.reply = reply
    client = await server.dial()
    await client.upgrade("/ws")
    connection = server.handlers[-1].connection
    assert connection is not None
    match where:
        case "text":
            client.send(text("x"), text("y"))
        case "binary":
            client.send(binary(b"x"))
        case "pong":
            client.send(frame(PONG))
        case "writable":
            client.send(text("fill"))
        case "expired":
            connection.deadline = 0.0
        case "closed":
            client.send(close(1000))
    expected = 1000 if where == "closed" else 1011
    assert (await client.close_frame())[0] == expected
    client.send(close(expected))
    assert await client.rest() == b""
    assert (await closed_one(server))[0] == expected
    assert sum("handler bug" in line and "Traceback" in line for line in logged) >= 1
    bystander.send(text("still here"))
    await eventually(lambda: server.handlers[0].texts() == [b"still here"])


async def closed_one(server: Server) -> tuple[int, str]:
    """How the last connection ended, others staying."""
    end = await eventually(lambda: server.handlers[-1].end)
    assert end is not None
    return end


async def test_raw_writes_and_sends_keep_their_order(server: Server) -> None:
    client = await server.client()
    connection = server.handlers[0].connection
    assert connection is not None
    block = encode_frame(BINARY, bytes(100_000))
    sent = 0
    while connection.fileno >= 0 and sent < 1000:
        try:
            written = os.write(connection.fileno, block)
        except BlockingIOError:
            written = 0
        sent += 1
        if written < len(block):
            connection.send_rest(block[written:])
    assert connection.fileno == -1
    connection.send_text(b"last")
    for _ in range(sent):
        assert await client.next() == (BINARY, bytes(100_000))
    assert await client.next() == (TEXT, b"last")
    await eventually(lambda: connection.fileno >= 0)
    assert [payload for name, payload in server.handlers[0].told if name == "writable"] == [False, True]


async def test_the_descriptor_is_the_connections_until_closed_returns(server: Server) -> None:
    seen: list[tuple[int, bool]] = []
    descriptors: list[int] = []

    def reply(connection: WebSocketConnection, name: str, payload: Any) -> None:
        if name == "opened":
            descriptors.append(connection.fileno)
        elif name == "closed":
            seen.append((connection.fileno, os.path.sameopenfile(descriptors[0], descriptors[0])))

    server.reply = reply
    client = await server.client()
    assert descriptors[0] >= 0
    client.send(close())
    await closed(server)
    assert seen == [(-1, True)]


async def test_a_deadline_of_the_handler_is_told(server: Server) -> None:
    client = await server.client()
    handler = server.handlers[0]
    assert handler.connection is not None
    handler.connection.deadline = asyncio.get_running_loop().time() + 0.05
    await eventually(lambda: any(name == "expired" for name, _ in handler.told))
    handler.connection.ping(b"are you there")
    assert await client.next() == (PING, b"are you there")
    client.send(frame(PONG, b"are you there"))
    await eventually(lambda: ("pong", b"are you there") in handler.told)


async def test_a_bomb_is_refused_with_1009(server: Server) -> None:
    server.deflate = True
    client = await server.dial()
    await client.upgrade("/ws", "Sec-WebSocket-Extensions: permessage-deflate")
    client.send(frame(BINARY, compress(bytes(50_000_000)), rsv1=True))
    assert (await client.close_frame())[0] == 1009
    await client.hang_up()
    assert (await closed(server))[0] == 1009


async def test_many_small_bombs_that_come_at_once_are_not_inflated_at_once(server: Server) -> None:
    server.deflate = True
    client = await server.dial()
    await client.upgrade("/ws", "Sec-WebSocket-Extensions: permessage-deflate")
    connection, sizes = server.handlers[0].connection, []
    assert connection is not None
    server.handlers[0].text = lambda payload: sizes.append(len(payload))  # type: ignore[method-assign]
    bomb = frame(TEXT, compress(b" " * 60_000), rsv1=True)
    tracemalloc.start()
    try:
        connection.data_received(bomb * 500)
        await eventually(lambda: len(sizes) == 500)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sizes == [60_000] * 500
    assert peak < 6_000_000


async def test_a_flood_of_pings_from_a_client_that_does_not_read_is_bounded(server: Server) -> None:
    server.limits = ConnectionLimits(max_message=1000, max_outbox=50_000, close_timeout=0.2)
    client = await server.client()
    connection = server.handlers[0].connection
    assert connection is not None
    flood = frame(PING, bytes(125)) * 500
    client.writer.transport.set_write_buffer_limits(high=1 << 20)
    peak = 0
    while not server.handlers[0].end:
        if not client.writer.transport.is_closing():
            client.send(flood)
        await asyncio.sleep(0)
        peak = max(peak, connection.buffered)
    assert server.handlers[0].end == (3008, "slow")
    assert peak < 200_000


async def test_an_empty_close_frame_is_answered_by_an_empty_one(server: Server) -> None:
    client = await server.client()
    client.send(frame(8))
    assert await client.close_frame() == (1005, "")
    assert await closed(server) == (1005, "")
    assert encode_close(1005) == b""
