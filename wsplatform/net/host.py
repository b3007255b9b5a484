"""This host, as others know it."""

from __future__ import annotations

import re
import secrets
import socket

_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised, not bound


def new_node_id() -> str:
    """The host's name and a random ending, as a node id."""
    name = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()).strip("-.")[:40] or "node"
    return f"{name}-{secrets.token_hex(3)}"


def address_of(scheme: str, host: str, listener: socket.socket) -> str:
    """scheme://host:port of a TCP listener that was bound to `host`, as other hosts can be expected to reach it."""
    port = listener.getsockname()[1]
    name = _own_address() if host in _EVERYWHERE else host
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}"


def near_address_of(scheme: str, host: str, listener: socket.socket) -> str:
    """As `address_of`, for this host itself."""
    near = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
    return address_of(scheme, near.get(host, host), listener)


def _own_address() -> str:
    """The address that this host's name stands for."""
    try:
        address: str = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)[0][4][0]  # type: ignore[assignment]
    except OSError:
        return "127.0.0.1"
    return address
