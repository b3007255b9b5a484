"""Where a request comes from, behind proxies that are trusted or none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from sanic import Request

from wsplatform.errors import SettingsError

UNKNOWN = "unknown"
_FORWARDING = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded", "via")

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Origin:
    """address: of the client, without port; UNKNOWN where there is none. secure: it speaks TLS, with us or a proxy.

    local: it is on this host, and nobody is in between who is not trusted to say so.
    """

    address: str
    secure: bool
    local: bool


class Proxies:
    """Proxies whose X-Forwarded-… is believed (settings.ProxyTable). Raises SettingsError for what is no address."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._networks = tuple(_network(text) for text in trusted)

    def client(self, remote: str, forwarded_for: str) -> str:
        """The last value of X-Forwarded-For when a trusted proxy sent it, else `remote`, the connection's other end."""
        if not self._trusts(remote):
            return remote
        forwarded = _address(_last(forwarded_for))
        return remote if forwarded is None else str(forwarded)

    def origin(self, request: Request[Any, Any]) -> Origin:
        headers = request.headers
        forwarded_for = ", ".join(headers.getall("x-forwarded-for", ()))
        address = self.client(request.ip, forwarded_for)
        trusted = self._trusts(request.ip)
        # A proxy that nobody told us of, or that does not say for whom, makes the whole world look like its own host.
        named = trusted and _address(_last(forwarded_for)) is not None
        hidden = not named and any(name in headers for name in _FORWARDING)
        forwarded = trusted and _last(",".join(headers.getall("x-forwarded-proto", ()))).lower() == "https"
        transport: Any = request.transport
        known = _address(address)
        return Origin(
            address=address or UNKNOWN,
            secure=forwarded or transport.get_extra_info("sslcontext") is not None,
            local=known is not None and known.is_loopback and not hidden,
        )

    def _trusts(self, remote: str) -> bool:
        address = _address(remote) if self._networks else None
        return address is not None and any(address in network for network in self._networks)


def _last(values: str) -> str:
    return values.rpartition(",")[2].strip()


def _network(text: str) -> _Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise SettingsError("proxy.trusted", repr(text), "an IP address or network, like 10.0.0.0/8") from None


def _address(text: str) -> _Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
