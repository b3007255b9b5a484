"""Whom this node dials, and how often: shared by the transports that have one connection between each two nodes.

Of two nodes the one with the lower id dials, unless the other has no address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from wsplatform.core.backoff import Backoff
from wsplatform.model import Instance
from wsplatform.net.tasks import Tasks
from wsplatform.transports.base import Peer

_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 3.0
_LEFT_WAIT: Final = 1.5


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a connection ended. was_up: it carried envelopes; peer_left: the other side has stopped in order."""

    was_up: bool
    peer_left: bool


class Dialling:
    """The peers of the view, and a task for each that this side dials.

    connect: makes one connection with a peer and returns when it has ended. chance: from 0 to 1, for the jitter between
    two tries. name: of the tasks.
    """

    def __init__(
        self,
        tasks: Tasks,
        name: str,
        connect: Callable[[Peer], Coroutine[Any, Any, Attempt]],
        chance: Callable[[], float],
    ) -> None:
        self._tasks = tasks
        self._name = name
        self._connect = connect
        self._chance = chance
        self._local: Peer | None = None
        self._peers: dict[str, Peer] = {}
        self._diallers: dict[str, asyncio.Task[None]] = {}

    @property
    def local(self) -> Peer:
        """This node, from `begin` on."""
        assert self._local is not None
        return self._local

    def begin(self, local: Peer) -> None:
        self._local = local

    def finish(self) -> None:
        """Name no peer any more; connections that are there may end by themselves, and none follows."""
        self._peers = {}

    async def stop(self) -> None:
        """End what `finish` has left. Idempotent."""
        self.finish()
        tasks = tuple(self._diallers.values())
        self._diallers = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def set_peers(self, peers: frozenset[Peer], drop: Callable[[Peer], None]) -> None:
        """Dial these from now on. `drop` is called for each that is not among them any more, while it still counts."""
        named = {peer.id: peer for peer in peers if peer.id != self.local.id}
        for peer in [peer for peer in self._peers.values() if named.get(peer.id) != peer]:
            dialler = self._diallers.pop(peer.id, None)
            if dialler is not None:
                dialler.cancel()
            drop(peer)
        self._peers = named
        for peer in named.values():
            if self.dials(peer) and peer.id not in self._diallers:
                self._diallers[peer.id] = self._tasks.start(self._keep(peer), name=f"{self._name} of {peer.id}")

    def named(self, instance: Instance) -> Peer | None:
        """The peer of the view that is this very instance."""
        peer = self._peers.get(instance.node_id)
        return peer if peer is not None and peer.instance == instance else None

    def dials(self, peer: Peer) -> bool:
        """Whether it is this side that dials."""
        return bool(peer.address) and (self.local.id < peer.id or not self.local.address)

    async def _keep(self, peer: Peer) -> None:
        """One connection after the other, for as long as the view names the peer."""
        backoff = Backoff(_FIRST_WAIT, _LONGEST_WAIT)
        loop = asyncio.get_running_loop()
        while self._peers.get(peer.id) == peer:
            began = loop.time()
            attempt = await self._connect(peer)
            # One that is ended again and again, each time it is up, must not be dialled at full speed.
            if attempt.was_up and loop.time() - began > _LONGEST_WAIT:
                backoff.reset()
            # A peer that has stopped will soon be out of the view, and this task with it.
            await asyncio.sleep(_LEFT_WAIT if attempt.peer_left else backoff.next(self._chance()))
