"""The websocket wire format: what a receiver must refuse, and that cutting the stream anywhere changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsplatform.wire.deflate import compress, decompress
from wsplatform.wire.rfc6455 import (
    BINARY,
    CLOSE,
    CONTINUATION,
    NO_CODE,
    NO_KEY,
    PING,
    PONG,
    TEXT,
    Close,
    Event,
    FrameParser,
    Inflate,
    ProtocolFailure,
    accept_key,
    apply_mask,
    decode_close,
    encode_close,
    encode_frame,
)

KEY = b"\x12\x9a\x00\xff"
MAX = 70_000


def parse(data: bytes, *, max_message: int = MAX, inflate: Inflate | None = None) -> tuple[list[Event], int]:
    """Events of a server's parser, and the close code it fails with (0: none)."""
    parser = FrameParser(masked=True, max_message=max_message, inflate=inflate)
    events = parser.feed(data)
    return events, parser.failure.code if parser.failure else 0


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False) -> bytes:
    return encode_frame(opcode, payload, mask=KEY, fin=fin, rsv1=rsv1)


def declared(head: int, size: int) -> bytes:
    """The beginning of a masked frame whose payload does not come."""
    if size < 126:
        return bytes((head, 0x80 | size)) + KEY
    if size < 1 << 16:
        return bytes((head, 0x80 | 126)) + size.to_bytes(2, "big") + KEY
    return bytes((head, 0x80 | 127)) + size.to_bytes(8, "big") + KEY


messages = st.one_of(
    st.tuples(st.just(TEXT), st.text(max_size=300).map(str.encode)),
    st.tuples(st.just(BINARY), st.binary(max_size=300)),
    st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)),
    st.tuples(st.just(TEXT), st.integers(100, 66_000).map(lambda size: b"x" * size)),
)


@st.composite
def fragmented(draw: st.DrawFn) -> tuple[list[Event], bytes]:
    """What a peer may send: whole and fragmented messages, control frames between the fragments."""
    events: list[Event] = []
    wire = b""
    for opcode, payload in draw(st.lists(messages, max_size=6)):
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3))) if opcode in (TEXT, BINARY) else []
        parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for index, part in enumerate(parts):
            wire += frame(opcode if index == 0 else CONTINUATION, part, fin=index == len(parts) - 1)
            if index < len(parts) - 1 and draw(st.booleans()):
                wire += frame(PING, b"between")
                events.append((PING, b"between"))
        events.append((opcode, payload))
    return events, wire


@given(fragmented(), st.lists(st.integers(1, 4000), max_size=40), st.booleans())
def test_cutting_the_stream_anywhere_gives_the_same_events(
    sent: tuple[list[Event], bytes], sizes: list[int], closes: bool
) -> None:
    events, wire = sent
    if closes:
        wire += frame(CLOSE, encode_close(1001, "bye"))
        events = [*events, (CLOSE, encode_close(1001, "bye"))]
    parser = FrameParser(masked=True, max_message=MAX)
    received: list[Event] = []
    position = 0
    for size in [*sizes, len(wire)]:
        received += parser.feed(wire[position : position + size])
        position += size
    assert received == events
    assert parser.failure is None
    assert parser.idle is not closes


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=20), st.booleans())
def test_arbitrary_bytes_give_events_or_one_failure(data: bytes, sizes: list[int], masked: bool) -> None:
    whole = FrameParser(masked=masked, max_message=1000, inflate=decompress)
    events = whole.feed(data)
    pieces = FrameParser(masked=masked, max_message=1000, inflate=decompress)
    position = 0
    received: list[Event] = []
    for size in [*sizes, len(data)]:
        received += pieces.feed(data[position : position + size])
        position += size
    assert received == events
    assert pieces.failure == whole.failure
    for opcode, payload in events:
        assert opcode in (TEXT, BINARY, CLOSE, PING, PONG)
        if opcode == TEXT:
            payload.decode()
    if whole.failure:
        encode_close(*whole.failure)
        assert whole.feed(frame(TEXT, b"later")) == []


@given(st.sampled_from([TEXT, BINARY]), st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
def test_what_a_client_encodes_a_server_parses(opcode: int, payload: bytes, mask: bytes) -> None:
    parser = FrameParser(masked=True, max_message=MAX)
    events = parser.feed(encode_frame(opcode, payload, mask=mask))
    try:
        payload.decode()
        assert events == [(opcode, payload)]
    except UnicodeDecodeError:
        assert events == ([] if opcode == TEXT else [(opcode, payload)])


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 511, 512, 65_535, 65_536])
def test_every_length_of_length(size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    assert parse(frame(BINARY, payload)) == ([(BINARY, payload)], 0)
    client = FrameParser(masked=False, max_message=MAX)
    assert client.feed(encode_frame(BINARY, payload)) == [(BINARY, payload)]


@given(st.binary(max_size=1500), st.binary(min_size=4, max_size=4))
@example(b"any", NO_KEY)
def test_masking_twice_is_nothing(payload: bytes, key: bytes) -> None:
    masked = apply_mask(payload, key)
    assert masked == bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
    assert apply_mask(masked, key) == payload


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(bytes((0x81 | 0x40, 0x80)) + KEY, id="rsv1 without compression"),
        pytest.param(bytes((0x81 | 0x20, 0x80)) + KEY, id="rsv2"),
        pytest.param(bytes((0x81 | 0x10, 0x80)) + KEY, id="rsv3"),
        pytest.param(bytes((0x83, 0x80)) + KEY, id="reserved data opcode"),
        pytest.param(bytes((0x8B, 0x80)) + KEY, id="reserved control opcode"),
        pytest.param(encode_frame(TEXT, b"x"), id="not masked"),
        pytest.param(frame(PING, fin=False), id="fragmented ping"),
        pytest.param(declared(0x89, 126), id="long ping"),
        pytest.param(frame(CONTINUATION), id="continuation of nothing"),
        pytest.param(frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), id="message inside a message"),
        pytest.param(frame(CLOSE, b"\x03"), id="close of one byte"),
        pytest.param(frame(CLOSE, b"\x03\xed"), id="close with 1005"),
        pytest.param(frame(CLOSE, b"\x00\x00"), id="close with 0"),
        pytest.param(bytes((0x82, 0xFF)) + b"\x80" + bytes(7) + KEY, id="top bit of the length"),
    ],
)
def test_a_broken_protocol_is_1002(wire: bytes) -> None:
    before = frame(TEXT, b"before")
    assert parse(before + wire + frame(TEXT, b"after"))[1] == 1002
    assert parse(before + wire)[0][0] == (TEXT, b"before")


