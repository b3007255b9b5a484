"""HAProxy's files: written whole beside their place, then renamed into it. Blocking: for a thread."""

from __future__ import annotations

import binascii
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha1
from pathlib import Path

from wsplatform.core.haproxy_config import MARK
from wsplatform.core.haproxy_sections import SECTIONS, Snippets
from wsplatform.errors import PlatformError
from wsplatform.folders import locked, open_lock

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def claim(path: Path) -> int | None:
    """A descriptor that says for this process that it keeps the configuration at `path`; it ends with the process.

    None: there can be none in that folder. Raises PlatformError, code haproxy_contested.
    """
    try:
        lock = open_lock(path.with_name(f".{path.name}.lock"))
    except OSError:
        return None
    if locked(lock):
        return lock
    os.close(lock)
    message = (
        f"Another process of wsplatform keeps the HAProxy of {path}: stop one of them, or give each its own HAProxy."
    )
    raise PlatformError("haproxy_contested", message, temporary=True)


def read(path: Path) -> str | None:
    """The file's text, None when there is no file. Raises PlatformError."""
    with _told(path):
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None


def snippets(folder: str) -> Snippets:
    """A user's own lines; none for "". Raises PlatformError, code haproxy_snippets."""
    if not folder:
        return Snippets()
    try:
        found = {path.stem: path for path in sorted(Path(folder).iterdir()) if path.suffix == ".cfg"}
        strange = sorted(found.keys() - set(SECTIONS))
        if strange:
            names = ", ".join(f"{section}.cfg" for section in SECTIONS)
            raise PlatformError("haproxy_snippets", f"{found[strange[0]]} is none of {names}: rename or remove it.")
        return Snippets({name: found[name].read_text(encoding="utf-8") for name in SECTIONS if name in found})
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"The snippets in {folder} cannot be read ({why}): correct haproxy.snippets, or the folder's rights."
        raise PlatformError("haproxy_snippets", message) from error


def fingerprint(pem: Path) -> tuple[str, str]:
    """What a PEM file holds, and the SHA-1 of its first certificate in hex, "" where it has none.

    Raises PlatformError, code haproxy_certificate_unreadable.
    """
    try:
        text = pem.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        message = f"The certificate {pem} cannot be read ({error.strerror}): HAProxy goes on with the one it has."
        raise PlatformError("haproxy_certificate_unreadable", message) from error
    _, begin, rest = text.partition(_BEGIN)
    body, end, _ = rest.partition(_END)
    if not (begin and end):
        return text, ""
    try:
        encoded = binascii.a2b_base64("".join(body.split()), strict_mode=True)
    except binascii.Error:
        return text, ""
    return text, sha1(encoded, usedforsecurity=False).hexdigest().upper()


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
