"""Logins: what stands behind the cookie of a person who has shown an admin key, and how long that lasts.

The cookie holds 256 random bits. Three values are derived from them by HMAC-SHA-256 (RFC 2104): the digest that is
stored and looked up, the token that changes must be sent with, and the binding to the key, which shows that the key is
still the same one without telling anything about it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from wsplatform.model import ApiKey

RANDOM_BYTES: Final = 32
LIFETIME: Final = 12 * 3600.0
IDLE: Final = 3600.0
PER_KEY: Final = 20
"""Logins of one key at once, so that it pushes out nobody else's; the one that was unused for longest makes room."""

AT_ONCE: Final = 1000
_TEXT: Final = re.compile(r"[0-9a-f]{64}")


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """created_at, used_at: seconds since 1970."""

    digest: str
    key_id: str
    binding: str
    created_at: float
    used_at: float

    def lasts(self, now: float) -> bool:
        """Not one of the future either: of a clock that was years ahead, it would last for years."""
        return self.created_at - IDLE < now < self.ends_at and self.used_at - IDLE < now < self.used_at + IDLE

    @property
    def ends_at(self) -> float:
        """When it ends however much it is used."""
        return self.created_at + LIFETIME


def new_login(random: bytes, key: ApiKey, now: float) -> tuple[str, Login]:
    """The text for the cookie, and what is kept, from RANDOM_BYTES fresh random bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a login is made of {RANDOM_BYTES} random bytes")
    text = random.hex()
    login = Login(digest=digest(text), key_id=key.id, binding=_binding(text, key), created_at=now, used_at=now)
    return text, login


def digest(text: str) -> str:
    """What is stored of a cookie's text. Empty where it cannot be one: there is no such login."""
    return _derived(text, "login") if _TEXT.fullmatch(text) else ""


def csrf_token(text: str) -> str:
    return _derived(text, "csrf")


def opens(text: str, login: Login, key: ApiKey | None) -> bool:
    """Whether `login`, found by its digest, belongs to `text` and to `key` as it is now, an admin's."""
    same = hmac.compare_digest(login.digest, digest(text))
    return (
        same and key is not None and "admin" in key.scopes and hmac.compare_digest(login.binding, _binding(text, key))
    )


def surplus(logins: Iterable[Login], key_id: str, *, per_key: int = PER_KEY, at_once: int = AT_ONCE) -> set[str]:
    """Digests of those that make room for one more of `key_id`."""
    by_use = sorted(logins, key=lambda login: login.used_at, reverse=True)
    kept_of_key = [login for login in by_use if login.key_id == key_id][: per_key - 1]
    gone = {login.digest for login in by_use if login.key_id == key_id} - {login.digest for login in kept_of_key}
    rest = [login.digest for login in by_use if login.digest not in gone]
    return gone | set(rest[at_once - 1 :])


def _binding(text: str, key: ApiKey) -> str:
    return _derived(text, f"key {key.digest}")


def _derived(text: str, use: str) -> str:
    return hmac.new(text.encode(), f"wsplatform {use}".encode(), hashlib.sha256).hexdigest()
