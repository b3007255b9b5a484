"""The messages of nodes that talk over HTTP."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.handshake import SessionKeys
from wsplatform.transports.http_exchange import BATCH_BYTES, Seals
from wsplatform.wire.cluster import EnvelopeError
from wsplatform.wire.exchange import OVERHEAD, Said, decode, encode, size

said = st.builds(
    Said,
    word=st.sampled_from(["wait", "carry", "bye", "end"]),
    envelopes=st.lists(st.binary(max_size=300), max_size=40),
    reason=st.from_regex(r"\A[a-z_]{0,32}\Z"),
)


@given(said)
def test_what_is_said_is_understood_and_is_no_larger_than_reckoned(message: Said) -> None:
    encoded = encode(message)
    assert decode(encoded) == message
    assert len(encoded) <= OVERHEAD + sum(size(envelope) for envelope in message.envelopes)


@given(said, st.binary(min_size=1, max_size=5), st.integers(0, 60))
def test_what_was_changed_is_a_message_or_an_error_and_nothing_else(message: Said, noise: bytes, where: int) -> None:
    encoded = bytearray(encode(message))
    encoded[where : where + len(noise)] = noise
    for bad in (bytes(encoded), encode(message)[:where], noise):
        with suppress(EnvelopeError):
            assert isinstance(decode(bad), Said)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xc1",
        b"\x90",
        b"\x91\xa4shout"[:6],
        b"\x93\xa5carry\x91\x01\xa0",
        b"\x93\xa3end\x90\xa1\xff",
        b"\x91" * 9000,
    ],
)
def test_what_is_no_message_is_an_error(bad: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode(bad)


def test_a_message_of_many_envelopes_is_not_larger_than_those_that_are_made() -> None:
    one, other = bytes(32), bytes([1]) * 32
    here, there = Seals(SessionKeys(one, other)), Seals(SessionKeys(other, one))
    large = Said("carry", [bytes(2 * BATCH_BYTES)])
    assert there.open(b"push", here.seal(b"push", large)) == large
    with pytest.raises(EnvelopeError):
        there.open(b"push", here.seal(b"push", Said("carry", [b""] * BATCH_BYTES)))
