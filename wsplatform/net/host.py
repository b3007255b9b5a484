"""This host, as others know it."""

from __future__ import annotations

import re
import secrets
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised, not bound


def new_node_id() -> str:
    """The host's name and a random ending, as a node id."""
    name = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()).strip("-.")[:40] or "node"
    return f"{name}-{secrets.token_hex(3)}"


def address_of(scheme: str, host: str, listener: socket.socket, registry: str = "") -> str:
    """scheme://host:port of a TCP listener that was bound to `host`, as other hosts can be expected to reach it.

    registry: the URL of the registry, for a host that stands for all addresses: nodes that find the registry in one
    network are taken to find each other there, too.
    """
    port = listener.getsockname()[1]
    name = _own_address(registry) if host in _EVERYWHERE else host
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}"


def near_address_of(scheme: str, host: str, listener: socket.socket) -> str:
    """As `address_of`, for this host itself."""
    near = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
    return address_of(scheme, near.get(host, host), listener)


def _own_address(registry: str) -> str:
    """This host's address on the way to the registry; where that is on this host, the one that its name stands for."""
    found = _address_towards(urlsplit(registry).hostname or "127.0.0.1")
    if not ip_address(found).is_loopback:
        return found
    try:
        address: str = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)[0][4][0]  # type: ignore[assignment]
    except OSError:
        return found
    return address


def _address_towards(host: str) -> str:
    """The address from which this host would send to `host`. Connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address
