"""What the local cluster keeps: its keys and the registry's database, in a folder of the user's."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from wsplatform.errors import StartError
from wsplatform.folders import locked, open_lock

_LOCK = "lock"
_KEYS = "keys.json"


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cluster's secrets; `api_key` is empty until the registry has made one."""

    cluster_secret: str
    token_secret: str
    admin_key: str
    api_key: str = ""


def new_keys() -> Keys:
    return Keys(secrets.token_hex(32), secrets.token_hex(32), secrets.token_hex(32))


def read_keys(folder: Path) -> Keys | None:
    """None: there are none yet. Raises StartError `data_unusable`."""
    try:
        return msgspec.json.decode((folder / _KEYS).read_bytes(), type=Keys)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise _unusable(folder / _KEYS, error) from error


def write_keys(folder: Path, keys: Keys) -> None:
    """For the owner only, whole or not at all. Raises StartError `data_unusable`."""
    beside = folder / f".{_KEYS}.new"
    try:
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(keys), indent=2) + b"\n")
        beside.replace(folder / _KEYS)
    except OSError as error:
        raise _unusable(folder, error) from error


@contextlib.contextmanager
def data_folder(path: Path) -> Iterator[Path]:
    """The user's folder, made when it is missing, for one cluster at a time. Raises StartError."""
    path = path.absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = open_lock(path / _LOCK)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        if not locked(lock):
            raise StartError("data_in_use", f"Another cluster uses {path}: stop it, or choose another --data.")
        yield path
    finally:
        os.close(lock)


def _unusable(path: Path, error: Exception) -> StartError:
    why = getattr(error, "strerror", None) or "it was changed by somebody else"
    return StartError("data_unusable", f"{path} cannot be used ({why}): mend it, or choose another --data.")
