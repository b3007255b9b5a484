"""The servers that HAProxy is to have, from the cluster's members.

A name or an address gets further only after it has matched a pattern that leaves no room for a blank, a quote, a `;`
or a line end: in HAProxy's configuration and on its command sockets nothing else can add a directive or a command.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wsplatform.errors import PlatformError
from wsplatform.model import NODE_ID_PATTERN, Member

MAX_WEIGHT = 256
"""The most that HAProxy takes."""

_NODE_ID = re.compile(NODE_ID_PATTERN, re.ASCII)
_INCARNATION = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_URL = re.compile(r"http://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?/?", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_WORKER = re.compile(r"(.+)-[0-9]+", re.ASCII)

Place = tuple[str, int]
"""Host and port."""


@dataclass(frozen=True, slots=True)
class Server:
    """What HAProxy is told of a member, or of all members behind one address.

    named: the address has to be looked up. ready: one of the members is. draining: none is, and one is on its way out.
    weight: how many are ready, and at least 1.
    """

    name: str
    host: str
    port: int
    named: bool
    incarnation: str
    ready: bool
    draining: bool = False
    weight: int = 1

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def place(self) -> Place:
        return self.host, self.port


def server(member: Member) -> Server:
    """The member as a server. Raises PlatformError, code bad_member, when its id or address cannot be written."""
    if not _NODE_ID.fullmatch(member.node_id):
        raise _bad(member, "its id has to be letters, digits and _ . - (64 at most)")
    if not _INCARNATION.fullmatch(member.incarnation):
        raise _bad(member, "its incarnation has to be letters, digits and _ . - (64 at most)")
    host, port = locate(member.client_url)
    if not host:
        raise _bad(member, "its address (node.url) has to be http://host:port")
    named = not is_address(host)
    if named and not all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split(".")):
        raise _bad(member, "its address (node.url) names no host")
    return Server(member.node_id, host, port, named, member.incarnation, member.ready, member.draining)


def servers(
    members: Iterable[Member], names: Mapping[Place, str]
) -> tuple[tuple[Server, ...], tuple[PlatformError, ...]]:
    """All members that clients can be sent to, by name, and why some are not among them.

    Members that share an address, as the workers of one host do, are one server: its connections and health checks
    reach any of them, and it is drained when the last of them says so. It has the name of the first of them, or the
    one that `names` has for its address, if that was another of these workers': clients' cookies hold it.
    """
    groups: dict[Place, list[Server]] = {}
    ids: set[str] = set()
    refused: list[PlatformError] = []
    for member in sorted(members, key=lambda member: (member.node_id, member.incarnation)):
        if member.role != "node" or not member.client_url:  # takes part in the cluster without clients
            continue
        try:
            entry = server(member)
        except PlatformError as error:
            refused.append(error)
            continue
        if entry.name in ids:
            refused.append(_bad(member, "another member has the same id"))
            continue
        ids.add(entry.name)
        groups.setdefault(entry.place, []).append(entry)
    together = (_together(group, names.get(place, ""), ids) for place, group in groups.items())
    return tuple(sorted(together, key=lambda entry: entry.name)), tuple(refused)


def locate(url: str) -> Place:
    """Host and port of http://host:port; ("", 0) for anything else."""
    match = _URL.fullmatch(url)
    port = int(match[2] or 80) if match else 0
    return (match[1], port) if match and 1 <= port <= 65535 else ("", 0)


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _together(group: list[Server], known: str, ids: set[str]) -> Server:
    first = group[0]
    ready = sum(entry.ready for entry in group)
    fellow = _fellows(known, first.name) and (known not in ids or any(entry.name == known for entry in group))
    return Server(
        known if fellow else first.name,
        first.host,
        first.port,
        first.named,
        first.incarnation,
        ready > 0,
        draining=ready == 0 and any(entry.draining for entry in group),
        weight=min(max(ready, 1), MAX_WEIGHT),
    )


def _fellows(one: str, other: str) -> bool:
    """Whether these may be workers of one host (`node.workers`)."""
    first, second = _WORKER.fullmatch(one), _WORKER.fullmatch(other)
    return first is not None and second is not None and first[1] == second[1]


def _bad(member: Member, why: str) -> PlatformError:
    return PlatformError("bad_member", f"Node {member.node_id!a:.80} is not given to HAProxy: {why}.")
