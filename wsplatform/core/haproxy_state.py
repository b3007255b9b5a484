"""What HAProxy tells of its servers and processes on its control sockets, read and written.

Formats: HAProxy 2.6 Management Guide (docs.haproxy.org), `show servers state` version 1 and `show proc`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from wsplatform.core.haproxy_sections import BACKEND
from wsplatform.core.haproxy_servers import Server

_FORMAT = "1"
_FIELDS = 25
_NAME, _ADDRESS, _FQDN, _PORT = 3, 4, 17, 18
_MASTER = re.compile(r"^\d+\s+master\s+(?P<reloads>\d+)\s+(?:\[failed: (?P<failed>\d+)\])?", re.MULTILINE)
_WORKER = re.compile(r"^(\d+)\s+worker\s+(\d+)\s+(\d+)d(\d+)h(\d+)m(\d+)s", re.MULTILINE)


def server_state(dump: str, servers: Iterable[Server]) -> str:
    """The state file for the next HAProxy: what `dump` (`show servers state`, or "") knows of these servers.

    A server that it does not know starts UP, before its first check; a member that is not ready is therefore written
    as DOWN. A line of another address is left out: HAProxy would restore the old port together with the health.
    """
    known = {fields[_NAME]: fields for fields in map(str.split, dump.splitlines()) if _is_server(fields)}
    lines = [_FORMAT]
    for server in servers:
        fields = known.get(server.name)
        if fields is not None and _same_address(fields, server):
            lines.append(" ".join(fields))
        elif not server.ready:
            lines.append(_down(server))
    return "\n".join(lines) + "\n"


def _is_server(fields: list[str]) -> bool:
    return len(fields) == _FIELDS and fields[1] == BACKEND


def _same_address(fields: list[str], server: Server) -> bool:
    if fields[_PORT] != str(server.port):
        return False
    if server.named:
        return fields[_FQDN] == server.host
    try:
        return ipaddress.ip_address(fields[_ADDRESS]) == ipaddress.ip_address(server.host.strip("[]"))
    except ValueError:  # "-": it had none
        return False


def _down(server: Server) -> str:
    address = "-" if server.named else server.host.strip("[]")
    name = server.host if server.named else "-"
    # Operational state 0 (stopped), no administrative state, weights 100, checks on (6). Ids are not compared.
    return f"1 {BACKEND} 1 {server.name} {address} 0 0 100 100 0 1 0 0 6 0 0 0 {name} {server.port} - 0 0 - - 0"


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that serves. `reloads`: how many it has outlived, 0 for one that has the newest configuration."""

    pid: int
    reloads: int
    uptime: int


@dataclass(frozen=True, slots=True)
class Processes:
    """`failed`: reloads in a row that did not work."""

    reloads: int
    failed: int
    workers: tuple[Worker, ...]

    @property
    def newest(self) -> Worker | None:
        return min(self.workers, key=lambda worker: (worker.reloads, worker.uptime), default=None)


def processes(text: str) -> Processes | None:
    """The reply to `show proc`; None when it is none."""
    master = _MASTER.search(text)
    if master is None:
        return None
    workers = []
    for match in _WORKER.finditer(text):
        pid, reloads, days, hours, minutes, seconds = map(int, match.groups())
        workers.append(Worker(pid, reloads, ((days * 24 + hours) * 60 + minutes) * 60 + seconds))
    return Processes(int(master["reloads"]), int(master["failed"] or 0), tuple(workers))
