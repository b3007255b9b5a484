"""Requests of commands to a running cluster."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import urlencode

import aiohttp
import msgspec

from wsplatform import errors
from wsplatform.cli.options import Server
from wsplatform.cli.progress import Display
from wsplatform.errors import PlatformError

Needs = Literal["node", "registry"]
PAGE = 1000
TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
CODES = {kind.number: kind.code for kind in vars(errors).values() if isinstance(kind, errors.ErrorKind)}
_WRONG_PLACE = {
    "node": "does not serve /api and /connection: this command needs the address of a node or of the load balancer",
    "registry": "does not serve /admin: this command needs the address of the registry (the node of role all)",
}


class Caller:
    """`async with Caller(server, needs) as caller`: requests over connections that are kept."""

    def __init__(self, server: Server, needs: Needs, timeout: aiohttp.ClientTimeout = TIMEOUT) -> None:
        self._server = server
        self._needs = needs
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # The load balancer's cookie keeps these requests on one node: another one would not keep to their order.
        # unsafe: it is taken from hosts that are named by an IP address, too.
        cookies = aiohttp.CookieJar(unsafe=True)
        self._session = aiohttp.ClientSession(
            timeout=self._timeout, headers={"X-API-Key": self._server.key}, cookie_jar=cookies
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded JSON of a success (None for an empty one). Raises PlatformError for everything else."""
        assert self._session is not None
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if data else {}
        try:
            async with self._session.request(
                method, self._server.url + path, data=data, headers=headers, allow_redirects=False
            ) as response:
                return self._answer(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(self._server.url, error) from error

    def _answer(self, status: int, content: bytes) -> Any:
        try:
            body = msgspec.json.decode(content) if content else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            body = None
            if status < 300:
                raise wrong_place(self._server.url, self._needs) from None
        if status < 300:
            return body
        error = body.get("error") if isinstance(body, dict) else None
        code = _code(error.get("code")) if isinstance(error, dict) else ""
        if status in (404, 405) and code in ("", "not_found", "method_not_allowed"):
            raise wrong_place(self._server.url, self._needs)
        message = str(error.get("message", "")) if isinstance(error, dict) else ""
        raise PlatformError(code or f"http_{status}", message or f"{self._server.url} answered with status {status}.")


@dataclass(frozen=True, slots=True)
class Listing:
    """Items of a list. more: there are others; missing: nodes that did not answer, whose items are not there."""

    items: list[dict[str, Any]]
    more: bool
    missing: list[str]


def ask(server: Server, method: str, path: str, body: Any = None) -> Any:
    """One request to the registry's admin API."""
    need_key(server)

    async def once() -> Any:
        async with Caller(server, "registry") as caller:
            return await caller.ask(method, f"/admin/v1/{path}", body)

    return asyncio.run(once())


def ask_all(server: Server, path: str, **query: str) -> list[dict[str, Any]]:
    """All items of a list of the admin API that the query asks for."""
    need_key(server)

    async def pages() -> list[dict[str, Any]]:
        async with Caller(server, "registry") as caller:
            return (await items_of(caller, path, _given(query))).items

    return asyncio.run(pages())


def ask_some(
    server: Server, path: str, query: Mapping[str, object], limit: int, exactly: Mapping[str, object] | None = None
) -> Listing:
    """At most `limit` items of a list (0: all of them); how far it is, is shown.

    Parameters of `query` that are empty are left out, those of `exactly` are not.
    """
    need_key(server)

    async def pages() -> Listing:
        with Display() as display:
            async with Caller(server, "registry") as caller:
                return await items_of(caller, path, {**_given(query), **(exactly or {})}, limit, display)

    return asyncio.run(pages())


async def items_of(
    caller: Caller, path: str, query: Mapping[str, object], limit: int = 0, display: Display | None = None
) -> Listing:
    items: list[dict[str, Any]] = []
    missing: set[str] = set()
    cursor: str | None = ""
    while cursor is not None and (not limit or len(items) < limit):
        wanted = min(limit - len(items), PAGE) if limit else PAGE
        page = await caller.ask("GET", f"/admin/v1/{path}?{urlencode({**query, 'limit': wanted, 'cursor': cursor})}")
        items += page["items"]
        missing.update(page.get("missing", ()))
        cursor = page["next"]
        if display is not None and cursor is not None:
            display.tell(f"{len(items):,} so far")
    return Listing(items, cursor is not None, sorted(missing))


def _given(query: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in query.items() if value not in ("", None)}


def need_key(server: Server) -> None:
    """Raises PlatformError when no key is given."""
    if not server.key:
        raise PlatformError("no_key", "This command needs an admin key: --key or WSP_KEY.")


def unreachable(url: str, error: Exception) -> PlatformError:
    why = "it took too long" if isinstance(error, TimeoutError) else _reason(error)
    return PlatformError("unreachable", f"No answer from {url} ({why}). --server or WSP_SERVER says whom to ask.")


def wrong_place(url: str, needs: Needs) -> PlatformError:
    return PlatformError("wrong_server", f"{url} {_WRONG_PLACE[needs]}.")


def command_error(error: Any) -> PlatformError:
    """The `error` of a reply of the server API or the client protocol."""
    if not isinstance(error, dict):
        return PlatformError("malformed_reply", "The server's reply was not understood.")
    number = error.get("code")
    code = _code(number) or "error"
    return PlatformError(code, f"{error.get('message', code)} ({number}).", temporary=bool(error.get("temporary")))


def _code(code: object) -> str:
    """A stable word for the numbers that the client protocol and the server API have."""
    if isinstance(code, int):
        return CODES.get(code, f"error_{code}")
    return code if isinstance(code, str) else ""


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None) or 0
    return os.strerror(number).lower() if number > 0 else getattr(error, "strerror", None) or type(error).__name__
