"""Sealed messages of a carrier that may lose some, and takes none above a size: parcels, cut into pieces.

A parcel is any bytes; it arrives whole or not at all. Every message tells the receiver how far the sender has heard it,
so that each side knows how much is still under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from wsplatform.errors import PlatformError

PIECE_OVERHEAD: Final = 40
"""Bytes that a piece needs beside its content, at most."""

_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class Piece(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """`heard`: the counter of the last message that came from the receiver. `parcel` and `index` count from 1 and 0."""

    heard: int
    parcel: int
    index: int
    last: bool
    content: bytes


class Beat(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """Nothing but a sign of life."""

    heard: int


class Bye(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """The sender's last word."""

    code: str


Message = Piece | Beat | Bye

_encoder = msgspec.msgpack.Encoder()
_messages: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)

encode = _encoder.encode
"""Message -> bytes."""


class ParcelError(PlatformError):
    """Bytes that are no message of this protocol version."""

    def __init__(self) -> None:
        super().__init__(
            "malformed_parcel", "A peer sent something that is no parcel: run the same release on all nodes."
        )


def decode(message: bytes) -> Message:
    """Raises ParcelError."""
    try:
        return _messages.decode(message)
    except _UNDECODABLE as error:
        raise ParcelError from error


def cut(parcel: bytes, limit: int) -> Iterator[tuple[int, bool, bytes]]:
    """The index, whether it is the last, and the content of each piece: at most `limit` bytes of content."""
    if len(parcel) <= limit:
        yield 0, True, parcel
        return
    for index, start in enumerate(range(0, len(parcel), limit)):
        yield index, start + limit >= len(parcel), parcel[start : start + limit]


class Assembler:
    """Puts pieces that come in order, with some missing perhaps, together again; parcels of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._contents: list[bytes] = []
        self._size = 0
        self._parcel = 0

    def add(self, piece: Piece) -> bytes | None:
        """The parcel that this piece completes. A parcel with a piece missing, or one that is too large, is dropped."""
        if piece.index == 0:
            self._begin(piece.parcel)
        elif piece.parcel != self._parcel or piece.index != len(self._contents):
            self._begin(0)
            return None
        self._size += len(piece.content)
        if self._size > self._limit:
            self._begin(0)
            return None
        self._contents.append(piece.content)
        if not piece.last:
            return None
        whole = self._contents[0] if len(self._contents) == 1 else b"".join(self._contents)
        self._begin(0)
        return whole

    def _begin(self, parcel: int) -> None:
        self._contents = []
        self._size = 0
        self._parcel = parcel
