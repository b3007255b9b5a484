"""The websocket wire format (RFC 6455, chapters 4 to 7): frames in and out, close payloads, the accept key.

Pure: bytes in, events out. `FrameParser` reassembles messages and holds to every rule a receiver has to enforce; what
to answer, and when to hang up, is the owner's. Compression lives in deflate.py and is handed in as a function.
"""

from __future__ import annotations

from base64 import b64encode
from codecs import getincrementaldecoder
from collections.abc import Callable
from hashlib import sha1
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_CODE, ABNORMAL = 1000, 1001, 1002, 1005, 1006
INVALID_DATA, TOO_BIG, INTERNAL_ERROR = 1007, 1009, 1011

Event = tuple[int, bytes]
"""(opcode, payload). TEXT is UTF-8 and, like BINARY, a whole message; CLOSE has a valid payload and comes last."""

Inflate = Callable[[bytes, int], bytes]
"""(compressed message, largest result in bytes) -> message. Raises ProtocolFailure."""

MAX_CONTROL = 125
_FIN, _RSV1, _RSV23, _MASKED = 0x80, 0x40, 0x30, 0x80
_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
NO_KEY = bytes(4)
"""A mask that changes nothing, and costs nothing on either side.

5.3 wants masks that cannot be guessed, for the sake of intermediaries: no script may choose the bytes on the wire and
make them look like a request (10.3). It is for payloads of which nobody can choose how they look: encrypted ones.
"""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_XOR = tuple(bytes(byte ^ key for byte in range(256)) for key in range(256))
_LONG = 512  # bytes; from here on, table lookups unmask faster than one big integer does

_int = int.from_bytes
_Utf8 = getincrementaldecoder("utf-8")


class Close(NamedTuple):
    """Why a connection ends, as a close frame says it."""

    code: int
    reason: str


