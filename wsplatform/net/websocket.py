"""A websocket connection on an asyncio transport: no task, timer or future of its own, and no framework.

The connection parses, answers pings, keeps the order of what is sent, bounds what waits for a slow peer and walks
through the close handshake. What messages mean is its handler's. Frames and their rules are in wire/rfc6455.py.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Any, Protocol

from loguru import logger

from wsplatform.net.outbox import CHUNK, Outbox
from wsplatform.net.sweep import Sweep
from wsplatform.wire import rfc6455
from wsplatform.wire.deflate import decompress, encode_message
from wsplatform.wire.rfc6455 import Close, Event, FrameParser, encode_close, encode_frame

_INFLATED_AT_ONCE = 4096
"""Bytes of a compressed connection that are read in one go: some forty small frames."""

_AT_ONCE = 16_384
"""The same of one that is not: then there is a look at the clock."""

_TURN_SECONDS = 0.002
"""How long what one connection sends may keep the others waiting, about. uvloop reads up to 8 MB of one in one turn."""

_NEW, _OPEN, _CLOSING, _DONE, _FAILED, _LOST = range(6)
# _CLOSING: our close frame is the last thing we send; the peer's is awaited. _DONE: both were sent. _FAILED: the peer
# broke the protocol; what it still sends is thrown away.


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Shared by many connections.

    max_message: bytes of a whole message, after reassembly and inflation; more ends the connection with 1009.
    max_outbox: bytes that may wait for a peer that does not read; when it is exceeded, what is queued is dropped and
        the connection ends with `slow_close`. A single write may go over it: only what is added to a queue counts.
    close_timeout: seconds for the close handshake, then the connection is cut.
    """

    max_message: int
    max_outbox: int
    close_timeout: float
    slow_close: tuple[int, str] = (3008, "slow")


class Handler(Protocol):
    """What a connection tells its owner: synchronous, in order, `opened` first and `closed` last, once each.

    A handler that raises is logged, and its connection is closed with 1011. Everything sent during `opened`, `text`,
    `binary` and `pong` leaves in one write when they have all returned.
    """

    def opened(self, connection: WebSocketConnection) -> None: ...
    def text(self, payload: bytes) -> None:
        """A whole message; valid UTF-8."""
        ...

    def binary(self, payload: bytes) -> None: ...
    def pong(self, payload: bytes) -> None: ...
    def writable(self, ready: bool) -> None:
        """Whether the descriptor may be written to directly (see `WebSocketConnection.fileno`); at first it may.

        False: the kernel's buffer is full, and frames queue in the outbox; or the connection begins to close, and
        nothing is sent any more. It can come from inside a call of `send_*` or `close`. True: all buffers are empty.
        """
        ...

    def expired(self, now: float) -> None:
        """`connection.deadline` has passed. Set the next one here."""
        ...

    def closed(self, code: int, reason: str) -> None:
        """The end. The close frame that was first, ours or the peer's, gives code and reason; 1006 when there was none.

        The descriptor is still this connection's until this returns.
        """
        ...


