"""What a running HAProxy has, what it should have, and the commands that lead from one to the other.

Commands and replies: HAProxy 2.6 Management Guide (docs.haproxy.org), "Unix Socket commands", `show servers state`
version 1; `show info`; `show ssl cert`. Every name in a command is one of a Server, which has been checked
(haproxy_servers.py), or has passed _NAME here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ssl import cert_time_to_seconds
from typing import Final

from wsplatform.core.haproxy_sections import BACKEND, CHECK
from wsplatform.core.haproxy_servers import Place, Server

FIELDS: Final = 25
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
_PID = re.compile(r"^Pid: (\d+)$", re.MULTILINE)
_STRUCTURE = re.compile(r"^[Dd]escription: wsplatform-([0-9a-f]{16})$", re.MULTILINE)
_FINGERPRINT = re.compile(r"^SHA1 FingerPrint: ([0-9A-F]{40})$", re.MULTILINE)
_EXPIRY = re.compile(r"^notAfter: (.{1,40})$", re.MULTILINE)

# Bits of srv_admin_state (set by a command) and of srv_check_state.
_MAINT: Final = 0x01
_DRAIN: Final = 0x08
_CHECKED: Final = 0x04


@dataclass(frozen=True, slots=True)
class Worker:
    """The process that serves. structure: of the configuration that it has read, "" when that is not ours."""

    pid: int
    structure: str


@dataclass(frozen=True, slots=True)
class Running:
    """A server as HAProxy has it. address: "" when it has none; looked_up: the name that is looked up for it, or "".

    up: HAProxy sends traffic to it, or would if it were not for maintenance.
    """

    name: str
    address: str
    port: int
    looked_up: str
    up: bool
    maintenance: bool
    drained: bool
    checked: bool
    weight: int

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.looked_up or self.address or '-'}:{self.port}"

    @property
    def state(self) -> str:
        if self.maintenance:
            return "maintenance"
        return "drained" if self.drained else "up" if self.up else "down"


@dataclass(frozen=True, slots=True)
class Step:
    """One difference, in words for people, and the commands that end it. refusable: HAProxy may not do it yet."""

    server: str
    difference: str
    commands: tuple[str, ...]
    refusable: bool = False


def worker(info: str) -> Worker | None:
    """The reply to `show info`; None when it is none."""
    pid, structure = _PID.search(info), _STRUCTURE.search(info)
    return Worker(int(pid[1]), structure[1] if structure else "") if pid else None


def running(dump: str) -> dict[str, Running]:
    """The servers in the reply to `show servers state`, by name. What is no line of a server is left out."""
    found = (_running(fields) for fields in map(str.split, dump.splitlines()))
    return {server.name: server for server in found if server is not None}


def names(servers: Iterable[Running]) -> dict[Place, str]:
    """Which name HAProxy has for which address; of several, one that is not in maintenance."""
    found: dict[Place, str] = {}
    for server in sorted(servers, key=lambda server: (not server.maintenance, server.name)):
        host = f"[{server.address}]" if ":" in server.address else server.address
        found[server.looked_up or host, server.port] = server.name
    return found


def steps(wanted: Iterable[Server], present: Mapping[str, Running]) -> tuple[Step, ...]:
    """What has to be done. A new server that is not ready is not added before it is: HAProxy would take it for up.

    Servers that have to be looked up can only come and go with a reload; they are not among these steps.
    """
    listed = {server.name: server for server in wanted}
    found: list[Step] = []
    for server in listed.values():
        now = present.get(server.name)
        if now is not None:
            found += _corrections(server, now)
        elif server.ready and not server.named:
            found.append(Step(server.name, f"{server.name} was missing", _join(server)))
    for name, now in present.items():
        if name not in listed:
            found += _leave(now)
    return tuple(found)


def drift(applied: Iterable[Server], leaving: Iterable[str], present: Mapping[str, Running]) -> tuple[str, ...]:
    """What has become different by itself, or by hand, since HAProxy was given `applied`, in words for people.

    leaving: servers that are on their way out, and may be gone at any time.
    """
    gone = frozenset(leaving)
    return tuple(step.difference for step in steps(applied, present) if step.server not in gone)


def certificate(reply: str) -> str:
    """The SHA-1 fingerprint, in hex, in the reply to `show ssl cert FILE`; "" when there is none."""
    found = _FINGERPRINT.search(reply)
    return found[1] if found else ""


def expiry(reply: str) -> float | None:
    """Until when it is valid, in Unix time; None when HAProxy does not say."""
    found = _EXPIRY.search(reply)
    try:
        return float(cert_time_to_seconds(found[1])) if found else None
    except ValueError:
        return None


def payload(pem: str) -> str:
    """A PEM text as a command takes it: an empty line would end it."""
    return "\n".join(line for line in pem.splitlines() if line.strip())


def done(command: str, reply: str) -> bool:
    """Whether this reply says that the command was obeyed."""
    text = reply.strip()
    if command.startswith("add server "):
        return text == "New server registered."
    if command.startswith("del server "):
        return text == "Server deleted."
    if " addr " in command:
        return "changed from" in text or text.startswith("no need to change")
    if command.startswith("set ssl cert "):
        return text.startswith("Transaction created")
    if command.startswith("commit ssl cert "):
        return text.endswith("Success!")
    return not text


def _running(fields: list[str]) -> Running | None:
    if len(fields) != FIELDS or fields[1] != BACKEND or not _NAME.fullmatch(fields[3]):
        return None
    numbers = [fields[index] for index in (5, 6, 7, 13, 18)]
    if not all(number.isascii() and number.isdigit() for number in numbers):
        return None
    operational, administrative, weight, check, port = map(int, numbers)
    address, name = fields[4], fields[17]
    return Running(
        name=fields[3],
        address="" if address == "-" else address,
        port=port,
        looked_up="" if name == "-" else name,
        up=operational == 2,
        maintenance=bool(administrative & _MAINT),
        drained=bool(administrative & _DRAIN),
        checked=bool(check & _CHECKED),
        weight=weight,
    )


def _join(server: Server) -> tuple[str, ...]:
    where = f"{BACKEND}/{server.name}"
    return (
        f"add server {where} {server.address} {CHECK} weight {server.weight}",
        f"enable health {where}",  # without it there are no checks, and nothing warns
        f"set server {where} state ready",
    )


def _leave(now: Running) -> Iterator[Step]:
    """Nothing new goes there, and it goes when its last connection does: a node cut off from the registry serves on."""
    where = f"{BACKEND}/{now.name}"
    if not now.maintenance:
        yield Step(now.name, f"{now.name} should not be there", (f"set server {where} state maint",))
    yield Step(now.name, f"{now.name} should not be there", (f"del server {where}",), refusable=True)


def _corrections(server: Server, now: Running) -> Iterator[Step]:
    where = f"{BACKEND}/{server.name}"
    if not server.named and not _same_address(server, now):
        host = server.host.strip("[]")
        command = f"set server {where} addr {host} port {server.port}"
        yield Step(server.name, f"{server.name} was at {now.place} instead of {server.address}", (command,))
    if now.weight != server.weight:
        was = f"{server.name} had weight {now.weight} instead of {server.weight}"
        yield Step(server.name, was, (f"set server {where} weight {server.weight}",))
    if not now.checked and not now.maintenance:
        yield Step(server.name, f"{server.name} was not checked", (f"enable health {where}",))
    if server.draining and not now.maintenance:
        yield Step(server.name, f"{server.name} was not in maintenance", (f"set server {where} state maint",))
    if server.ready and (now.maintenance or now.drained):
        was = "in maintenance" if now.maintenance else "drained"
        checks = () if now.checked else (f"enable health {where}",)
        yield Step(server.name, f"{server.name} was {was}", (*checks, f"set server {where} state ready"))


def _same_address(server: Server, now: Running) -> bool:
    if now.port != server.port or now.looked_up:
        return False
    try:
        return ipaddress.ip_address(now.address) == ipaddress.ip_address(server.host.strip("[]"))
    except ValueError:
        return False
