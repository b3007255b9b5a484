"""What two nodes say to each other in the calls of transports/http.py, inside the seal: an array (msgpack).

    [word, envelopes, reason]

`wait`: the caller has proved itself and is not in the view yet. `carry`: envelopes, perhaps none. `bye`: the last
envelopes of a side that leaves. `end`: the exchange is over, for `reason`. Unknown elements at the end are ignored.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from wsplatform.wire.cluster import ENVELOPE_OVERHEAD, EnvelopeError

OVERHEAD: Final = 64
"""Bytes that a message needs beside its envelopes and `wire.cluster.ENVELOPE_OVERHEAD` for each, at most."""

_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding can raise; the latter two for a string that is not UTF-8, and for very deep nesting."""


class Said(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message. `reason`: a code."""

    word: Literal["wait", "carry", "bye", "end"]
    envelopes: list[bytes] = []
    reason: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{0,32}\Z")] = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Said)

encode = _encoder.encode
"""Said -> bytes."""


def decode(message: bytes) -> Said:
    """Raises EnvelopeError."""
    try:
        return _decoder.decode(message)
    except _UNDECODABLE as error:
        raise EnvelopeError from error


def size(envelope: bytes) -> int:
    """What this envelope takes in a message, at most."""
    return len(envelope) + ENVELOPE_OVERHEAD
