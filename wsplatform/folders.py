"""Locks on folders, and temporary folders that are gone when their process is, however it ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wsplatform.errors import StartError

PREFIX: Final = "wsplatform-"
_LOCK: Final = "lock"
_LONGEST_SOCKET: Final = 107  # bytes of the path of a unix socket
_OWN: Final = len(f"/{PREFIX}12345678/")


@contextlib.contextmanager
def temporary_folder(room: int) -> Iterator[Path]:
    """A new folder, for its owner only, that goes at the end. Those of processes that were killed go now.

    It is in /tmp where the usual place would leave less than `room` bytes for the name of a unix socket in it.
    Raises StartError `no_temporary_folder`.
    """
    path, lock = _make(room)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def open_lock(path: Path) -> int:
    """The descriptor of a file to be locked."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def locked(lock: int) -> bool:
    """Take the lock, which ends with the process; False: somebody else has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make(room: int) -> tuple[Path, int]:
    """The folder, and the lock on it."""
    try:
        parent = Path(tempfile.gettempdir())
        if len(os.fsencode(parent)) + _OWN + room > _LONGEST_SOCKET:
            parent = Path("/tmp")  # noqa: S108 - the folder made in it is private
        _sweep(parent)
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise no_folder(error) from error
    try:
        lock = open_lock(path / "lock.new")
        locked(lock)
        (path / "lock.new").rename(path / _LOCK)  # locked before anybody else's sweep can find it
    except OSError as error:
        shutil.rmtree(path, ignore_errors=True)
        raise no_folder(error) from error
    return path, lock


def no_folder(error: OSError) -> StartError:
    message = f"No temporary folder can be made ({error.strerror}): set TMPDIR to a folder that can be written to."
    return StartError("no_temporary_folder", message)


def _sweep(parent: Path) -> None:
    for path in parent.glob(f"{PREFIX}*/{_LOCK}"):
        folder = path.parent
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            lock = open_lock(path)
            try:
                if locked(lock):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
