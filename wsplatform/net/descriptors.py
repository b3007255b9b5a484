"""File descriptors: how many this process may open, and how many of them strangers may take.

Each connection is one. Without any left a node could reach neither its registry nor a peer that comes back, nor open
the files of its database: those who are connected would be cut off by those who want to be.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from typing import Final

_LEAST: Final = 64
_MOST: Final = 1024
_SHARE: Final = 16


@dataclass(frozen=True, slots=True)
class Room:
    """clients: websockets that may be open; one more is told so. connections: of whatever kind, at the clients'
    address; one more is closed without a word, for a word takes a descriptor while it is read."""

    clients: int
    connections: int


def take_all() -> None:
    """Raise the limit (RLIMIT_NOFILE) as far as this process may by itself.

    Shells and systemd give 1024 for the sake of programs that use select(2), and keep the rest for those that ask.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def room() -> Room:
    """What the process's limit (RLIMIT_NOFILE) leaves."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Room(sys.maxsize, sys.maxsize) if limit == resource.RLIM_INFINITY else room_of(limit)


def room_of(limit: int) -> Room:
    """Of so many descriptors."""
    reserve = min(limit // 2, max(_LEAST, min(_MOST, limit // _SHARE)))
    return Room(limit - reserve, limit - reserve // 2)
