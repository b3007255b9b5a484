"""permessage-deflate: what is negotiated, and what inflating may cost."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.wire.deflate import MIN_SIZE, compress, decompress, encode_message, negotiate
from wsplatform.wire.rfc6455 import TEXT, ProtocolFailure, encode_frame

ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("permessage-deflate", ANSWER),
        ("permessage-deflate; client_max_window_bits", ANSWER),
        ('permessage-deflate; client_max_window_bits="10"', ANSWER),
        ("permessage-deflate;server_no_context_takeover ; client_no_context_takeover", ANSWER),
        ("permessage-deflate; server_max_window_bits=15", ANSWER + "; server_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=10", None),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", ANSWER),
        ("x-webkit-deflate-frame, permessage-deflate", ANSWER),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; client_max_window_bits=010", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; =", None),
        ("permessage-bzip2", None),
        ("", None),
        (",;,=", None),
    ],
)
def test_negotiation(offers: str, answer: str | None) -> None:
    assert negotiate(offers) == answer


@given(st.text(max_size=80))
def test_any_header_can_be_read(offers: str) -> None:
    assert negotiate(offers) in (None, ANSWER, ANSWER + "; server_max_window_bits=15")


@given(st.binary(max_size=3000))
def test_round_trip(payload: bytes) -> None:
    assert decompress(compress(payload), len(payload)) == payload


@given(st.binary(max_size=300))
def test_arbitrary_bytes_inflate_or_fail(payload: bytes) -> None:
    try:
        assert len(decompress(payload, 500)) <= 500
    except ProtocolFailure as failure:
        assert failure.code in (1002, 1009)  # noqa: PT017 - success is possible too


def test_a_bomb_costs_no_more_than_the_largest_message() -> None:
    bomb = compress(bytes(100_000_000))
    limit = 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolFailure) as failure:
            decompress(bomb, limit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert failure.value.code == 1009
    assert peak < 4 * limit


def test_a_message_may_end_in_a_final_block_but_have_only_one() -> None:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    final = compressor.compress(b"Hello") + compressor.flush(zlib.Z_FINISH)
    assert decompress(final + b"\x00", 100) == b"Hello"
    assert decompress(final, 100) == b"Hello"
    with pytest.raises(ProtocolFailure):
        decompress(final + final, 100)
    with pytest.raises(ProtocolFailure):
        decompress(b"\x03\x00" * 10_000, 100)


def test_only_what_is_worth_it_is_compressed() -> None:
    short, long = b"x" * (MIN_SIZE - 1), b"x" * MIN_SIZE
    assert encode_message(TEXT, short) == encode_frame(TEXT, short)
    assert encode_message(TEXT, long) == encode_frame(TEXT, compress(long), rsv1=True)
