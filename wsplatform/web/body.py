"""The body of a request, for handlers with a bound of their own: the app's is for other faces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sanic import Request
from sanic.exceptions import PayloadTooLarge

from wsplatform.errors import RequestError


async def read_body(request: Request, limit: int) -> bytes:
    """For a streaming handler. Raises RequestError 413 as soon as more than `limit` bytes have come."""
    body = bytearray()
    try:
        async for chunk in _chunks(request):
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
    except PayloadTooLarge:
        raise _too_large(limit) from None
    return bytes(body)


def _chunks(request: Request) -> AsyncIterator[bytes]:
    stream: Any = request.stream  # typed as the base of Sanic's HTTP/1 and HTTP/3 streams, which cannot be iterated
    chunks: AsyncIterator[bytes] = aiter(stream)
    return chunks


def _too_large(limit: int) -> RequestError:
    return RequestError(413, "too_large", f"At most {limit} bytes are accepted here.")
