"""Websocket upgrades under Sanic, without Sanic: the first look at each connection of its listener.

A new connection is read up to the end of its first head. A path of ours is answered here; anything else becomes Sanic's
with every byte that came. When a connection that is Sanic's asks for a path of ours between two requests (a load
balancer reuses connections), it is taken back.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from loguru import logger
from sanic.http.constants import Stage
from sanic.server.protocols.http_protocol import HttpProtocol

from wsplatform.core.throttle import Throttle
from wsplatform.net.sweep import Sweep
from wsplatform.net.upgrade import Acceptor, Refuse, answer, refusal, request_path
from wsplatform.net.websocket import Side

_LINGER = 2.0  # seconds in which a refused client can read why, while what it still sends is thrown away
_LOG_SECONDS = 60.0
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,24}(?: |\Z)")


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Of the head of a connection's first request: bytes, and seconds until it is there.

    request: seconds after which a request that Sanic has not got whole or not answered, or an answer that does not get
    on, ends its connection; noticed within twice that time.
    """

    max_bytes: int
    timeout: float
    request: float = 60.0


@dataclass(slots=True)
class _Door:
    """What the connections of one listener share."""

    routes: Mapping[str, Acceptor]
    sweep: Sweep
    head: HeadLimits
    most: int
    prefixes: tuple[bytes, ...]
    throttle: Throttle = field(default_factory=lambda: Throttle(_LOG_SECONDS))
    _side: Side | None = None

    def side(self, roster: set[Any]) -> Side:
        """`roster`: Sanic's set of connections, which comes with the first of them, and stays."""
        if self._side is None or self._side.roster is not roster:
            self._side = Side(self.sweep, roster=roster)
        return self._side


def protocol_factory(
    routes: Mapping[str, Acceptor], sweep: Sweep, head: HeadLimits, most: int = sys.maxsize
) -> Callable[..., asyncio.Protocol]:
    """For `app.create_server(protocol=...)`. `routes`: path -> who decides about websockets there.

    most: connections of either kind that may be open; one more is closed at once.

    Connections of either kind are in Sanic's set of connections. A websocket answers `close_if_idle` with no: whoever
    stops the server closes the websockets first, with a code of its own.
    """
    door = _Door(dict(routes), sweep, head, most, tuple(f"GET {path}".encode() for path in routes))

    def build(**sanic: Any) -> asyncio.Protocol:
        return UpgradeProtocol(door, sanic)

    return build


