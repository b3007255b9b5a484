"""What the local cluster keeps: its keys and the registry's database, in a folder of the user's or a temporary one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from wsplatform.errors import StartError

PREFIX = "wsplatform-"
_LOCK = "lock"
_LONGEST_PARENT = 40
"""HAProxy's sockets are made below it, and the path of a socket has 107 bytes at most."""
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
        lock = _open_lock(path / _LOCK)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        if not _locked(lock):
            raise StartError("data_in_use", f"Another cluster uses {path}: stop it, or choose another --data.")
        yield path
    finally:
        os.close(lock)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder that goes at the end. Those of clusters that were killed go now."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > _LONGEST_PARENT:
        parent = Path("/tmp")  # noqa: S108 - the folder made in it is private
    _sweep(parent)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = _open_lock(path / "lock.new")
    try:
        _locked(lock)
        (path / "lock.new").rename(path / _LOCK)  # locked before anybody else's sweep can find it
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _sweep(parent: Path) -> None:
    for path in parent.glob(f"{PREFIX}*/{_LOCK}"):
        folder = path.parent
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            lock = _open_lock(path)
            try:
                if _locked(lock):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _locked(lock: int) -> bool:
    """Take the lock, which ends with the process."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unusable(path: Path, error: Exception) -> StartError:
    why = getattr(error, "strerror", None) or "it was changed by somebody else"
    return StartError("data_unusable", f"{path} cannot be used ({why}): mend it, or choose another --data.")
