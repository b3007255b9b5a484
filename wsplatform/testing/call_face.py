"""The POST endpoints of transports on one connection, without the rest of a node: just enough HTTP/1.1 for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from loguru import logger

from wsplatform.errors import PlatformError, RequestError
from wsplatform.transports.base import Call, CallHandler, Reply

MAX_HEAD = 16_384


async def serve_calls(
    calls: Mapping[str, CallHandler], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer one request after the other, until the connection ends or something is no such request."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = _Body(reader, head)
            reply = await _answer(calls, head, body)
            writer.write(_response(reply, keep=body.read_whole))
            await writer.drain()
            if not body.read_whole:
                return
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return
    finally:
        writer.close()


class _Body:
    def __init__(self, reader: asyncio.StreamReader, head: bytes) -> None:
        self._reader = reader
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
        self._size = int(fields.get(b"content-length", b"0"))
        self.read_whole = self._size == 0

    async def read(self, limit: int) -> bytes:
        if self._size > limit:
            raise RequestError(413, "too_large", f"At most {limit} bytes are accepted here.")
        body = await self._reader.readexactly(self._size)
        self.read_whole = True
        return body


async def _answer(calls: Mapping[str, CallHandler], head: bytes, body: _Body) -> Reply:
    method, target, _ = head.split(b" ", 2)
    path, _, query = target.decode("latin-1").partition("?")
    handler = calls.get(path) if method == b"POST" else None
    if handler is None:
        return _error(404, "not_found", "No endpoint is here.")
    try:
        return await handler(Call(path, query, "127.0.0.1", body.read))
    except PlatformError as error:
        status = error.status if isinstance(error, RequestError) else 503 if error.temporary else 400
        return _error(status, error.code, error.message)
    except Exception as error:  # noqa: BLE001 - logged, and answered as a node does
        logger.opt(exception=error).error("POST {} failed", path)
        return _error(500, "internal", "The request failed inside the server; its log has the reason.")


def _error(status: int, code: str, message: str) -> Reply:
    return Reply(msgspec.json.encode({"error": {"code": code, "message": message}}), status)


def _response(reply: Reply, *, keep: bool) -> bytes:
    kind = "application/octet-stream" if reply.status == 200 else "application/json"
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(reply.body)}",
        f"Connection: {'keep-alive' if keep else 'close'}",
        "\r\n",
    ]
    return "\r\n".join(lines).encode() + reply.body
