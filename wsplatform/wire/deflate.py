"""permessage-deflate (RFC 7692), always without context takeover in both directions.

Each message is compressed by itself, so one compressed frame serves every subscriber, and no window is kept per
connection. The price is a lower ratio; the window would cost tens of kilobytes for each connection.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping

from wsplatform.wire.rfc6455 import PROTOCOL_ERROR, TOO_BIG, ProtocolFailure, encode_frame

MIN_SIZE = 256
"""Bytes; below, what compression saves is not worth its CPU."""

_NAME = "permessage-deflate"
_TAIL = b"\x00\x00\xff\xff"  # ends each flushed block; not sent (7.2.1)
_EMPTY_BLOCK = b"\x00" + _TAIL  # what is left of a message that closed its stream with a final block (7.2.3.4)
_RAW = -zlib.MAX_WBITS
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf"({_WORD})(?:\s*=\s*(?:({_WORD})|\"({_WORD})\"))?")
_BITS = re.compile(r"8|9|1[0-5]")


def negotiate(offers: str) -> str | None:
    """The answer to a client's Sec-WebSocket-Extensions, or None when nothing in it can be taken.

    An offer that limits our window is declined: a frame compressed for one connection must do for all.
    """
    for offer in offers.split(","):
        parameters = _parameters(offer)
        if parameters is not None and _acceptable(parameters):
            window = "; server_max_window_bits=15" if "server_max_window_bits" in parameters else ""
            return f"{_NAME}; server_no_context_takeover; client_no_context_takeover{window}"
    return None


def compress(payload: bytes) -> bytes:
    """One message, compressed by itself."""
    compressor = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, _RAW)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)]


def decompress(payload: bytes, max_size: int) -> bytes:
    """One message. Never makes more than `max_size` + 1 bytes of it, however little arrived.

    Raises:
        ProtocolFailure: the message is larger than that, or not DEFLATE.
    """
    inflater = zlib.decompressobj(_RAW)
    try:
        message = inflater.decompress(payload + _TAIL, max_size + 1)
    except zlib.error:
        raise ProtocolFailure(PROTOCOL_ERROR, "message cannot be inflated") from None
    if len(message) > max_size:
        raise ProtocolFailure(TOO_BIG, f"message over {max_size} bytes")
    # More than one final block is refused: each would cost a new window, and a message can hold very many.
    if inflater.eof and inflater.unused_data not in (_TAIL, _EMPTY_BLOCK):
        raise ProtocolFailure(PROTOCOL_ERROR, "message goes on after its final block")
    return message


def encode_message(opcode: int, payload: bytes, *, mask: bytes | None = None) -> bytes:
    """One frame for a connection that negotiated compression; compressed when that is worth while."""
    if len(payload) < MIN_SIZE:
        return encode_frame(opcode, payload, mask=mask)
    return encode_frame(opcode, compress(payload), mask=mask, rsv1=True)


def _parameters(offer: str) -> dict[str, str | None] | None:
    """The parameters of an offer of this extension; None when it is another one or malformed."""
    name, *rest = (part.strip() for part in offer.split(";"))
    if name != _NAME:
        return None
    parameters: dict[str, str | None] = {}
    for part in rest:
        match = _PARAMETER.fullmatch(part)
        if match is None or match[1] in parameters:
            return None
        parameters[match[1]] = match[2] or match[3]
    return parameters


def _acceptable(parameters: Mapping[str, str | None]) -> bool:
    return all(_known(name, value) for name, value in parameters.items())


def _known(name: str, value: str | None) -> bool:
    match name:
        case "server_no_context_takeover" | "client_no_context_takeover":
            return value is None
        case "client_max_window_bits":
            return value is None or _BITS.fullmatch(value) is not None
        case "server_max_window_bits":
            return value == "15"
        case _:
            return False
