"""Times the way of a publication to each peer and back: through the relay, the link and the transport, as any other.

Each node wants a channel of its own; what comes there is either a question, which goes back to the one who asked, or
the answer to one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

import msgspec
from loguru import logger
from msgspec import Raw

from wsplatform.core.canary import Canary, CanaryStatus
from wsplatform.core.metrics import Durations, Sample
from wsplatform.core.throttle import Throttle
from wsplatform.model import RESERVED_PREFIX, Publication

PREFIX: Final = f"{RESERVED_PREFIX}canary:"
_LOG_SECONDS: Final = 5.0


class Mesh(Protocol):
    """What the canary needs of node/relay.py."""

    def want(self, channel: str, done: Callable[[], None]) -> bool: ...
    def publish(self, channel: str, publication: Publication) -> None: ...


class _Note(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """asker: the node whose clock counts. answer: it is on its way back, from `answerer`."""

    asker: str
    answerer: str
    number: int
    answer: bool


_decode = msgspec.json.Decoder(_Note).decode
_encode = msgspec.json.Encoder().encode


class CanaryRounds:
    """A member of the sweep, every time. `interval`: seconds; `connected`: the peers that can be reached now."""

    deadline = 0.0

    def __init__(self, node_id: str, mesh: Mesh, connected: Callable[[], Iterable[str]], interval: float) -> None:
        self._node_id = node_id
        self._mesh = mesh
        self._connected = connected
        self._canary = Canary(interval)
        self._throttle = Throttle(_LOG_SECONDS)
        self._times = Durations()

    def start(self) -> None:
        """Once the relay has started."""
        self._mesh.want(PREFIX + self._node_id, _nothing)

    def expired(self, _: float) -> None:
        for peer_id, number in self._canary.due(self._connected(), time.monotonic()):
            self._send(peer_id, _Note(self._node_id, peer_id, number, answer=False))

    def received(self, publication: Publication) -> None:
        """What came on a channel that begins with PREFIX."""
        try:
            note = _decode(publication.data)
        except (msgspec.MsgspecError, ValueError):
            held = self._throttle.allow("", asyncio.get_running_loop().time())
            if held is not None:
                more = f" ({held} more like this)" if held else ""
                logger.warning("A canary cannot be read: run the same release on all nodes{}", more)
            return
        if not note.answer:
            self._send(note.asker, msgspec.structs.replace(note, answer=True))
        elif note.asker == self._node_id:
            # Not the loop's time, which on uvloop counts whole milliseconds
            seconds = self._canary.back(note.answerer, note.number, time.monotonic())
            if seconds is not None:
                self._times.add(seconds)

    def status(self, peer_id: str) -> CanaryStatus:
        return self._canary.status(peer_id)

    def measure(self) -> Iterator[Sample]:
        yield Sample("canary", self._times)
        for peer_id, late in self._canary.late():
            yield Sample("canaries_late", late, peer_id)

    def _send(self, peer_id: str, note: _Note) -> None:
        self._mesh.publish(PREFIX + peer_id, Publication(Raw(_encode(note))))


def _nothing() -> None:
    """Nobody waits until all peers know the channel."""