class Traffic:
    """Bytes of many connections: read, and handed to the kernel or the event loop by the connections themselves."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0


@dataclass(frozen=True, slots=True)
class Side:
    """What all connections of one server, or of one dialler, share.

    client: the role; a client masks what it sends. roster: where each connection is entered as long as it lives.
    """

    sweep: Sweep
    client: bool = False
    roster: set[Any] | None = None
    traffic: Traffic = field(default_factory=Traffic)


class WebSocketConnection(asyncio.Protocol):
    """One connection in either role, from the end of the HTTP handshake on (`take_over`).

    deadline: the handler's own, a moment of `loop.time()`; `math.inf` for none. While the connection closes it is the
        connection's: leave it alone.
    remote: address of the other end as text; the handler's to change, where a proxy in front is trusted.
    deflate: permessage-deflate was negotiated; ready-made frames may be compressed ones.
    traffic: where its bytes are counted, its side's at first; set before `take_over`.
    """

    __slots__ = (
        "_cork",
        "_end",
        "_fd",
        "_handler",
        "_held",
        "_limits",
        "_outbox",
        "_parser",
        "_paused",
        "_side",
        "_state",
        "_transport",
        "deadline",
        "deflate",
        "remote",
        "traffic",
    )

    def __init__(
        self, handler: Handler, limits: ConnectionLimits, side: Side, *, deflate: bool = False, remote: str = ""
    ) -> None:
        self.deadline = math.inf
        self.remote = remote
        self.deflate = deflate
        self.traffic = side.traffic
        self._handler = handler
        self._limits = limits
        self._side = side
        self._transport: asyncio.Transport
        self._fd = -1
        self._state = _NEW
        self._paused = False
        self._parser: FrameParser | None = None  # only while a frame or message is incomplete
        self._cork: bytearray | None = None  # only while the handler is being told what arrived
        self._outbox: Outbox | None = None  # only while something waits
        self._held: bytes | None = None  # only while what has arrived waits for another turn of the loop
        self._end: Close | None = None

    @property
    def fileno(self) -> int:
        """The descriptor on which whole frames may be written with `os.write` right now; -1: none may (TLS, a full
        buffer, closing, closed).

        Never from inside a call to a handler: what the handler sent before is still held back then, and would be
        overtaken. `send_rest` must follow a short write at once.
        """
        return self._fd if self._state == _OPEN and not self._paused else -1

    @property
    def open(self) -> bool:
        """Messages can be sent: neither side has begun to close."""
        return self._state == _OPEN

    @property
    def buffered(self) -> int:
        """Bytes that wait for the peer on our side of the kernel."""
        if self._state in (_NEW, _LOST):
            return 0
        size: int = self._transport.get_write_buffer_size()
        return size + (self._outbox.size if self._outbox is not None else 0)

    def send_text(self, payload: bytes) -> None:
        """Send UTF-8 text as one message. Like all sending: never waits, and does nothing unless `open`."""
        self.send_frame(self._encode(rfc6455.TEXT, payload))

    def send_binary(self, payload: bytes) -> None:
        self.send_frame(self._encode(rfc6455.BINARY, payload))

    def send_frame(self, frame: bytes) -> None:
        """Send one or more ready-made frames (on a client: masked ones)."""
        if self._state == _OPEN:
            self._send(frame)

    def send_rest(self, rest: bytes) -> None:
        """Send what a raw write to `fileno` left over."""
        if self._state == _OPEN:
            self._write(rest)

    def ping(self, payload: bytes = b"") -> None:
        """Raises ValueError when the payload is over 125 bytes."""
        if len(payload) > rfc6455.MAX_CONTROL:
            raise ValueError("a ping carries at most 125 bytes")
        self.send_frame(encode_frame(rfc6455.PING, payload, mask=self._mask()))

    def set_limits(self, limits: ConnectionLimits) -> None:
        """Other limits, from the next message on: for a peer that has proved who it is."""
        self._limits = limits

    def close(self, code: int, reason: str = "") -> None:
        """Begin the close handshake: what was sent before still goes out, messages that arrive are thrown away.

        Idempotent. `closed` follows when the peer has answered, or after `close_timeout`.

        Raises:
            ValueError: this code must not be sent.
        """
        payload = encode_close(code, reason)
        if self._state == _OPEN:
            self._start_closing(Close(code, reason), payload)

    def abort(self) -> None:
        """Cut the connection; what waits is lost. `closed` follows in a later turn of the loop. Idempotent."""
        if self._state not in (_NEW, _LOST):
            self._state = _LOST
            self.deadline = math.inf
            self._transport.abort()

    def close_if_idle(self) -> bool:
        """An HTTP server asks this of its connections at shutdown. A websocket is its owner's to close, with a code."""
        return False

    def expired(self, now: float) -> None:
        if self._state == _OPEN:
            self._tell(self._handler.expired, now)
        else:
            self.abort()

    def take_over(self, transport: asyncio.Transport, response: bytes = b"", received: bytes = b"") -> None:
        """Make the transport this connection's: send the HTTP `response`, read what was `received` after the head."""
        transport.set_protocol(self)
        self._transport = transport
        tls = transport.get_extra_info("sslcontext") is not None
        # With no room at all the transport says pause_writing inside the write that blocks, and resume_writing when its
        # buffer is empty, so that `_paused` is exact. A TLS transport counts "at the mark" as over it: 0 would stick.
        transport.set_write_buffer_limits(high=1 if tls else 0)
        if not tls:
            self._fd = transport.get_extra_info("socket").fileno()
        self._state = _OPEN
        self._side.sweep.add(self)
        if self._side.roster is not None:
            self._side.roster.add(self)
        self._cork = bytearray(response)
        self._tell(self._handler.opened, self)
        self.traffic.received += len(received)
        self._take(received)
        self._uncork()

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        self.traffic.received += len(data)
        if self._held is not None:  # some transports have more at hand when they are told to pause
            self._held += data
        else:
            self._read(data)

    def eof_received(self) -> None:
        """The peer hung up; whether it said goodbye before does not matter here. The transport closes by itself."""
        if self._state == _OPEN and not self._paused:
            self._tell(self._handler.writable, False)
        if self._state < _DONE:
            self._state = _DONE
            self._set_close_deadline()
        self._outbox = None

    def pause_writing(self) -> None:
        self._paused = True
        if self._state == _OPEN:
            self._tell(self._handler.writable, False)

    def resume_writing(self) -> None:
        self._paused = False
        self._empty_outbox()
        if self._paused:
            return
        if self._state == _OPEN:
            self._tell(self._handler.writable, True)
        else:
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _LOST
        self._side.sweep.discard(self)
        if self._side.roster is not None:
            self._side.roster.discard(self)
        end = self._end or Close(rfc6455.ABNORMAL, "")
        self._tell(self._handler.closed, end.code, end.reason)
        # Handler and transport refer to the connection: without this, each would be a cycle for the collector.
        del self._handler, self._transport
        self._parser = self._cork = self._outbox = self._held = None

    # In

    def _read(self, data: bytes) -> None:
        if self._state <= _CLOSING:
            self._cork = bytearray()
            self._take(data)
            self._uncork()

    def _take(self, data: bytes) -> None:
        # What one read brings can be a thousand times as much when it is inflated: it must not all be there at once.
        step = _INFLATED_AT_ONCE if self.deflate else _AT_ONCE
        size = len(data)
        if size <= step:
            self._receive(data)
            return
        until = time.perf_counter() + _TURN_SECONDS
        start = 0
        while start < size and self._state <= _CLOSING:
            self._receive(data[start : start + step])
            start += step
            if start < size and time.perf_counter() >= until:
                self._hold(data[start:])
                return

    def _hold(self, data: bytes) -> None:
        """The rest in the next turn, and nothing new before: a flood of small frames is to cost the others no more."""
        self._held = data
        self._transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        data, self._held = self._held, None
        if data is not None:
            self._read(data)
            self._resume()

    def _resume(self) -> None:
        if self._held is None and self._state != _LOST and not self._transport.is_closing():
            self._transport.resume_reading()

    def _receive(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            inflate = decompress if self.deflate else None
            parser = FrameParser(masked=not self._side.client, max_message=self._limits.max_message, inflate=inflate)
        events = iter(parser.feed(data))
        self._parser = None if parser.idle else parser
        try:
            self._hand_over(events)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is logged, and costs its own connection only
            self._handler_failed(error)
            self._hand_over(events)  # closing now: only a close frame among them still counts
        if parser.failure is not None and self._state <= _CLOSING:
            self._fail(parser.failure)

    def _hand_over(self, events: Iterator[Event]) -> None:
        handler = self._handler
        for opcode, payload in events:
            if self._state != _OPEN:
                if self._state == _CLOSING and opcode == rfc6455.CLOSE:
                    self._state = _DONE
            elif opcode == rfc6455.TEXT:
                handler.text(payload)
            elif opcode == rfc6455.BINARY:
                handler.binary(payload)
            elif opcode == rfc6455.PING:
                self._send(encode_frame(rfc6455.PONG, payload, mask=self._mask()))
            elif opcode == rfc6455.PONG:
                handler.pong(payload)
            else:
                self._start_closing(rfc6455.decode_close(payload), payload[:2])
                self._state = _DONE

    # Out

    def _encode(self, opcode: int, payload: bytes) -> bytes:
        encode = encode_message if self.deflate else encode_frame
        return encode(opcode, payload, mask=self._mask())

    def _mask(self) -> bytes | None:
        return token_bytes(4) if self._side.client else None

    def _send(self, data: bytes) -> None:
        cork = self._cork
        if cork is None:
            self._write(data)
            return
        cork += data
        if len(cork) >= CHUNK:
            self._cork = bytearray()
            self._write(cork)

    def _uncork(self) -> None:
        cork, self._cork = self._cork, None
        if cork and self._state != _LOST:
            self._write(cork)
        if self._state > _CLOSING:
            self._settle()

    def _write(self, data: bytes | bytearray) -> None:
        if not self._paused:
            self.traffic.sent += len(data)
            self._transport.write(data)
            return
        if self._outbox is None:
            self._outbox = Outbox()
        self._outbox.put(data)
        if self._state == _OPEN and self.buffered > self._limits.max_outbox:
            self._outbox.clear()
            end = Close(*self._limits.slow_close)
            self._start_closing(end, encode_close(*end))

    def _empty_outbox(self) -> None:
        while self._outbox is not None and not self._paused:
            data = self._outbox.take()
            if not self._outbox.size:
                self._outbox = None
            self.traffic.sent += len(data)
            self._transport.write(data)  # may pause again

    # The end

    def _start_closing(self, end: Close, payload: bytes) -> None:
        fast = not self._paused
        self._state = _CLOSING
        self._end = end
        self._set_close_deadline()
        self._send(encode_frame(rfc6455.CLOSE, payload, mask=self._mask()))
        if fast:
            self._tell(self._handler.writable, False)

    def _set_close_deadline(self) -> None:
        self.deadline = asyncio.get_running_loop().time() + self._limits.close_timeout

    def _fail(self, failure: Close) -> None:
        if self._state == _OPEN:
            self._start_closing(failure, encode_close(*failure))
        self._state = _FAILED

    def _settle(self) -> None:
        """When nothing is left to send: end the TCP connection, if its time has come."""
        if self._outbox is not None or self._transport.is_closing():
            return
        if self._state == _FAILED and self._transport.can_write_eof():
            # Not closed at once: bytes not read yet would make the close a reset, which can overtake our close frame.
            self._transport.write_eof()
        elif self._state == _FAILED or (self._state == _DONE and not self._side.client):
            self._transport.close()  # a client leaves this to the server (7.1.1), until the deadline

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 - see _receive
            self._handler_failed(error)

    def _handler_failed(self, error: Exception) -> None:
        logger.opt(exception=error).error("websocket handler {} failed", type(self._handler).__name__)
        self.close(rfc6455.INTERNAL_ERROR, "internal error")
