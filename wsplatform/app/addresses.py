"""The sockets of a process, and how others reach them."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from wsplatform.model import Instance
from wsplatform.net.host import address_of, new_node_id
from wsplatform.net.listen import bind, bind_unix, socket_path
from wsplatform.settings import Settings


@dataclass(frozen=True, slots=True)
class Inherited:
    """What the supervisor of several nodes gives to one of them.

    clients: the socket of clients, which shares its port with those of the others. folder: where the nodes of this
    host reach each other through unix sockets; None for a registry, which has no part in that.
    """

    clients: socket.socket
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Addresses:
    """client: of clients, backends and operators. node: of the node face, None where it shares the clients' socket.

    local: of the node face for nodes of this host, in `folder`; None where the process is the only one.
    client_url: http://host:port as the load balancer reaches it; cluster_url: ws://host:port as other nodes do,
    wss:// where the node face has TLS.
    """

    client: socket.socket
    node: socket.socket | None
    local: socket.socket | None
    folder: Path | None
    client_url: str
    cluster_url: str

    def close(self) -> None:
        for listener in (self.client, self.node, self.local):
            if listener is not None:
                listener.close()


def open_addresses(settings: Settings, inherited: Inherited | None = None) -> Addresses:
    """Listen. Raises StartError `port_in_use`, `port_forbidden` or `address_unusable`."""
    with ExitStack() as failed:
        client = failed.enter_context(inherited.clients if inherited else bind(settings.node.host, settings.node.port))
        folder = inherited.folder if inherited else None
        node = local = None
        if folder is not None:
            local = failed.enter_context(bind_unix(socket_path(folder, settings.node.id)))
        if folder is not None or settings.cluster.port:
            # A port that several nodes share cannot be the one at which the others find this one.
            node = failed.enter_context(bind(settings.cluster.host, settings.cluster.port))
        failed.pop_all()
    registry = settings.registry.url
    own = address_of("http", settings.node.host, client, registry)
    face, host = (node, settings.cluster.host) if node else (client, settings.node.host)
    mesh = address_of("wss" if settings.cluster.tls_certificate else "ws", host, face, registry)
    return Addresses(client, node, local, folder, settings.node.url or own, settings.cluster.url or mesh)


def new_instance(settings: Settings) -> Instance:
    """This run of the node. Without a configured id, the host's name and a random ending make one."""
    return Instance(settings.node.id or new_node_id(), secrets.token_hex(8))
