"""A parcel arrives whole or not at all, whatever is lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.wire.parcels import PIECE_OVERHEAD, Assembler, Beat, Bye, ParcelError, Piece, cut, decode, encode

PARCELS = st.lists(st.binary(max_size=60), max_size=8)


def pieces(parcels: list[bytes], limit: int) -> list[Piece]:
    return [
        Piece(0, number, index, last, content)
        for number, parcel in enumerate(parcels, 1)
        for index, last, content in cut(parcel, limit)
    ]


@given(PARCELS, st.integers(1, 70))
def test_what_was_cut_is_put_together_again(parcels, limit):
    assembler = Assembler(60)
    arrived = [assembler.add(piece) for piece in pieces(parcels, limit)]
    assert [parcel for parcel in arrived if parcel is not None] == parcels


@given(PARCELS, st.integers(1, 20), st.data())
def test_with_pieces_missing_the_others_arrive_whole_and_in_order(parcels, limit, data):
    sent = pieces(parcels, limit)
    kept = data.draw(st.lists(st.booleans(), min_size=len(sent), max_size=len(sent)))
    assembler = Assembler(60)
    arrived = [assembler.add(piece) for piece, keep in zip(sent, kept, strict=True) if keep]
    hurt = {piece.parcel for piece, keep in zip(sent, kept, strict=True) if not keep}
    whole = [parcel for number, parcel in enumerate(parcels, 1) if number not in hurt]
    assert [parcel for parcel in arrived if parcel is not None] == whole


def test_a_parcel_above_the_limit_is_dropped_and_the_next_is_not():
    assembler = Assembler(10)
    arrived = [assembler.add(piece) for piece in pieces([bytes(11), bytes(10)], 4)]
    assert [parcel for parcel in arrived if parcel is not None] == [bytes(10)]


@given(st.binary(max_size=200))
def test_anything_else_is_refused(garbage):
    try:
        message = decode(garbage)
    except ParcelError:
        return
    assert isinstance(message, Piece | Beat | Bye)


@pytest.mark.parametrize("message", [Piece(2**64 - 1, 2**64 - 1, 2**32, True, b"x" * 70_000), Beat(0), Bye("gone")])
def test_formats(message):
    encoded = encode(message)
    assert decode(encoded) == message
    if isinstance(message, Piece):
        assert len(encoded) - len(message.content) <= PIECE_OVERHEAD
