"""What waits for a peer that does not read."""

from __future__ import annotations

from collections import deque

CHUNK = 65_536
"""Bytes of one write, about: what the transport has taken cannot be dropped any more."""


class Outbox:
    """Whole frames, in order. `size`: their bytes."""

    __slots__ = ("_frames", "size")

    def __init__(self) -> None:
        self._frames: deque[bytes | bytearray] = deque()
        self.size = 0

    def put(self, frames: bytes | bytearray) -> None:
        self._frames.append(frames)
        self.size += len(frames)

    def take(self) -> bytes:
        """The next frames, joined: at least one, and more up to `CHUNK` bytes."""
        taken = [self._frames.popleft()]
        size = len(taken[0])
        while self._frames and size + len(self._frames[0]) <= CHUNK:
            size += len(self._frames[0])
            taken.append(self._frames.popleft())
        self.size -= size
        return b"".join(taken)

    def clear(self) -> None:
        self._frames.clear()
        self.size = 0
