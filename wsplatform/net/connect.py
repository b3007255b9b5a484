"""The opening handshake on a client (RFC 6455, 4.1)."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from ssl import SSLContext, SSLError, create_default_context
from typing import cast
from urllib.parse import urlsplit

from wsplatform.net.sweep import Sweep
from wsplatform.net.websocket import ConnectionLimits, Handler, Side, WebSocketConnection
from wsplatform.wire.rfc6455 import accept_key

_HTTP = b"HTTP/1."
_MAX_ANSWER = 16_384  # bytes of an HTTP response, its body included when it is a refusal
_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5][0-9][0-9])(?: .*)?")
_FIELD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: ?[\t -~]*")


class ConnectRefused(ConnectionError):
    """The server answered, but not with a websocket. `status`: of HTTP, 0 when it was no HTTP; `body`: as it came."""

    def __init__(self, status: int, reason: str, body: bytes = b"") -> None:
        super().__init__(reason)
        self.status = status
        self.body = body


async def connect(  # noqa: PLR0913 - keywords, most of them left out by most callers
    url: str,
    handler: Handler,
    limits: ConnectionLimits,
    *,
    sweep: Sweep,
    headers: Iterable[tuple[str, str]] = (),
    ssl: SSLContext | None = None,
    unix: Path | None = None,
    timeout: float = 5.0,
) -> WebSocketConnection:
    """Connect to a ws:// or wss:// address. `handler.opened` is called before this returns.

    ssl: what wss:// is checked with; None: the system's certificates. unix: a socket of this host at which the server
    is reached instead of the host and port of `url`, without TLS. timeout: seconds for all of it.

    Raises:
        ValueError: the address or a header cannot be used.
        ConnectRefused: the server answered something else.
        OSError: it was not reached, in time (TimeoutError) or at all, or its certificate is not trusted.
    """
    target = _parse(url)
    if ssl is not None and not target.tls:
        raise ValueError("ssl is for wss:// addresses")
    context = (ssl or create_default_context()) if target.tls and unix is None else None
    key = b64encode(token_bytes(16)).decode()
    remote = target.host if unix is None else str(unix)
    connection = WebSocketConnection(handler, limits, Side(sweep, client=True), remote=remote)
    loop = asyncio.get_running_loop()
    handshake = _Handshake(_request(target, key, headers), accept_key(key), connection, loop.create_future())
    async with asyncio.timeout(timeout):
        try:
            if unix is None:
                await loop.create_connection(lambda: handshake, target.host, target.port, ssl=context)
            else:
                await loop.create_unix_connection(lambda: handshake, str(unix))
            await handshake.done
        except (OSError, asyncio.CancelledError):
            handshake.abort()  # also when this was cancelled before the connection was handed over
            raise
    return connection


@dataclass(frozen=True, slots=True)
class _Target:
    tls: bool
    host: str
    port: int
    authority: str
    resource: str


def _parse(url: str) -> _Target:
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.username is not None or parts.fragment:
        raise ValueError("a websocket address is ws://host:port/path or wss://host:port/path")
    tls = parts.scheme == "wss"
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not re.fullmatch("[!-~]+", parts.netloc + resource):
        raise ValueError("a websocket address is written in ASCII, without spaces")
    return _Target(tls, parts.hostname, parts.port or (443 if tls else 80), parts.netloc, resource)


def _request(target: _Target, key: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [
        f"GET {target.resource} HTTP/1.1",
        f"Host: {target.authority}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    ]
    for name, value in headers:
        line = f"{name}: {value}"
        if not _FIELD.fullmatch(line):
            raise ValueError(f"header {name!r} cannot be sent")
        lines.append(line)
    return "\r\n".join((*lines, "\r\n")).encode("ascii")


class _Handshake(asyncio.Protocol):
    """Sends the request, checks the answer and gives the transport to the connection. `done` tells how it went."""

    def __init__(
        self, request: bytes, accept: str, connection: WebSocketConnection, done: asyncio.Future[None]
    ) -> None:
        self.done = done
        self._request = request
        self._accept = accept
        self._connection = connection
        self._transport: asyncio.Transport | None = None
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's look like one, and are none
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, complete, rest = self._answer.partition(b"\r\n\r\n")
        if complete and head[8:13] == b" 101 ":
            self._switch(head.decode("latin-1"), rest)
        elif len(self._answer) > _MAX_ANSWER or not self._answer.startswith(_HTTP[: len(self._answer)]):
            self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, SSLError):  # TLS 1.3 tells a client only now that its certificate was not accepted
            self._fail(exc)
        elif exc is not None and not self._answer:
            self._fail(ConnectionResetError("the connection was lost during the handshake"))
        else:
            self._give_up()
        self._transport = None

    def abort(self) -> None:
        """Nobody waits for it any more."""
        self.done.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _switch(self, head: str, rest: bytes) -> None:
        if self._transport is None or self.done.done():
            return
        wrong = _wrong_answer(head, self._accept)
        if wrong:
            self._fail(ConnectRefused(101, wrong))
        else:
            self._connection.take_over(self._transport, received=rest)
            self.done.set_result(None)

    def _give_up(self) -> None:
        """What the server sent, up to the end of the connection or too much of it, is no websocket."""
        head, _, body = self._answer.partition(b"\r\n\r\n")
        match = _STATUS_LINE.match(head.decode("latin-1"))
        if match is None:
            self._fail(ConnectRefused(0, "the server does not speak HTTP (is it TLS that it wants?), or hung up"))
        else:
            self._fail(ConnectRefused(int(match[1]), f"the server answered with status {match[1]}", body[:_MAX_ANSWER]))

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


def _wrong_answer(head: str, accept: str) -> str:
    """What is wrong with a 101 response, "" for nothing."""
    status, *fields = head.split("\r\n")
    if not _STATUS_LINE.fullmatch(status):
        return "the server does not speak HTTP/1.1"
    headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("connection", "").lower():
        return "the server switched to something else than websocket"
    if headers.get("sec-websocket-accept") != accept:
        return "the server did not read the websocket handshake"
    if "sec-websocket-extensions" in headers or "sec-websocket-protocol" in headers:
        return "the server chose what was not offered"
    return ""
