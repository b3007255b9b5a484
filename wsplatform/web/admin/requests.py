"""Reading requests of the admin API: query, body, path, pages. All refusals are RequestErrors."""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec
from sanic import Request
from sanic.exceptions import PayloadTooLarge

from wsplatform.core.merge import Merged
from wsplatform.errors import RequestError
from wsplatform.web.admin.types import PageQuery

T = TypeVar("T")
K = TypeVar("K")

MAX_BODY_BYTES: Final = 65_536


def query(request: Request, kind: type[T]) -> T:
    """The query string as `kind`. Raises 400 `bad_query` for names that there are not, twice or with a wrong value."""
    values = {}
    for name, texts in request.get_args(keep_blank_values=True).items():
        if len(texts) > 1:
            raise RequestError(400, "bad_query", "A parameter of the query stands there twice.")
        values[name] = texts[0]
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(400, "bad_query", f"The query cannot be used: {_lower(error)}.") from error


async def body(request: Request, kind: type[T], limit: int = MAX_BODY_BYTES) -> T:
    """The JSON body as `kind`, read only now. Raises 413, 415 or 400 `bad_body`.

    limit: in bytes; api.max_request_bytes holds as well.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestError(415, "unsupported_media_type", "Send JSON, with Content-Type: application/json.")
    stream: Any = request.stream
    limit = stream.request_max_size = min(stream.request_max_size, limit)
    try:
        await request.receive_body()  # type: ignore[no-untyped-call]
    except PayloadTooLarge:
        raise RequestError(413, "too_large", f"At most {limit} bytes are accepted here.") from None
    try:
        return msgspec.json.decode(request.body, type=kind)
    except msgspec.ValidationError as error:
        raise RequestError(400, "bad_body", f"The body cannot be used: {_lower(error)}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, "bad_body", "The body is not JSON.") from error


def path_text(part: str) -> str:
    """A part of the path, percent-decoded. Raises 400 `bad_path` when that is not UTF-8."""
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise RequestError(400, "bad_path", "The path is not percent-encoded UTF-8.") from error


def page(items: Iterable[T], order: Callable[[T], K], kind: type[K], query: PageQuery) -> tuple[list[T], str | None]:
    """The part of `items` that `query` asks for, and the cursor of the next. `items` are in the order of `order`,

    a unique value of type `kind` for each, so a list that changes between two pages loses and repeats nothing else.
    """
    if query.cursor:
        after: Any = place_of(query.cursor, kind)
        items = (item for item in items if order(item) > after)
    taken = list(itertools.islice(items, query.limit + 1))
    if len(taken) <= query.limit:
        return taken, None
    return taken[: query.limit], cursor_of(order(taken[query.limit - 1]))


def cursor_of(place: object) -> str:
    """The place after which the next page begins, as text that says nothing to anybody."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def next_cursor(merged: Merged[Any]) -> str | None:
    """The same, of the pages of many; None: that was all."""
    return None if merged.after is None else cursor_of(merged.after)


def place_of(text: str, kind: type[K]) -> K:
    """The opposite. Raises 400 `bad_cursor`."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:  # ValueError: no ASCII, no UTF-8
        raise bad_cursor() from error


def bad_cursor() -> RequestError:
    return RequestError(400, "bad_cursor", "The cursor is not one that this list has given: begin anew.")


def _lower(error: msgspec.ValidationError) -> str:
    """`step: expected ...`; msgspec says ``Expected ... - at `$.step` ``."""
    text, _, place = str(error).partition(" - at `$.")
    text = text[:1].lower() + text[1:]
    return f"{place.rstrip('`')}: {text}" if place else text
