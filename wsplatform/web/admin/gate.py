"""Who is let into the admin API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from loguru import logger
from sanic import Request

from wsplatform.core.keys import KeyRing
from wsplatform.core.throttle import Throttle
from wsplatform.errors import RequestError
from wsplatform.model import ApiKey

_LOG_SECONDS: Final = 60.0


class Keys(Protocol):
    """registry/configuration.py: Configuration."""

    @property
    def ring(self) -> KeyRing: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the key, by id and name, the address that the request came from, and how the key was shown.

    digest: of the key; the id alone may come back with another one (that of the settings).
    """

    key_id: str
    name: str
    address: str
    via: Literal["key"]
    digest: str = field(repr=False)


class Gate:
    """Lets admins in. Not a middleware: a route without its gate must not come about by an oversight."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._throttle = Throttle(_LOG_SECONDS)

    def admit(self, request: Request[Any, Any]) -> Caller:
        """Raises RequestError 401 or 403."""
        try:
            key = _key(request, self._keys.ring)
        except RequestError as error:
            self._log(request, error)
            raise
        return Caller(key.id, key.name, request.ip, "key", key.digest)

    def holds(self, caller: Caller) -> bool:
        """Whether what `caller` was let in with would let it in now."""
        key = self._keys.ring.get(caller.key_id)
        return key is not None and key.digest == caller.digest

    def _log(self, request: Request[Any, Any], error: RequestError) -> None:
        held_back = self._throttle.allow(f"{request.ip} {error.status}", asyncio.get_running_loop().time())
        if held_back is not None:
            logger.warning("Refused {} from the admin API: {} ({} more before)", request.ip, error.code, held_back)


def _key(request: Request[Any, Any], ring: KeyRing) -> ApiKey:
    """The admin key that the request came with, in X-API-Key or `Authorization: Bearer`."""
    text = request.headers.get("x-api-key") or _bearer(request)
    if not text:
        raise RequestError(401, "unauthorized", "Send an admin key in the header X-API-Key or Authorization: Bearer.")
    key = ring.find(text)
    if key is None:
        raise RequestError(401, "unauthorized", "This key is not known: it is mistyped, or was revoked.")
    if "admin" not in key.scopes:
        raise RequestError(403, "forbidden", "This key has no scope admin: use an admin key.")
    return key


def _bearer(request: Request[Any, Any]) -> str:
    scheme, _, rest = (request.headers.get("authorization") or "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""
