"""The opening handshake on a server (RFC 6455, 4.2): from a request's head to a connection or a refusal."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import msgspec
from loguru import logger

from wsplatform.net.websocket import ConnectionLimits, Handler, Side, Traffic, WebSocketConnection
from wsplatform.wire.deflate import negotiate
from wsplatform.wire.rfc6455 import accept_key

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rf"({_WORD}) ([!-~]+) HTTP/1\.([01])")
_FIELDS = re.compile(rf"(?:{_WORD}:[\t -~\x80-\xff]*\r\n)*")
_SUBPROTOCOLS = re.compile(rf"{_WORD}(?:[ \t]*,[ \t]*{_WORD})*")
_SINGLE = frozenset(
    {"authorization", "content-length", "host", "origin", "sec-websocket-key", "sec-websocket-version"},
)
"""A second one of these would leave open which of the two counts."""


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """A valid request to speak websocket.

    path and query: of the request target, as sent (percent-encoded). headers: by lower-case name; repeated ones joined
    by ", ". remote: address of the other end of the TCP connection, without port; "" on a unix socket.
    """

    path: str
    query: str
    headers: Mapping[str, str]
    remote: str
    subprotocols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accept:
    """Take it. subprotocol: one of those offered, "" for none. deflate: an offer to compress may be taken.

    traffic: where its bytes are counted, if not with those of its side.
    """

    handler: Handler
    limits: ConnectionLimits
    subprotocol: str = ""
    deflate: bool = False
    traffic: Traffic | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an HTTP status, a stable code and a sentence that says what to do."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class Acceptor(Protocol):
    """Decides who is let in. What it raises is logged and answered with 500."""

    def accept(self, request: UpgradeRequest) -> Accept | Refuse: ...


def request_path(head: bytes) -> str | None:
    """The path that the request line asks for; None when it is not one of HTTP/1.x in origin form."""
    match = _REQUEST_LINE.fullmatch(head.partition(b"\r\n")[0].decode("latin-1"))
    return match[2].partition("?")[0] if match else None


def read_upgrade(head: bytes, remote: str) -> UpgradeRequest | Refuse:
    """Check a request's head, its empty line included, as 4.2.1 asks."""
    line, _, fields = head[:-2].decode("latin-1").partition("\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    headers = _read_fields(fields)
    if match is None or headers is None:
        return Refuse(400, "bad_request", "The request is not valid HTTP/1.1.")
    refuse = _wrong_request(match[1], match[3], headers) or _wrong_handshake(headers)
    if refuse is not None:
        return refuse
    path, _, query = match[2].partition("?")
    offered = headers.get("sec-websocket-protocol", "")  # some clients send it empty
    if offered and not _SUBPROTOCOLS.fullmatch(offered):
        return Refuse(400, "bad_request", "Sec-WebSocket-Protocol must be a list of names.")
    subprotocols = tuple(name.strip() for name in offered.split(",")) if offered else ()
    return UpgradeRequest(path, query, headers, remote, subprotocols)


def open_connection(request: UpgradeRequest, accept: Accept, side: Side) -> tuple[bytes, WebSocketConnection]:
    """The 101 response, and the connection that is to take over the transport.

    Raises:
        ValueError: the subprotocol is not one of those offered.
    """
    headers = request.headers
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(headers['sec-websocket-key'])}",
    ]
    if accept.subprotocol:
        if accept.subprotocol not in request.subprotocols:
            raise ValueError(f"subprotocol {accept.subprotocol} was not offered")
        lines.append(f"Sec-WebSocket-Protocol: {accept.subprotocol}")
    extension = negotiate(headers.get("sec-websocket-extensions", "")) if accept.deflate else None
    if extension is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extension}")
    response = "\r\n".join((*lines, "\r\n")).encode("latin-1")
    connection = WebSocketConnection(
        accept.handler, accept.limits, side, deflate=extension is not None, remote=request.remote
    )
    connection.traffic = accept.traffic or side.traffic
    return response, connection


def answer(head: bytes, remote: str, acceptor: Acceptor, side: Side) -> tuple[bytes, WebSocketConnection] | Refuse:
    """Everything between a request's head and the 101 or the refusal."""
    request = read_upgrade(head, remote)
    if isinstance(request, Refuse):
        return request
    try:
        decision = acceptor.accept(request)
        return decision if isinstance(decision, Refuse) else open_connection(request, decision, side)
    except Exception as error:  # noqa: BLE001 - logged; one request's failure must not end the server's reading
        logger.opt(exception=error).error("acceptor {} failed", type(acceptor).__name__)
        return Refuse(500, "internal", "The server failed to decide about this connection. Try again later.")


def refusal(refuse: Refuse) -> bytes:
    """The whole HTTP response; the connection is to be closed after it."""
    body = msgspec.json.encode({"error": {"code": refuse.code, "message": refuse.message}})
    try:
        phrase = HTTPStatus(refuse.status).phrase
    except ValueError:
        phrase = ""
    lines = [
        f"HTTP/1.1 {refuse.status} {phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in refuse.headers),
        "\r\n",
    ]
    return "\r\n".join(lines).encode("latin-1") + body


def _read_fields(fields: str) -> dict[str, str] | None:
    """None: not valid, folded lines and a second one of `_SINGLE` included."""
    if not _FIELDS.fullmatch(fields):
        return None
    headers: dict[str, str] = {}
    for field in fields.split("\r\n")[:-1]:
        name, _, value = field.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if name not in headers:
            headers[name] = value
        elif name in _SINGLE:
            return None
        else:
            headers[name] = f"{headers[name]}, {value}"
    return headers


def _wrong_request(method: str, minor: str, headers: Mapping[str, str]) -> Refuse | None:
    if method != "GET":
        return Refuse(405, "method_not_allowed", "Open a websocket here with GET.", (("Allow", "GET"),))
    if minor != "1" or "host" not in headers:
        return Refuse(400, "bad_request", "A websocket needs HTTP/1.1 and a Host header.")
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return Refuse(400, "bad_request", "A websocket request has no body.")
    return None


def _wrong_handshake(headers: Mapping[str, str]) -> Refuse | None:
    if "websocket" not in _tokens(headers, "upgrade") or "upgrade" not in _tokens(headers, "connection"):
        upgrade = (("Upgrade", "websocket"),)
        return Refuse(426, "upgrade_required", "This address speaks websocket only: use ws:// or wss://.", upgrade)
    if headers.get("sec-websocket-version") != "13":
        version = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
        return Refuse(426, "wrong_version", "Connect with version 13 of the websocket protocol.", version)
    if not _is_key(headers.get("sec-websocket-key", "")):
        return Refuse(400, "bad_request", "Sec-WebSocket-Key must be 16 bytes in base64.")
    return None


def _tokens(headers: Mapping[str, str], name: str) -> list[str]:
    return [token.strip() for token in headers.get(name, "").lower().split(",")]


def _is_key(value: str) -> bool:
    try:
        return len(value) == 24 and len(b64decode(value, validate=True)) == 16
    except ValueError:
        return False
