import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from wsplatform.errors import PERMISSION_DENIED, SERVER_UNSUBSCRIBED, TOO_MANY_REQUESTS, CommandError
from wsplatform.model import ClientInfo, Publication
from wsplatform.wire import centrifuge as wire
from wsplatform.wire.deflate import decompress
from wsplatform.wire.payload import one_line
from wsplatform.wire.rfc6455 import TEXT, FrameParser

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
METHODS = ("connect", "subscribe", "unsubscribe", "publish", "presence", "presence_stats", "history", "ping", "send")
METHODS += ("rpc", "refresh", "sub_refresh")


def test_commands_of_one_message_in_their_order() -> None:
    first, second, third = wire.decode(
        b'{"id":1,"connect":{"token":"t","name":"js","data":{"x":[1]},"subs":{}}}\n'
        b'{"id": 2, "subscribe": {"channel": "a", "recover": true, "flag": 1}}\n'
        b'{"id":3,"publish":{"channel":"a","data":{"n": 1.50}}}\n'
    )
    assert first.connect is not None
    assert (first.id, first.connect.token) == (1, "t")
    assert second.subscribe is not None
    assert (second.subscribe.channel, second.subscribe.token, second.subscribe.recover) == ("a", None, True)
    assert third.publish is not None
    assert third.publish.data is not UNSET
    assert bytes(third.publish.data) == b'{"n": 1.50}'


def test_pong_is_the_empty_command() -> None:
    assert wire.decode(b"{}")[0].pong
    assert wire.decode(b' {"id":0}\n')[0].pong
    assert not wire.decode(b'{"id":1}')[0].pong
    assert not wire.decode(b'{"send":{"data":1}}')[0].pong
    assert not wire.decode(b'{"subscribe":{"channel":"a"}}')[0].pong


def test_data_that_is_missing_is_told_from_null() -> None:
    missing, null = wire.decode(b'{"id":1,"publish":{"channel":"a"}}\n{"id":2,"publish":{"channel":"a","data":null}}')
    assert missing.publish is not None
    assert missing.publish.data is UNSET
    assert null.publish is not None
    assert bytes(null.publish.data) == b"null"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\n \n",
        b"nope",
        b"[]",
        b"5",
        b'"text"',
        b"{",
        b"{}x",
        b'{"id":-1}',
        b'{"id":4294967296}',
        b'{"id":"1"}',
        b'{"id":1.0}',
        b'{"id":true}',
        b'{"id":1,"connect":[]}',
        b'{"id":1,"connect":{"token":5}}',
        b'{"id":1,"subscribe":{"channel":null}}',
        b'{"id":1,"subscribe":{"channel":"\xff"}}',
        b'{"id":1,"publish":{"channel":"a","data":"a\nb"}}',
        b'{"id":1,"publish":{"channel":"a","data":{"a":01}}}',
        b'{"id":1,"publish":{"channel":"a","data":NaN}}',
        b'{"id":1,"publish":{"channel":"a","data":' + b"[" * 100_000 + b"}}",
        b'{"id":1,"rpc":' + b'{"a":' * 100_000,
        b'{"id":1,"connect":{}}\n{"id":2,"subscribe":5}',
    ],
)
def test_what_is_not_this_protocol(message: bytes) -> None:
    with pytest.raises(wire.MalformedFrame) as caught:
        wire.decode(message)
    assert caught.value.code == "bad_request"


