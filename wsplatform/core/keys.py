"""API keys: `wsp_<id>_<secret>`, the id to find a key by, the secret 256 random bits. Only the text's SHA-256 is kept.

A plain hash is enough because a key is random and long: there is nothing to guess that a slow hash would protect.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from wsplatform.model import ApiKey, Scope

ID_BYTES = 8
SECRET_BYTES = 32
RANDOM_BYTES = ID_BYTES + SECRET_BYTES
SETTINGS_KEY_ID = "settings"
"""The id of the key that stands in the settings; no generated id looks like it."""

_PREFIX = "wsp"
_NO_DIGEST = "0" * 64


def digest(text: str) -> str:
    """The SHA-256 of a key's text, in hexadecimal. Any text at all is accepted."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def new_key(random: bytes, name: str, scopes: tuple[Scope, ...], channels: tuple[str, ...] = ()) -> tuple[str, ApiKey]:
    """The text to hand out once, and the key to keep, from RANDOM_BYTES fresh random bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} random bytes")
    key_id = random[:ID_BYTES].hex()
    text = f"{_PREFIX}_{key_id}_{random[ID_BYTES:].hex()}"
    return text, ApiKey(id=key_id, name=name, digest=digest(text), scopes=scopes, channels=channels)


def settings_key(text: str) -> ApiKey:
    """The admin key of the settings: any text, which needs no row in the database."""
    return ApiKey(id=SETTINGS_KEY_ID, name="registry.admin_key", digest=digest(text), scopes=("admin",))


class KeyRing:
    """Keys to be asked whether a text is one of them."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = {key.id: key for key in keys}

    def find(self, text: str) -> ApiKey | None:
        """The key whose text this is. Its time does not depend on how much of a digest is right."""
        wanted = digest(text)
        found = None
        for key_id in (_id_of(text), SETTINGS_KEY_ID):
            key = self._keys.get(key_id)
            if hmac.compare_digest(key.digest if key else _NO_DIGEST, wanted) and key is not None:
                found = key
        return found

    def get(self, key_id: str) -> ApiKey | None:
        """The key of this id: for who has shown its text before."""
        return self._keys.get(key_id)

    def __len__(self) -> int:
        return len(self._keys)


def _id_of(text: str) -> str:
    parts = text.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == _PREFIX else ""
