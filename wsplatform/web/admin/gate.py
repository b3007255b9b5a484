"""Who is let into the admin API: by a key with scope admin, or by the login that was made from one."""

from __future__ import annotations

import asyncio
import hmac
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final, Literal, Protocol

from loguru import logger
from sanic import Request

from wsplatform.core.keys import KeyRing
from wsplatform.core.logins import Login, csrf_token
from wsplatform.core.throttle import Throttle
from wsplatform.core.tries import source
from wsplatform.errors import RequestError
from wsplatform.model import ApiKey
from wsplatform.registry.records import Actor
from wsplatform.settings import DEVELOPMENT_SECRETS
from wsplatform.web.admin.cookies import CSRF_HEADER, check_origin, is_change, read_cookie
from wsplatform.web.proxies import Origin, Proxies

_LOG_SECONDS: Final = 60.0
_PORT: Final = re.compile(r":[0-9]*\Z")


class Keys(Protocol):
    """registry/configuration.py: Configuration."""

    @property
    def ring(self) -> KeyRing: ...


class Logins(Protocol):
    """registry/logins.py: Logins."""

    def find(self, text: str) -> tuple[Login, ApiKey] | None: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the key, by id and name, the client's address, and how it was shown; nobody: it was not asked for.

    digest: of the key; the id alone may come back with another one (that of the settings). cookie: of the session.
    """

    key_id: str
    name: str
    address: str
    via: Literal["key", "session", "nobody"]
    digest: str = field(default="", repr=False)
    cookie: str = field(default="", repr=False)

    @property
    def actor(self) -> Actor:
        """For the audit log."""
        return Actor(self.key_id, self.name, self.address)


class Gate:
    """Lets admins in. Not a middleware: a route without its gate must not come about by an oversight."""

    def __init__(self, keys: Keys, logins: Logins, proxies: Proxies) -> None:
        self._keys = keys
        self._logins = logins
        self._proxies = proxies
        self._throttle = Throttle(_LOG_SECONDS)

    def origin(self, request: Request[Any, Any]) -> Origin:
        return self._proxies.origin(request)

    def stranger(self, request: Request[Any, Any]) -> Caller:
        """For a route that is open."""
        return Caller("", "", self.origin(request).address, "nobody")

    def admit(self, request: Request[Any, Any]) -> Caller:
        """The key counts where there are both. Raises RequestError 401 or 403."""
        origin = self.origin(request)
        try:
            text = request.headers.get("x-api-key") or _bearer(request)
            return self._by_key(text, request, origin) if text else self._by_session(request, origin)
        except RequestError as error:
            self._log(origin.address, error)
            raise

    def admin_key(self, text: str, request: Request[Any, Any]) -> ApiKey:
        """The key whose text this is. Raises RequestError 401 or 403."""
        if text in DEVELOPMENT_SECRETS and not _own_name(request.headers.get("host", "")):
            raise RequestError(
                403,
                "public_key",
                "Everybody knows the key of the development settings, web pages included: it counts at localhost, at "
                "an IP address or at a name without dots. Use one of these, or set registry.admin_key.",
            )
        key = self._keys.ring.find(text)
        if key is None:
            raise RequestError(401, "unauthorized", "This key is not known: it is mistyped, or was revoked.")
        if "admin" not in key.scopes:
            raise RequestError(403, "forbidden", "This key has no scope admin: use an admin key.")
        return key

    def check(self, caller: Caller) -> None:
        """Raises RequestError 401 for who would not be let in any more."""
        if not self.holds(caller):
            if caller.via == "session":
                raise RequestError(401, "session_ended", "The session has ended: log in again.")
            raise RequestError(401, "unauthorized", "This key was revoked.")

    def holds(self, caller: Caller) -> bool:
        """Whether what `caller` was let in with would let it in now. A session counts as used by that."""
        if caller.via == "session":
            return self._logins.find(caller.cookie) is not None
        key = self._keys.ring.get(caller.key_id)
        return key is not None and key.digest == caller.digest

    def _by_key(self, text: str, request: Request[Any, Any], origin: Origin) -> Caller:
        key = self.admin_key(text, request)
        return Caller(key.id, key.name, origin.address, "key", key.digest)

    def _by_session(self, request: Request[Any, Any], origin: Origin) -> Caller:
        text = read_cookie(request, origin)
        if not text:
            raise RequestError(
                401, "unauthorized", "Send an admin key in the header X-API-Key or Authorization: Bearer, or log in."
            )
        found = self._logins.find(text)
        if found is None:
            raise RequestError(401, "session_ended", "The session has ended: log in again.")
        check_origin(request, origin, change=is_change(request))
        shown = request.headers.get(CSRF_HEADER) or ""
        if is_change(request) and not hmac.compare_digest(csrf_token(text).encode(), shown.encode("utf-8", "replace")):
            raise RequestError(403, "csrf", "Send the session's token in the header X-CSRF-Token with every change.")
        _, key = found
        return Caller(key.id, key.name, origin.address, "session", cookie=text)

    def _log(self, address: str, error: RequestError) -> None:
        held_back = self._throttle.allow(f"{source(address)} {error.status}", asyncio.get_running_loop().time())
        if held_back is not None:
            logger.warning("Refused {} from the admin API: {} ({} more before)", address, error.code, held_back)


def _own_name(host: str) -> bool:
    """Whether no stranger can have a name like this lead here (DNS rebinding): it is none of the public DNS."""
    name = host.rpartition(":")[0] if _PORT.search(host) else host
    if "." not in name or name.lower().endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _bearer(request: Request[Any, Any]) -> str:
    scheme, _, rest = (request.headers.get("authorization") or "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""