class UpgradeProtocol(asyncio.Protocol):
    """A connection until the end of its first head; or until it is closed, once it is refused."""

    __slots__ = ("_buffer", "_door", "_refused", "_sanic", "_transport", "deadline")

    def __init__(self, door: _Door, sanic: dict[str, Any]) -> None:
        self.deadline = 0.0
        self._door = door
        self._sanic = sanic
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's look like one, and are none
        if len(self._sanic["connections"]) >= self._door.most:
            self._turn_away()
            return
        self.deadline = self._sanic["loop"].time() + self._door.head.timeout
        self._door.sweep.add(self)
        self._sanic["connections"].add(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        buffer = self._buffer
        seen = max(0, len(buffer) - 3)
        buffer += data
        end = buffer.find(b"\r\n\r\n", seen)
        size = len(buffer) if end < 0 else end + 4
        if size > self._door.head.max_bytes:
            self._refuse(Refuse(431, "head_too_large", "Send less in the headers of the request."))
        elif end >= 0:
            self._decide(bytes(buffer[:size]), bytes(buffer[size:]))
        elif not _METHOD.match(buffer[:25]):
            self._refuse(_NOT_HTTP)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        del self._transport

    def expired(self, now: float) -> None:
        if self._refused:
            self._transport.abort()
        elif self._buffer:
            self._refuse(Refuse(408, "head_too_slow", "Send the whole request at once."))
        else:
            self._transport.close()

    # Sanic asks these of its connections at shutdown.

    def close_if_idle(self) -> bool:
        self._transport.close()
        return True

    def abort(self) -> None:
        self._transport.abort()

    def _turn_away(self) -> None:
        self._refused = True
        self._transport.abort()
        held_back = self._door.throttle.allow("", self._sanic["loop"].time())
        if held_back is not None:
            logger.warning(
                "Closed a new connection: {} are open, and the other file descriptors are kept for what this process "
                "needs itself; raise its limit ({} more before)",
                self._door.most,
                held_back,
            )

    def _decide(self, head: bytes, rest: bytes) -> None:
        path = request_path(head)
        if path is None:
            self._refuse(_NOT_HTTP)
        elif path in self._door.routes:
            self._upgrade(self._door.routes[path], head, rest)
        else:
            self._hand_to_sanic(head + rest)

    def _upgrade(self, acceptor: Acceptor, head: bytes, rest: bytes) -> None:
        transport = self._transport
        peer = transport.get_extra_info("peername")
        remote = peer[0] if isinstance(peer, tuple) else ""
        decision = answer(head, remote, acceptor, self._door.side(self._sanic["connections"]))
        if isinstance(decision, Refuse):
            self._refuse(decision)
            return
        response, connection = decision
        self._leave()
        connection.take_over(transport, response, rest)

    def _hand_to_sanic(self, data: bytes) -> None:
        transport = self._transport
        self._leave()
        http = _SanicConnection(self._door, self._sanic)
        transport.set_protocol(http)
        http.connection_made(transport)
        http.data_received(data)

    def _refuse(self, refuse: Refuse) -> None:
        self._refused = True
        self._buffer.clear()
        self.deadline = self._sanic["loop"].time() + _LINGER
        self._transport.write(refusal(refuse))
        # Not closed at once where that can be had: a close with bytes unread is a reset, and takes the answer with it.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _leave(self) -> None:
        self._door.sweep.discard(self)
        self._sanic["connections"].discard(self)


_NOT_HTTP = Refuse(400, "bad_request", "This is not HTTP/1.1.")


class _SanicConnection(HttpProtocol):
    """Sanic's own, which gives the connection back when a websocket is asked for between two requests.

    Sanic's timeouts begin anew with every byte, end with the first 503, and do not hold for what names an upgrade: a
    request that never becomes whole would keep its task and descriptor for good. So the sweep looks at it as well.
    """

    __slots__ = ("_door", "_held", "_sanic", "_seen", "_sends", "_waits", "deadline")

    def __init__(self, door: _Door, sanic: dict[str, Any]) -> None:
        super().__init__(**sanic)
        self.deadline = 0.0
        self._door = door
        self._sanic = sanic
        self._seen: tuple[int, bool, int] | None = None
        self._sends = 0
        self._waits = False  # for data, whatever has come before is done with
        self._held = bytearray()  # what looks like the head of an upgrade, until it shows whether it is one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[no-untyped-call]
        self.deadline = self._sanic["loop"].time() + self._door.head.request
        self._door.sweep.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.sweep.discard(self)
        super().connection_lost(exc)  # type: ignore[no-untyped-call]

    async def send(self, data: bytes) -> None:
        """Sanic answers what has come without a look at the others: thousands of requests may come at once."""
        await super().send(data)  # type: ignore[no-untyped-call]
        self._sends += 1
        if self.recv_buffer:
            await asyncio.sleep(0)

    def expired(self, now: float) -> None:
        """End the connection when it is at the same place as the last time."""
        self.deadline = now + self._door.head.request
        seen = None if self._between_requests or self.http is None else self._place
        if seen is not None and seen == self._seen:
            self.abort()  # type: ignore[no-untyped-call]
        self._seen = seen

    def data_received(self, data: bytes) -> None:
        """Who has the whole answer may ask for a websocket before Sanic is done with the request."""
        if self._held or (data.startswith(self._door.prefixes) and request_path(data) in self._door.routes):
            self._held += data
            if self._waits or len(self._held) > self._door.head.max_bytes:
                self._decide()
        else:
            super().data_received(data)

    async def receive_more(self) -> None:
        """Sanic has done what has come."""
        if self._held:
            if not self._between_requests:
                self._decide()
                return
            self._sanic["loop"].call_soon(self._decide)  # which cancels this very task
        self._waits = True
        try:
            await super().receive_more()  # type: ignore[no-untyped-call]
        finally:
            self._waits = False

    def _decide(self) -> None:
        """What was held is the head of an upgrade, or of the body of a request."""
        data = bytes(self._held)
        self._held.clear()
        if data and self._between_requests:
            self._give_back(data)
        elif data:
            super().data_received(data)

    @property
    def _place(self) -> tuple[int, bool, int]:
        """How many heads were read, whether another one is coming in, and how often something could be sent."""
        return self.state["requests_count"], self.http.stage is Stage.REQUEST, self._sends

    @property
    def _between_requests(self) -> bool:
        """Sanic waits for a request: has read nothing of it, and has nothing left to send."""
        http, transport = self.http, self.transport
        if http is None or transport is None or self.recv_buffer or transport.get_write_buffer_size():
            return False
        return http.stage is Stage.IDLE and http.request is None

    def _give_back(self, data: bytes) -> None:
        transport, task, timer = (
            self.transport,
            self._task,
            cast("asyncio.Handle | None", self._callback_check_timeouts),
        )
        assert transport is not None
        assert task is not None
        self._door.sweep.discard(self)
        self.connections.discard(self)
        self.transport = None  # or the task would close it when it ends
        task.cancel()
        if timer is not None:
            timer.cancel()
        protocol = UpgradeProtocol(self._door, self._sanic)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)
