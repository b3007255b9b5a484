"""A transport by way of a NATS server, for clusters that have outgrown a connection between each two nodes.

Each instance subscribes to subjects of its own, and writes to those of the instances that the view names. Against the
mesh of websockets it promises less and asks for more: a server to run and to keep up, without which nothing passes; one
hop more; and core NATS delivers at most once, so a message can be lost while the peer stays up. It is never reordered
or doubled. Who may publish to the server is no node for that: see transports/nats_transport.py.

nats-py is an optional dependency (`wsplatform[nats]`), imported when this transport is chosen.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from wsplatform.errors import StartError
from wsplatform.transports.base import TransportContext

if TYPE_CHECKING:
    from wsplatform.transports.nats_transport import NatsTransport


def create(context: TransportContext) -> NatsTransport:
    """Raises StartError, code nats_missing."""
    if find_spec("nats") is None:
        raise StartError("nats_missing", "The transport nats needs nats-py: pip install 'wsplatform[nats]'")
    from wsplatform.transports.nats_transport import NatsTransport  # noqa: PLC0415 - imports nats-py

    return NatsTransport(context)
