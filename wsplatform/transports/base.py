"""The port for transports: everything that the author of a transport has to know.

A transport carries opaque envelopes between nodes: each arrives whole, at most once, in the order of sending, or not at
all. It knows nothing of channels, sequence numbers, acknowledgement or replay; those live above, once for all transports.

A transport is found by entry point, group `wsplatform.transports`: a name (the setting cluster.transport) and a callable
`(TransportContext) -> Transport`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from wsplatform.model import Instance
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.net.upgrade import Acceptor
from wsplatform.settings import ClusterTable


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node (or oneself) as a transport sees it. `address` is a URL; empty: it cannot be dialled, it dials."""

    instance: Instance
    address: str = ""

    @property
    def id(self) -> str:
        return self.instance.node_id


class TransportEvents(Protocol):
    """What a transport tells its owner. Calls are synchronous, on the event loop, and never raise.

    For one peer: up, any number of received, down; then perhaps up again. Nothing is told after stop() has returned.
    """

    def up(self, peer: Peer) -> None:
        """Envelopes can be sent to this peer now."""

    def received(self, peer_id: str, envelope: bytes) -> None:
        """One whole envelope of a peer that is up."""

    def down(self, peer: Peer, why: str) -> None:
        """The peer cannot be reached any more; what was sent and had not arrived may be lost."""


class Transport(Protocol):
    """Carries envelopes to all peers that it was given, except to itself."""

    async def start(self, local: Peer, events: TransportEvents) -> None:
        """Begin as `local`. Raises StartError when that cannot work."""

    async def stop(self) -> None:
        """Close everything. Idempotent; no event comes after it has returned."""

    def set_peers(self, peers: frozenset[Peer]) -> None:
        """The peers to be connected with, oneself perhaps among them (ignored). Replaces the earlier set.

        A peer that is not in the set any more is dropped; one whose incarnation changed is dropped and connected anew.
        """

    def send(self, peer_id: str, envelope: bytes) -> bool:
        """Hand over one envelope; never waits. False: not accepted (not up, or too much is waiting), the caller keeps it."""
        ...


@runtime_checkable
class Inbound(Protocol):
    """Optional ability: websocket endpoints on the node face, by path; each path begins with /cluster/."""

    def acceptors(self) -> Mapping[str, Acceptor]: ...


@dataclass(frozen=True, slots=True)
class TransportContext:
    """What a transport may use: the [cluster] settings, and the process's helpers for tasks and deadlines."""

    settings: ClusterTable
    tasks: Tasks
    sweep: Sweep
