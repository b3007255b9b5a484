"""The port for transports: everything that the author of a transport has to know.

A transport carries opaque envelopes between nodes: each arrives whole, at most once, in the order of sending, or not
at all. It knows nothing of channels, sequence numbers, acknowledgement or replay; those live above, once for all.

A transport is found by entry point, group `wsplatform.transports`: a name (the setting cluster.transport) and a
callable `(TransportContext) -> Transport`. `wsplatform.testing.transport_contract` proves that it keeps to this page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Protocol, runtime_checkable

from wsplatform.model import Instance
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.net.upgrade import Acceptor
from wsplatform.settings import ClusterTable, NatsTable


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

    For one peer: up, any number of received, down; then perhaps up again. up and down may be told inside set_peers(),
    down inside stop(), nothing inside send(). stop() tells down for every peer that is up; after that nothing is told.
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
        """Begin as `local`, once. Raises StartError when that cannot work."""

    async def stop(self) -> None:
        """Close everything. Idempotent; no event comes after it has returned."""

    def set_peers(self, peers: frozenset[Peer]) -> None:
        """The peers to be connected with, oneself perhaps among them (ignored). Replaces the earlier set.

        A peer that is not in the set any more is dropped; one whose incarnation changed is dropped and connected anew.
        """

    def send(self, peer_id: str, envelope: bytes) -> bool:
        """Hand over one envelope; never waits, never raises.

        False: not accepted (the peer is not up, too much is waiting for it, the envelope is larger than
        cluster.max_envelope_bytes), the caller keeps it.
        """
        ...


@runtime_checkable
class Inbound(Protocol):
    """Optional ability: websocket endpoints on the node face, by path; each path begins with /cluster/."""

    def acceptors(self) -> Mapping[str, Acceptor]: ...


@runtime_checkable
class Described(Protocol):
    """Optional ability: to say what carries the envelopes of a peer, where that is not always the same."""

    def carrier(self, peer_id: str) -> str:
        """A word, such as websocket, http or unix; empty when the peer is not up."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """A POST on the node face, of anybody who reaches it.

    query: what follows "?" in its target, as sent. remote: address of the other end of the TCP connection; "" on a unix
    socket. read(limit): its body, once; RequestError (413) when that is larger than `limit` bytes, of which no more are
    held at any time: ask little of who has not proved who he is.
    """

    path: str
    query: str
    remote: str
    read: Callable[[int], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call is answered with."""

    body: bytes = b""
    status: int = 200


CallHandler = Callable[[Call], Awaitable[Reply]]
"""Answers a call; may take its time. Cancelled when the connection of the caller ends.

A PlatformError becomes `{"error": {"code", "message"}}`, with the status of a RequestError; what else it raises is
logged and answered with 500.
"""


@runtime_checkable
class Answering(Protocol):
    """Optional ability: POST requests on the node face, by path; each path begins with /cluster/."""

    def calls(self) -> Mapping[str, CallHandler]: ...


@dataclass(frozen=True, slots=True)
class TransportContext:
    """What a transport may use: the [cluster] settings, and the process's helpers for tasks and deadlines.

    Of the settings, cluster.outbox_bytes bounds what may wait for one peer. neighbours: the folder in which the nodes
    of this host serve their node faces on unix sockets as well (net/listen.py, socket_path); None: there is none.
    tls: what wss:// and https:// peers are checked with, and shown (cluster.tls_…); None: the system's certificates.
    nats: the settings [nats].
    """

    settings: ClusterTable
    tasks: Tasks
    sweep: Sweep
    neighbours: Path | None = None
    tls: SSLContext | None = None
    nats: NatsTable = NatsTable()
