"""What the two ends of a link say to each other: frames (msgpack), each an envelope of the transport.

A frame is an array whose first element is its kind; unknown elements at its end are ignored. Numbers count the
envelopes of one lane in one epoch of the sender, from 1. What follows means them by lane: (control, publications).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Final

import msgspec

from wsplatform.wire.cluster import ENVELOPE_OVERHEAD, UNDECODABLE, EnvelopeError

FRAME_OVERHEAD: Final = 32 + ENVELOPE_OVERHEAD
"""Bytes that a Data frame with one envelope has more than that envelope, at most."""


class Lane(IntEnum):
    """What must not wait behind publications: interest, questions and answers; and the publications."""

    CONTROL = 0
    PUBLICATIONS = 1


LANES: Final = (Lane.CONTROL, Lane.PUBLICATIONS)

MAX_NUMBER: Final = 2**53
"""No link gets there. Without a bound, sums of what a peer says could be too large to be sent on, or reported."""

Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
Numbers = tuple[Number, Number]
"""One number for each lane."""


class Data(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Envelopes of one lane, numbered `first` and on."""

    epoch: Number
    lane: Lane
    first: Number
    envelopes: list[bytes]


class Skip(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """The sender has no number up to `upto` any more: what has not arrived of them never will."""

    epoch: Number
    lane: Lane
    upto: Number


class Ack(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """Everything up to `received` has arrived, except `missing` of them, which were skipped.

    epoch: of the side that is told this. again: the lanes, as bits, to be sent again from `received` + 1. echo: of a
    Ping.
    """

    epoch: Number
    received: Numbers
    missing: Numbers
    again: int = 0
    echo: Number = 0


class Ping(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """Answered at once by an Ack with the same `echo`. `sent`: what was sent last, so that a lost end is noticed."""

    epoch: Number
    echo: Number
    sent: Numbers


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """The first word of each side on a carrier.

    life and epoch: the sender's. to and knows: the same of the other side, as far as the sender knows them, else 0.
    received and missing: as in an Ack, of the epoch `knows`. ready: the sender knows as much of the other side; if it
    does not, this is answered. frame: bytes of the largest frame that it takes.
    """

    life: Number
    epoch: Number
    to: Number
    knows: Number
    received: Numbers
    missing: Numbers
    ready: bool
    frame: Number = MAX_NUMBER


class Bye(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """The sender stops, and wants nothing more."""

    life: Number


Frame = Data | Skip | Ack | Ping | Hello | Bye

_encoder = msgspec.msgpack.Encoder()
_frames: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)

encode = _encoder.encode
"""Frame -> bytes."""


def decode(frame: bytes) -> Frame:
    """Raises EnvelopeError."""
    try:
        return _frames.decode(frame)
    except UNDECODABLE as error:
        raise EnvelopeError from error


def size(envelopes: Sequence[bytes], content: int) -> int:
    """The most that a Data frame of these takes; `content`: their own bytes together."""
    return FRAME_OVERHEAD + content + ENVELOPE_OVERHEAD * len(envelopes)
