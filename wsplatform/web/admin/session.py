"""Logging in with an admin key: a browser gets a cookie for it, which its pages cannot read."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final, Protocol

import msgspec
from sanic import HTTPResponse

from wsplatform.core.logins import IDLE, Login, csrf_token
from wsplatform.core.throttle import Throttle
from wsplatform.core.tries import Tries, source
from wsplatform.errors import RequestError
from wsplatform.model import ApiKey
from wsplatform.registry.records import Actor, Deed, Entry
from wsplatform.web.admin.cookies import check_origin, cookie_name, read_cookie, set_cookie
from wsplatform.web.admin.gate import Gate
from wsplatform.web.admin.routes import Call, Reply, Route, empty_reply, json_reply

_MAX_BODY_BYTES: Final = 4096
"""Of what anybody may send; a key of the settings can be long, but not that long."""

_ENTRY_SECONDS: Final = 60.0
"""How often at most one source's refused tries are put into the audit log."""


class Logins(Protocol):
    """registry/logins.py: Logins."""

    def find(self, text: str) -> tuple[Login, ApiKey] | None: ...

    async def begin(self, key: ApiKey, actor: Actor, before: Login | None = ...) -> tuple[str, Login]: ...

    async def end(self, login: Login, actor: Actor) -> None: ...


class Audit(Protocol):
    """registry/audit.py: Audit."""

    def submit(self, deed: Deed) -> asyncio.Future[Entry]: ...


class LoginBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """key: the text of an admin key."""

    key: str


class LoginKey(msgspec.Struct, frozen=True):
    """The key that the session was made from; it ends with it."""

    id: str
    name: str


class LoginState(msgspec.Struct, frozen=True, kw_only=True):
    """A login. csrf: for the header X-CSRF-Token, with every request that changes something.

    expires_at: when it ends in any case, in seconds since 1970 (UTC); idle_seconds: it ends after so long without use.
    """

    key: LoginKey
    csrf: str
    expires_at: float
    idle_seconds: float


def login_routes(logins: Logins, audit: Audit, gate: Gate) -> tuple[Route[Any, Any], ...]:
    area = _Sessions(logins, audit, gate)
    return (
        Route(
            "POST",
            "/session",
            "log_in",
            area.begin,
            "Log in with an admin key: a session for a browser, in a cookie",
            {201: Reply("The session; the cookie comes with it.", LoginState)},
            body=LoginBody,
            refusals=(429, 503),
            max_body=_MAX_BODY_BYTES,
            open=True,
        ),
        Route(
            "GET",
            "/session",
            "get_login",
            area.show,
            "The session that the request was sent in",
            {200: Reply("It is alive.", LoginState)},
        ),
        Route(
            "DELETE",
            "/session",
            "log_out",
            area.end,
            "Log out",
            {204: Reply("The session has ended.")},
            refusals=(503,),
        ),
    )


class _Sessions:
    def __init__(self, logins: Logins, audit: Audit, gate: Gate) -> None:
        self._logins = logins
        self._audit = audit
        self._gate = gate
        self._tries = Tries()
        self._entries = Throttle(_ENTRY_SECONDS)

    async def begin(self, call: Call[None, LoginBody]) -> HTTPResponse:
        request, address = call.request, call.caller.address
        origin = self._gate.origin(request)
        name = cookie_name(origin)
        if "origin" in request.headers or "sec-fetch-site" in request.headers:  # else it is no browser
            check_origin(request, origin, change=True)
        key = self._key(call, address)
        actor = Actor(key.id, key.name, address)
        before = self._logins.find(read_cookie(request, origin))
        text, login = await self._logins.begin(key, actor, None if before is None else before[0])
        return json_reply(_session(text, login, key), 201, set_cookie(name, text))

    async def show(self, call: Call[None, None]) -> HTTPResponse:
        login, key = self._found(call)
        return json_reply(_session(call.caller.cookie, login, key))

    async def end(self, call: Call[None, None]) -> HTTPResponse:
        login, _ = self._found(call)
        await self._logins.end(login, call.caller.actor)
        reply = empty_reply()
        reply.headers.update(set_cookie(cookie_name(self._gate.origin(call.request)), "", gone=True))
        return reply

    def _found(self, call: Call[None, None]) -> tuple[Login, ApiKey]:
        found = self._logins.find(call.caller.cookie)
        if found is None:
            raise RequestError(401, "no_session", "The request came with a key, not in a session: log in to have one.")
        return found

    def _key(self, call: Call[None, LoginBody], address: str) -> ApiKey:
        """Nothing is awaited between the look at the tries and the count of them, so none goes beside it."""
        now = asyncio.get_running_loop().time()
        wait = self._tries.wait(address, now)
        if wait > 0:
            self._enter(address, "too_many_tries", now)
            message = f"Too many tries from this address: try again in {math.ceil(wait)} s."
            raise RequestError(429, "too_many_tries", message)
        try:
            return self._gate.admin_key(call.body.key, call.request)
        except RequestError as error:
            self._tries.failed(address, now)
            self._enter(address, error.code, now)
            raise

    def _enter(self, address: str, code: str, now: float) -> None:
        held_back = self._entries.allow(source(address), now)
        if held_back is not None:
            after = {"code": code, "more_before": held_back}
            self._audit.submit(Deed(Actor(address=address), "login.refused", "", None, after))


def _session(text: str, login: Login, key: ApiKey) -> LoginState:
    return LoginState(
        key=LoginKey(key.id, key.name), csrf=csrf_token(text), expires_at=login.ends_at, idle_seconds=IDLE
    )
