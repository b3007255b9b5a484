"""The sockets of a process, and how others reach them."""

from __future__ import annotations

import re
import secrets
import socket
from dataclasses import dataclass

from wsplatform.model import Instance
from wsplatform.settings import Settings
from wsplatform.web.server import bind

_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised, not bound


@dataclass(frozen=True, slots=True)
class Addresses:
    """client: of clients, backends and operators. node: of the node face, None where it shares the clients' socket.

    client_url: http://host:port as the load balancer reaches it; cluster_url: ws://host:port as other nodes do.
    """

    client: socket.socket
    node: socket.socket | None
    client_url: str
    cluster_url: str

    def close(self) -> None:
        self.client.close()
        if self.node is not None:
            self.node.close()


def open_addresses(settings: Settings) -> Addresses:
    """Listen. Raises StartError `port_in_use`, `port_forbidden` or `address_unusable`."""
    client = bind(settings.node.host, settings.node.port)
    try:
        node = bind(settings.cluster.host, settings.cluster.port) if settings.cluster.port else None
    except BaseException:
        client.close()
        raise
    own = _url("http", settings.node.host, client)
    mesh = _url("ws", settings.cluster.host, node) if node else _url("ws", settings.node.host, client)
    return Addresses(client, node, settings.node.url or own, settings.cluster.url or mesh)


def new_instance(settings: Settings) -> Instance:
    """This run of the node. Without a configured id, the host's name and a random ending make one."""
    node_id = settings.node.id
    if not node_id:
        name = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()).strip("-.")[:40] or "node"
        node_id = f"{name}-{secrets.token_hex(3)}"
    return Instance(node_id, secrets.token_hex(8))


def _url(scheme: str, host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    name = _own_address() if host in _EVERYWHERE else host
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}"


def _own_address() -> str:
    """The address that this host's name stands for, which other hosts of the network can be expected to reach."""
    try:
        address: str = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)[0][4][0]  # type: ignore[assignment]
    except OSError:
        return "127.0.0.1"
    return address