def test_a_masked_frame_from_a_server_is_1002() -> None:
    parser = FrameParser(masked=False, max_message=MAX)
    assert parser.feed(frame(TEXT, b"x")) == []
    assert parser.failure is not None
    assert parser.failure.code == 1002


@pytest.mark.parametrize(
    "wire",
    [
        frame(TEXT, b"\xff"),
        frame(TEXT, b"x" * 200 + b"\xc3"),
        frame(TEXT, b"ok", fin=False) + frame(CONTINUATION, b"\xed\xa0\x80"),
        frame(TEXT, b"\xf4\x90", fin=False),
        frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b""),
        frame(CLOSE, b"\x03\xe8\xff"),
    ],
)
def test_text_that_is_not_utf8_is_1007(wire: bytes) -> None:
    assert parse(wire) == ([], 1007)


def test_a_character_may_be_cut_by_fragments() -> None:
    euro = "€".encode()
    wire = frame(TEXT, euro[:1], fin=False) + frame(CONTINUATION, euro[1:2], fin=False) + frame(CONTINUATION, euro[2:])
    assert parse(wire) == ([(TEXT, euro)], 0)


def test_too_much_is_refused_by_what_is_declared() -> None:
    assert parse(declared(0x82, 1001), max_message=1000) == ([], 1009)
    assert parse(declared(0x82, 1 << 40), max_message=1000) == ([], 1009)
    assert parse(declared(0x82, 101), max_message=100) == ([], 1009)
    assert parse(frame(BINARY, bytes(600), fin=False) + declared(0x80, 401), max_message=1000) == ([], 1009)
    assert parse(frame(BINARY, bytes(600), fin=False) + frame(CONTINUATION, bytes(400)), max_message=1000)[1] == 0
    assert parse(frame(TEXT, b"x" * 100), max_message=100) == ([(TEXT, b"x" * 100)], 0)


def test_nothing_after_a_close_frame_counts() -> None:
    events, failure = parse(frame(CLOSE, encode_close(1000)) + frame(TEXT, b"late") + b"\xff\xff")
    assert events == [(CLOSE, encode_close(1000))]
    assert not failure


def test_compressed_messages() -> None:
    text = b"to and fro and " * 100
    packed = compress(text)
    assert parse(frame(TEXT, packed, rsv1=True), inflate=decompress) == ([(TEXT, text)], 0)
    cut = frame(TEXT, packed[:7], rsv1=True, fin=False) + frame(PING) + frame(CONTINUATION, packed[7:])
    assert parse(cut, inflate=decompress) == ([(PING, b""), (TEXT, text)], 0)
    assert parse(frame(TEXT, b"plain"), inflate=decompress) == ([(TEXT, b"plain")], 0)
    again = frame(TEXT, packed[:7], rsv1=True, fin=False) + frame(CONTINUATION, packed[7:], rsv1=True)
    assert parse(again, inflate=decompress)[1] == 1002
    assert parse(frame(PING, b"", rsv1=True), inflate=decompress)[1] == 1002
    assert parse(frame(TEXT, compress(b"\xff" * 10), rsv1=True), inflate=decompress) == ([], 1007)
    assert parse(frame(TEXT, packed, rsv1=True), max_message=1000, inflate=decompress) == ([], 1009)


@given(st.integers(0, 70_000), st.text(max_size=60))
def test_close_payloads(code: int, reason: str) -> None:
    valid = 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    if valid:
        payload = encode_close(code, reason)
        assert len(payload) <= 125
        close = decode_close(payload)
        assert close.code == code
        assert reason.startswith(close.reason)
        assert len(reason.encode()) > 120 or close.reason == reason
    elif code != NO_CODE:
        with pytest.raises(ValueError, match="must not be sent"):
            encode_close(code, reason)
        if code < 1 << 16:
            with pytest.raises(ProtocolFailure):
                decode_close(code.to_bytes(2, "big"))


def test_a_close_frame_may_be_empty() -> None:
    assert encode_close(NO_CODE, "ignored") == b""
    assert decode_close(b"") == Close(NO_CODE, "")


def test_the_accept_key_of_the_specification() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