@given(st.binary() | st.text().map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_commands_or_malformed(message: bytes) -> None:
    with contextlib.suppress(wire.MalformedFrame):
        assert wire.decode(message)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": st.integers(-1, 2**32)},
            optional={
                method: JSON
                | st.fixed_dictionaries({}, optional={"channel": st.text(), "data": JSON, "token": st.text()})
                for method in METHODS
            },
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_objects_are_commands_or_malformed(commands: list[dict[str, Any]]) -> None:
    try:
        decoded = wire.decode("\n".join(map(json.dumps, commands)).encode())
    except wire.MalformedFrame:
        return
    assert [command.id for command in decoded] == [command["id"] for command in commands]


@given(channel=st.text(), token=st.text(), data=JSON, indent=st.none() | st.integers(0, 3))
def test_commands_come_through_whole(channel: str, token: str, data: Any, indent: int | None) -> None:
    sent = [
        {"id": 1, "subscribe": {"channel": channel, "token": token}},
        {"id": 2, "publish": {"channel": channel, "data": data}},
    ]
    first, second = wire.decode("\n".join(json.dumps(one, indent=indent) for one in sent).encode())
    assert first.subscribe is not None
    assert (first.subscribe.channel, first.subscribe.token) == (channel, token)
    assert second.publish is not None
    assert second.publish.channel == channel
    assert json.loads(bytes(second.publish.data)) == data  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (wire.published(7), {"id": 7, "publish": {}}),
        (wire.done(7, "unsubscribe"), {"id": 7, "unsubscribe": {}}),
        (wire.subscribed(7), {"id": 7, "subscribe": {}}),
        (wire.subscribed(7, 30), {"id": 7, "subscribe": {"expires": True, "ttl": 30}}),
        (wire.subscribed(7, recovering=True), {"id": 7, "subscribe": {"was_recovering": True}}),
        (
            wire.failed(7, CommandError(PERMISSION_DENIED)),
            {"id": 7, "error": {"code": 103, "message": "permission denied"}},
        ),
        (
            wire.failed(7, CommandError(TOO_MANY_REQUESTS, "slow\n down")),
            {"id": 7, "error": {"code": 111, "message": "slow\n down", "temporary": True}},
        ),
        (
            wire.connected(1, "c", "0.1", 25, None),
            {"id": 1, "connect": {"client": "c", "version": "0.1", "ping": 25, "pong": True}},
        ),
        (
            wire.connected(1, "c", "0.1", 25, 60),
            {
                "id": 1,
                "connect": {"client": "c", "version": "0.1", "ping": 25, "pong": True, "expires": True, "ttl": 60},
            },
        ),
        (
            wire.refreshed(2, "c", "0.1", 9),
            {"id": 2, "refresh": {"client": "c", "version": "0.1", "expires": True, "ttl": 9}},
        ),
        (wire.sub_refreshed(2, None), {"id": 2, "sub_refresh": {}}),
        (wire.push_subscribed("é\n"), {"push": {"channel": "é\n", "subscribe": {}}}),
        (
            wire.push_unsubscribed("c", SERVER_UNSUBSCRIBED),
            {"push": {"channel": "c", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}},
        ),
    ],
)
def test_lines_to_the_client(line: bytes, message: dict[str, Any]) -> None:
    assert len(line.splitlines()) == 1
    assert json.loads(line) == message


@pytest.mark.parametrize("ttl", [-5, 0, 1, 10**12])
def test_a_ttl_is_always_there_and_fits_a_timer(ttl: int) -> None:
    assert 1 <= json.loads(wire.subscribed(1, ttl))["subscribe"]["ttl"] <= 365 * 24 * 3600


def received(frame: bytes) -> bytes:
    """What a client makes of it."""
    parser = FrameParser(masked=False, max_message=1 << 24, inflate=decompress)
    ((opcode, payload),) = parser.feed(frame)
    assert opcode == TEXT
    assert parser.failure is None
    return payload


@given(
    channel=st.text(),
    data=JSON,
    indent=st.none() | st.integers(0, 3),
    info=st.none() | st.tuples(st.text(), JSON),
    tags=st.none() | st.dictionaries(st.text(), st.text(), min_size=1),
    deflate=st.booleans(),
)
def test_a_publication_is_one_line_of_one_frame(
    channel: str, data: Any, indent: int | None, info: Any, tags: dict[str, str] | None, deflate: bool
) -> None:
    raw = Raw(one_line(json.dumps(data, indent=indent).encode()))
    who = ClientInfo(info[0], "id", Raw(json.dumps(info[1]).encode())) if info else None
    line = received(wire.CentrifugeFormat(deflate=deflate).publication(channel, Publication(raw, who, tags)))
    assert b"\n" not in line
    assert b"\r" not in line
    pub: dict[str, Any] = {"data": data}
    if info:
        pub["info"] = {"user": info[0], "client": "id", "conn_info": info[1]}
    if tags:
        pub["tags"] = tags
    assert json.loads(line) == {"push": {"channel": channel, "pub": pub}}


def test_a_compressed_frame_is_smaller() -> None:
    publication = Publication(Raw(json.dumps("x" * 5000).encode()))
    plain = wire.CentrifugeFormat().publication("c", publication)
    compressed = wire.CentrifugeFormat(deflate=True).publication("c", publication)
    assert len(compressed) < len(plain) / 10
    assert received(compressed) == received(plain)
