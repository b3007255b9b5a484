"""HAProxy's files: written whole beside their place, then renamed into it. Blocking: for a thread."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsplatform.core.haproxy_config import MARK
from wsplatform.errors import PlatformError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def read(path: Path) -> str | None:
    """The file's text, None when there is no file. Raises PlatformError."""
    with _told(path):
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None


def changed_at(path: Path) -> float:
    """Seconds since the epoch. Raises PlatformError."""
    with _told(path):
        return path.stat().st_mtime


def write_beside(path: Path, text: str) -> Path:
    """A file with `text`, on disk, from which `path` can be replaced. Raises PlatformError; then nothing is left."""
    beside = path.with_name(f".{path.name}.new")
    with _told(path):
        beside.unlink(missing_ok=True)
        # Made anew and never through a link, for the folder may belong to another account.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
    return beside


def put_in_place(beside: Path, path: Path) -> None:
    """Replace `path` by what `write_beside` made. Raises PlatformError."""
    with _told(path):
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def keep_foreign(path: Path) -> None:
    """Save a configuration that somebody else wrote, once, as `path`.orig. Raises PlatformError."""
    original = path.with_name(f"{path.name}.orig")
    with _told(path):
        if original.exists() or not path.is_file():
            return
        with path.open("rb") as file:
            ours = file.read(len(MARK)) == MARK.encode()
        if not ours:
            shutil.copy2(path, original)


def discard(beside: Path) -> None:
    """Remove what `write_beside` made; if that cannot be, the next `write_beside` says so."""
    with suppress(OSError):
        beside.unlink()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: OSError) -> PlatformError:
    if error.errno in _FULL:
        return PlatformError(
            "haproxy_disk_full", f"The disk of {path.parent} is full: free some space.", temporary=True
        )
    if error.errno == errno.EBUSY:
        message = f"{path} cannot be replaced: mount its folder into the container, not the file itself."
        return PlatformError("haproxy_not_writable", message)
    message = f"{path} cannot be written ({error.strerror}): let this process write to {path.parent}."
    return PlatformError("haproxy_not_writable", message)
