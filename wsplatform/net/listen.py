"""Listening sockets: TCP, a group of them on one port, and unix sockets."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wsplatform.core.steering import INSTRUCTION, program
from wsplatform.errors import StartError

BACKLOG: Final = 4096
LONGEST_PATH: Final = 107
"""Bytes of a unix socket's path (unix(7): 108 with the zero at the end)."""

_ATTACH_PROGRAM: Final = 51  # SO_ATTACH_REUSEPORT_CBPF, which the socket module does not name
_PROGRAM: Final = struct.Struct("HP")  # struct sock_fprog


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one.

    Raises StartError `port_in_use`, `port_forbidden` or `address_unusable`.
    """
    listener = _bound(host, port)
    _listen([listener], host, port)
    return listener


def bind_group(host: str, port: int, count: int) -> list[socket.socket]:
    """As `bind`, but `count` sockets on one port; a new connection goes to one of them, by a hash or as `steer` says.

    The first is bound alone and made to share afterwards: sockets that share from the beginning would join those of
    another program that shares the same port, without a word.
    """
    with contextlib.ExitStack() as failed:
        listeners = [failed.enter_context(_bound(host, port))]
        _share(listeners[0])
        port = listeners[0].getsockname()[1]
        while len(listeners) < count:
            listeners.append(failed.enter_context(_bound(host, port, shared=True)))
        failed.pop_all()
    _listen(listeners, host, port)
    return listeners


def steer(member: socket.socket, chosen: Sequence[int]) -> None:
    """Let the kernel give new connections to the sockets `chosen` of the group that `member` is of, by their numbers.

    Connections that wait to be accepted stay where they are. Raises OSError where the kernel cannot be told.
    """
    code = program(chosen)
    memory = ctypes.create_string_buffer(code, len(code))
    length = len(code) // INSTRUCTION.size
    member.setsockopt(socket.SOL_SOCKET, _ATTACH_PROGRAM, _PROGRAM.pack(length, ctypes.addressof(memory)))


def socket_path(folder: Path, node_id: str) -> Path:
    """Where, in a folder that the nodes of one host share, a node listens for the others."""
    return folder / f"{node_id}.sock"


def bind_unix(path: Path) -> socket.socket:
    """A listening unix socket in place of what an earlier run has left there. Raises StartError `address_unusable`."""
    size = len(os.fsencode(path))
    if size > LONGEST_PATH:
        raise StartError(
            "address_unusable",
            f"{path} is no path for a socket: it has {size} bytes, and {LONGEST_PATH} are the most."
            " Set TMPDIR to a folder with a shorter name, or node.id to a shorter one.",
        )
    listener = socket.socket(socket.AF_UNIX)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError("address_unusable", f"Cannot listen on {path} ({error.strerror}): set TMPDIR.") from error
    listener.setblocking(False)
    return listener


def _bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: no name at all
        raise StartError("address_unusable", f"{host} is no address of this machine: change node.host.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            _share(listener)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error
    return listener


def _share(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _listen(listeners: Sequence[socket.socket], host: str, port: int) -> None:
    """All or none. It is here that a port is taken from another one who has bound it as well, with SO_REUSEADDR."""
    try:
        for listener in listeners:
            listener.listen(BACKLOG)
            listener.setblocking(False)
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise _cannot_listen(host, port, error) from error


def _cannot_listen(host: str, port: int, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return StartError("port_in_use", f"Port {port} of {host} is in use: stop the other program or choose --port.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StartError("port_forbidden", f"Port {port} needs more rights: choose a port from 1024.")
    return StartError("address_unusable", f"Cannot listen on {host}:{port} ({error.strerror}): change node.host.")