class ProtocolFailure(Exception):
    """The peer broke the protocol; `code` is the close code to answer with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class FrameParser:
    """Turns what arrives on one connection into events, however it is cut.

    masked: what the peer must do: True on a server, False on a client.
    max_message: bytes; holds for a whole message, after reassembly and inflation.
    inflate: None when permessage-deflate was not negotiated.

    At most one message of `max_message` bytes and one frame that is not whole yet are held. Nothing is raised: when the
    peer breaks the protocol, `failure` says how, the events before it are still returned, and later input is ignored.
    """

    __slots__ = ("_buffer", "_ended", "_inflate", "_masked", "_max", "_message", "_need", "failure")

    def __init__(self, *, masked: bool, max_message: int, inflate: Inflate | None = None) -> None:
        self.failure: Close | None = None
        self._masked = masked
        self._max = max_message
        self._inflate = inflate
        self._buffer: bytearray | None = None
        self._need = 0  # bytes that must be in the buffer before another look at it is worth while
        self._message: _Fragments | None = None
        self._ended = False

    @property
    def idle(self) -> bool:
        """Nothing is held: a new parser would go on as well as this one."""
        return self._buffer is None and self._message is None and not self._ended

    def feed(self, data: bytes) -> list[Event]:
        """Take what arrived next, return what it completes."""
        events: list[Event] = []
        if self._ended:
            return events
        buffer = self._buffer
        if buffer is not None:
            buffer += data
            if len(buffer) < self._need:
                return events
            data = bytes(buffer)
            self._buffer = None
        try:
            position = self._frames(data, events)
        except ProtocolFailure as failure:
            self.failure = Close(failure.code, failure.reason)
            self._end()
        else:
            if position < len(data) and not self._ended:
                self._buffer = bytearray(data[position:])
        return events

    def _frames(self, data: bytes, events: list[Event]) -> int:
        """Take all whole frames from `data`; returns where the first that is not whole begins."""
        position = 0
        end = len(data)
        # The frame that nearly all are is taken right here: a short, whole, masked text message.
        limit = min(126, self._max + 1) if self._masked else 0
        self._need = 2
        while end - position >= 2 and not self._ended:
            size = data[position + 1] - 0x80
            stop = position + 6 + size
            if 0 <= size < limit and data[position] == 0x81 and stop <= end and self._message is None:
                key = data[position + 2 : position + 6] * 32
                payload = (_int(data[position + 6 : stop], "big") ^ _int(key[:size], "big")).to_bytes(size, "big")
                if not payload.isascii():
                    _check_utf8(payload)
                events.append((TEXT, payload))
            else:
                stop = self._frame(data, position, events)
                if stop < 0:
                    break
            position = stop
        return position

    def _frame(self, data: bytes, position: int, events: list[Event]) -> int:
        """Take the frame at `position`; returns where the next one begins, -1 if it is not whole (see `_need`)."""
        head, size = data[position], data[position + 1] & 0x7F
        self._check_head(head, data[position + 1], size)
        start = position + 2
        if size >= 126:
            start += 2 if size == 126 else 8
            if len(data) < start:
                self._need = start - position
                return -1
            size = _int(data[position + 2 : start], "big")
            if size >> 63:
                raise ProtocolFailure(PROTOCOL_ERROR, "length with its top bit set")
        if head & 0x0F < CLOSE:
            self._check_size(head, size)
        key = b""
        if self._masked:
            key = data[start : start + 4]
            start += 4
        stop = start + size
        if len(data) < stop:
            self._need = stop - position
            return -1
        payload = apply_mask(data[start:stop], key) if key else data[start:stop]
        if head & 0x0F >= CLOSE:
            self._control(head & 0x0F, payload, events)
        else:
            self._data(head, payload, events)
        return stop

    def _check_head(self, head: int, second: int, size: int) -> None:
        opcode = head & 0x0F
        if head & _RSV23 or (head & _RSV1 and (self._inflate is None or opcode not in (TEXT, BINARY))):
            raise ProtocolFailure(PROTOCOL_ERROR, "reserved bit set")
        if opcode not in _OPCODES:
            raise ProtocolFailure(PROTOCOL_ERROR, "reserved opcode")
        if bool(second & _MASKED) is not self._masked:
            raise ProtocolFailure(PROTOCOL_ERROR, "frame not masked" if self._masked else "frame masked")
        if opcode >= CLOSE:
            if not head & _FIN or size > MAX_CONTROL:
                raise ProtocolFailure(PROTOCOL_ERROR, "control frame fragmented or too long")
        elif (self._message is None) is (opcode == CONTINUATION):
            wrong = "continuation of nothing" if self._message is None else "message inside a message"
            raise ProtocolFailure(PROTOCOL_ERROR, wrong)

    def _check_size(self, head: int, size: int) -> None:
        """By the declared length: what is too big is refused before it arrives."""
        message = self._message
        limit = self._max
        if head & _RSV1 or (message is not None and message.deflated):
            limit += (
                limit >> 10
            ) + 64  # what cannot be compressed grows a little; the exact check comes after inflation
        if message is not None:
            size += len(message.payload)
        if size > limit:
            raise ProtocolFailure(TOO_BIG, f"message over {self._max} bytes")

    def _control(self, opcode: int, payload: bytes, events: list[Event]) -> None:
        if opcode == CLOSE:
            decode_close(payload)
            self._end()
        events.append((opcode, payload))

    def _data(self, head: int, payload: bytes, events: list[Event]) -> None:
        opcode, deflated, last = head & 0x0F, bool(head & _RSV1), bool(head & _FIN)
        message = self._message
        if message is None and not last:
            message = self._message = _Fragments(opcode, deflated=deflated)
        if message is not None:
            message.add(payload, last=last)
            if not last:
                return
            opcode, deflated, payload = message.opcode, message.deflated, bytes(message.payload)
            self._message = None
        if deflated and self._inflate is not None:
            payload = self._inflate(payload, self._max)
        if opcode == TEXT and not payload.isascii():
            _check_utf8(payload)
        events.append((opcode, payload))

    def _end(self) -> None:
        self._ended = True
        self._buffer = None
        self._message = None


class _Fragments:
    """The fragmented message under way. One growing buffer, no list of parts: a flood of empty ones takes no memory."""

    __slots__ = ("_utf8", "deflated", "opcode", "payload")

    def __init__(self, opcode: int, *, deflated: bool) -> None:
        self.opcode = opcode
        self.deflated = deflated
        self.payload = bytearray()
        self._utf8 = _Utf8() if opcode == TEXT and not deflated else None

    def add(self, payload: bytes, *, last: bool) -> None:
        self.payload += payload
        if self._utf8 is not None and not last:  # the whole of it is checked at its end
            try:
                self._utf8.decode(payload)
            except UnicodeDecodeError:
                raise ProtocolFailure(INVALID_DATA, "text is not UTF-8") from None


def encode_frame(
    opcode: int, payload: bytes, *, mask: bytes | None = None, rsv1: bool = False, fin: bool = True
) -> bytes:
    """One frame. `mask`: None on a server; on a client four unpredictable bytes, or NO_KEY. `rsv1`: compressed."""
    head = opcode | (_FIN if fin else 0) | (_RSV1 if rsv1 else 0)
    masked = 0 if mask is None else _MASKED
    size = len(payload)
    if size <= 125:
        start = bytes((head, masked | size))
    elif size <= 0xFFFF:
        start = bytes((head, masked | 126)) + size.to_bytes(2, "big")
    else:
        start = bytes((head, masked | 127)) + size.to_bytes(8, "big")
    return start + payload if mask is None else start + mask + apply_mask(payload, mask)


def apply_mask(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask (it is the same operation, 5.3)."""
    if key == NO_KEY:
        return payload
    size = len(payload)
    if size < _LONG:
        return (_int(payload, "big") ^ _int((key * (size // 4 + 1))[:size], "big")).to_bytes(size, "big")
    result = bytearray(payload)
    for index, byte in enumerate(key):
        result[index::4] = result[index::4].translate(_XOR[byte])
    return bytes(result)


def encode_close(code: int, reason: str = "") -> bytes:
    """The payload of a close frame; a reason that is too long is cut between two characters. NO_CODE: an empty one.

    Raises:
        ValueError: this code must not be sent.
    """
    if code == NO_CODE:
        return b""
    if not _sendable(code):
        raise ValueError(f"close code {code} must not be sent")
    text = reason.encode("utf-8", "replace")[: MAX_CONTROL - 2]
    return code.to_bytes(2, "big") + text.decode("utf-8", "ignore").encode()


def decode_close(payload: bytes) -> Close:
    """What a close frame says; NO_CODE when it says nothing.

    Raises:
        ProtocolFailure: one byte only, a code that must not be sent, or a reason that is not UTF-8.
    """
    if not payload:
        return Close(NO_CODE, "")
    code = _int(payload[:2], "big")
    if len(payload) < 2 or not _sendable(code):
        raise ProtocolFailure(PROTOCOL_ERROR, "invalid close code")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise ProtocolFailure(INVALID_DATA, "close reason is not UTF-8") from None


def accept_key(key: str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (4.2.2)."""
    return b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def _sendable(code: int) -> bool:
    """7.4, and IANA's registry for 1012 to 1014. 1004 to 1006 and 1015 name what happened and are not for the wire."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise ProtocolFailure(INVALID_DATA, "text is not UTF-8") from None
