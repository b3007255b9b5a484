"""How often each address may try to log in, whatever others do.

A bucket of tries for each address that fills again with time (the generic cell rate algorithm, ITU-T I.371): one number
for each. Keys cannot be guessed; what is bounded is the work and the log that a stranger can cause.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network


class Tries:
    """`burst` tries that fail at once, then one every `seconds`.

    Bounded: beyond `max_addresses` the one that failed first is forgotten. Whoever has so many addresses gains what
    they gain him anyway; addresses that share a bucket would lock each other out.
    """

    __slots__ = ("_burst", "_full", "_max_addresses", "_seconds")

    def __init__(self, burst: int = 10, seconds: float = 6.0, max_addresses: int = 4096) -> None:
        self._burst = burst
        self._seconds = seconds
        self._max_addresses = max_addresses
        self._full: dict[str, float] = {}  # source -> when its bucket is full again; oldest failure first

    def wait(self, address: str, now: float) -> float:
        """Seconds until `address` may try; 0: now. `now` never goes back."""
        full = self._full.get(source(address), now)
        return max(0.0, full - now - (self._burst - 1) * self._seconds)

    def failed(self, address: str, now: float) -> None:
        key = source(address)
        full = max(self._full.pop(key, now), now)
        while self._full and (len(self._full) >= self._max_addresses or next(iter(self._full.values())) <= now):
            del self._full[next(iter(self._full))]
        self._full[key] = full + self._seconds

    def __len__(self) -> int:
        return len(self._full)


def source(address: str) -> str:
    """Who is behind an address: of IPv6 the network of 64 bits, all of which one host may have."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((int(parsed), 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
