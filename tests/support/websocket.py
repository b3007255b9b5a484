"""A websocket server without Sanic, a handler that remembers, and a client that does exactly what a test says."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from wsplatform.net.sweep import Sweep
from wsplatform.net.upgrade import Accept, Refuse, UpgradeRequest
from wsplatform.net.websocket import ConnectionLimits, WebSocketConnection
from wsplatform.web.upgrade import HeadLimits, protocol_factory
from wsplatform.wire.rfc6455 import BINARY, CLOSE, TEXT, Event, FrameParser, decode_close, encode_close, encode_frame

LIMITS = ConnectionLimits(max_message=1_000_000, max_outbox=200_000, close_timeout=0.3)
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


class Recorder:
    """Keeps what it is told as (name, payload), and answers what `reply` returns."""

    def __init__(self, reply: Callable[[WebSocketConnection, str, Any], None] | None = None) -> None:
        self.told: list[tuple[str, Any]] = []
        self.connection: WebSocketConnection | None = None
        self.end: tuple[int, str] | None = None
        self.ends = 0
        self._reply = reply

    def opened(self, connection: WebSocketConnection) -> None:
        self.connection = connection
        self._tell("opened", None)

    def text(self, payload: bytes) -> None:
        self._tell("text", payload)

    def binary(self, payload: bytes) -> None:
        self._tell("binary", payload)

    def pong(self, payload: bytes) -> None:
        self._tell("pong", payload)

    def writable(self, ready: bool) -> None:
        self._tell("writable", ready)

    def expired(self, now: float) -> None:
        assert self.connection is not None
        self.connection.deadline = math.inf
        self._tell("expired", now)

    def closed(self, code: int, reason: str) -> None:
        self.end = (code, reason)
        self.ends += 1
        self._tell("closed", code)

    def texts(self) -> list[bytes]:
        return [payload for name, payload in self.told if name == "text"]

    def _tell(self, name: str, payload: Any) -> None:
        self.told.append((name, payload))
        if self._reply is not None and self.connection is not None:
            self._reply(self.connection, name, payload)


def echo(connection: WebSocketConnection, name: str, payload: Any) -> None:
    if name == "text":
        connection.send_text(payload)
    elif name == "binary":
        connection.send_binary(payload)


class RecordingAcceptor:
    """Accepts everybody. The attributes are what the next connection gets."""

    def __init__(self) -> None:
        self.reply: Callable[[WebSocketConnection, str, Any], None] | None = None
        self.limits = LIMITS
        self.deflate = False
        self.subprotocol = ""
        self.refuse: Refuse | None = None
        self.handlers: list[Recorder] = []
        self.requests: list[UpgradeRequest] = []

    def accept(self, request: UpgradeRequest) -> Accept | Refuse:
        self.requests.append(request)
        if self.refuse is not None:
            return self.refuse
        self.handlers.append(Recorder(self.reply))
        return Accept(self.handlers[-1], self.limits, self.subprotocol, self.deflate)


class Server(RecordingAcceptor):
    """`async with Server() as server`: listens on `server.port`; `connections` are those that live."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.connections: set[Any] = set()
        self.sweep = Sweep(0.02)
        self.port = 0
        self._tls = tls
        self.clients: list[Raw] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.sweep.start(loop)
        build = protocol_factory({"/ws": self}, self.sweep, HeadLimits(16_384, 2.0))
        listener = small_socket()
        listener.bind(("127.0.0.1", 0))
        self._server = await loop.create_server(
            lambda: build(loop=loop, connections=self.connections), sock=listener, ssl=self._tls, backlog=500
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients:
            await client.hang_up()
        self._server.close()
        for connection in tuple(self.connections):
            connection.abort()
        await self._server.wait_closed()
        self.sweep.stop()

    async def client(self) -> Raw:
        """A client whose connection is the last of `handlers`."""
        client = await self.dial()
        await client.upgrade("/ws")
        return client

    async def dial(self, tls: ssl.SSLContext | None = None) -> Raw:
        """A client that has sent nothing yet. It is hung up at the end of the test at the latest."""
        self.clients.append(await Raw.dial(self.port, tls))
        return self.clients[-1]


class Raw:
    """A client on a plain stream: sends any bytes, and reads frames when it is asked to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.parser = FrameParser(masked=False, max_message=1 << 30)
        self._events: list[Event] = []

    @classmethod
    async def dial(cls, port: int, tls: ssl.SSLContext | None = None) -> Self:
        sock = small_socket()
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=sock, ssl=tls, server_hostname="localhost" if tls else None))

    async def upgrade(self, path: str, *headers: str) -> bytes:
        """Asks for a websocket; returns the head of the response."""
        self.send(upgrade_head(path, *headers))
        return await self.reader.readuntil(b"\r\n\r\n")

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def next(self) -> Event | None:
        """None at the end of the stream."""
        while not self._events:
            data = await asyncio.wait_for(self.reader.read(1 << 16), 10)
            if not data:
                return None
            self._events += self.parser.feed(data)
            assert self.parser.failure is None, self.parser.failure
        return self._events.pop(0)

    async def close_frame(self) -> tuple[int, str]:
        """Code and reason of the close frame; messages before it are thrown away."""
        while (event := await self.next()) is not None:
            if event[0] == CLOSE:
                return decode_close(event[1])
        raise AssertionError("the connection ended without a close frame")

    async def rest(self) -> bytes:
        """Everything up to the end of the stream; a reset ends it too."""
        try:
            return await asyncio.wait_for(self.reader.read(), 10)
        except ConnectionResetError:
            return b""

    async def hang_up(self) -> None:
        """Without a close frame; what was not sent yet is lost."""
        self.writer.transport.abort()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            return


def small_socket() -> socket.socket:
    """Its kernel buffers hold little, so that a reader who stops is soon noticed. Accepted sockets inherit that."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    sock.setblocking(False)
    return sock


def upgrade_head(path: str, *headers: str, host: str = "localhost") -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        f"Sec-WebSocket-Key: {KEY.decode()}",
        "Sec-WebSocket-Version: 13",
        *headers,
        "\r\n",
    ]
    return "\r\n".join(lines).encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False) -> bytes:
    """A frame as a client sends it."""
    return encode_frame(opcode, payload, mask=b"\x01\x80\x00\xff", fin=fin, rsv1=rsv1)


def text(payload: bytes | str) -> bytes:
    return frame(TEXT, payload.encode() if isinstance(payload, str) else payload)


def binary(payload: bytes) -> bytes:
    return frame(BINARY, payload)


def close(code: int = 1000, reason: str = "") -> bytes:
    return frame(CLOSE, encode_close(code, reason))


def self_signed(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For localhost: the server's context, and that of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + pem
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())
