"""Who is in the cluster, decided without I/O: `Roster` says which instances a view has, `Silence` who was not heard of.

An id has one seat. Whoever registers first as an instance that the seat has not seen takes it, and every instance that
held it before is superseded for good: two processes with one id are settled by the order of their first registration,
not by who shouts last. An instance that left or fell silent keeps its claim until another one takes the seat.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

from wsplatform.errors import RequestError
from wsplatform.model import NODE_ID_PATTERN, REGISTRY_ID, Instance, Member

Standing = Literal["member", "absent", "superseded", "unknown"]

REMEMBERED_SECONDS = 86_400.0
"""How long the registry knows an instance that is gone, and which instances a seat has had."""

MAX_PREDECESSORS = 64
"""How many earlier instances a seat remembers: a node that crashes at every start must not fill the memory."""

_NODE_ID = re.compile(NODE_ID_PATTERN)
_INCARNATION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_URL_CHARACTERS = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Predecessor:
    """An instance that lost its seat, and when (seconds)."""

    incarnation: str
    since: float


@dataclass(frozen=True, slots=True)
class Seat:
    """Who holds a node id, since when in its present state (seconds), and who did before, newest last."""

    holder: Member
    present: bool
    since: float
    predecessors: tuple[Predecessor, ...] = ()


@dataclass(frozen=True, slots=True)
class Roster:
    """The seats by node id. Every change gives a new roster, or the same one when there is nothing to change."""

    seats: Mapping[str, Seat] = field(default_factory=dict)

    @property
    def members(self) -> tuple[Member, ...]:
        """The instances of the view, by node id. Their readiness is what it was when they registered."""
        return tuple(self.seats[node_id].holder for node_id in sorted(self.seats) if self.seats[node_id].present)

    def standing(self, instance: Instance) -> Standing:
        seat = self.seats.get(instance.node_id)
        if seat is None:
            return "unknown"
        if seat.holder.incarnation == instance.incarnation:
            return "member" if seat.present else "absent"
        if any(before.incarnation == instance.incarnation for before in seat.predecessors):
            return "superseded"
        return "unknown"

    def join(self, member: Member, now: float) -> Roster:
        """The roster with `member` in it. Raises RequestError `superseded`."""
        standing = self.standing(member.instance)
        if standing == "superseded":
            raise superseded(member.instance)
        seat = self.seats.get(member.node_id)
        if seat is None:
            return self._with(member.node_id, Seat(member, True, now))
        if standing == "unknown":
            predecessors = (*seat.predecessors, Predecessor(seat.holder.incarnation, now))[-MAX_PREDECESSORS:]
            return self._with(member.node_id, Seat(member, True, now, predecessors))
        if seat.present and same_addresses(seat.holder, member):
            return self
        return self._with(member.node_id, replace(seat, holder=member, present=True, since=now))

    def leave(self, instances: Iterable[Instance], now: float) -> Roster:
        """The roster without `instances`; those that are not in the view anyway are passed over."""
        roster = self
        for instance in instances:
            if roster.standing(instance) == "member":
                seat = roster.seats[instance.node_id]
                roster = roster._with(instance.node_id, replace(seat, present=False, since=now))
        return roster

    def forget(self, now: float) -> Roster:
        """The roster without what happened more than REMEMBERED_SECONDS ago and matters no more."""
        oldest = now - REMEMBERED_SECONDS
        seats = {}
        for node_id, seat in self.seats.items():
            if not seat.present and seat.since < oldest:
                continue
            recent = tuple(before for before in seat.predecessors if before.since >= oldest)
            seats[node_id] = seat if len(recent) == len(seat.predecessors) else replace(seat, predecessors=recent)
        return self if seats == self.seats else Roster(seats)

    def _with(self, node_id: str, seat: Seat) -> Roster:
        return Roster({**self.seats, node_id: seat})


class Silence:
    """Which instances have been silent for `dead_seconds`, all times in seconds of one monotonic clock.

    A registry that was itself away (just started, stopped, suspended, busy for long) heard nobody, which says nothing
    about the nodes: from then on each gets the full time again. It notices that by more than `late_seconds` between two
    calls of `check`.
    """

    __slots__ = ("_checked", "_dead_seconds", "_heard", "_late_seconds", "_since")

    def __init__(self, dead_seconds: float, late_seconds: float, now: float) -> None:
        self._dead_seconds = dead_seconds
        self._late_seconds = late_seconds
        self._since = now
        self._checked = now
        self._heard: dict[Instance, float] = {}

    def heard(self, instance: Instance, now: float) -> None:
        self._heard[instance] = now

    def forget(self, instance: Instance) -> None:
        self._heard.pop(instance, None)

    def check(self, now: float) -> tuple[Instance, ...]:
        """To be called regularly: the instances that are to be dropped from the view."""
        if now - self._checked > self._late_seconds:
            self._since = now
        self._checked = now
        return tuple(instance for instance, heard in self._heard.items() if self._silent(heard, now))

    def silent(self, instance: Instance, now: float) -> bool:
        """Whether it is still to be dropped; for an instance that `check` named a while ago."""
        heard = self._heard.get(instance)
        return heard is None or self._silent(heard, now)

    def _silent(self, heard: float, now: float) -> bool:
        return now - max(heard, self._since) >= self._dead_seconds


def superseded(instance: Instance) -> RequestError:
    """What an instance is told whose node id another one has taken over."""
    return RequestError(
        409,
        "superseded",
        f"Another process has registered as node {instance.node_id} since: stop this one, or give it another node.id.",
    )


def same_addresses(one: Member, other: Member) -> bool:
    return (one.cluster_url, one.client_url) == (other.cluster_url, other.client_url)


def check_member(member: Member) -> None:
    """Raises RequestError `invalid_member` for what no view may hold: it reaches other nodes and the load balancer."""
    if _NODE_ID.fullmatch(member.node_id) is None:
        raise _invalid("its node id has other characters than letters, digits, '.', '_' and '-', or more than 64")
    if _INCARNATION.fullmatch(member.incarnation) is None:
        raise _invalid("its incarnation has other characters than letters, digits, '_' and '-', or more than 64")
    if member.role == "registry":
        if member.node_id != REGISTRY_ID or member.cluster_url or member.client_url:
            raise _invalid("a registry has an id of its own and no addresses")
        return
    if member.node_id == REGISTRY_ID:
        raise _invalid(f"{REGISTRY_ID} is the id of the registry: give the node another node.id")
    if member.cluster_url and not _usable(member.cluster_url, ("ws", "wss")):
        raise _invalid("its cluster URL is not ws://host:port or wss://host:port")
    if not _usable(member.client_url, ("http", "https")):
        raise _invalid("its client URL is not http://host:port or https://host:port")


def _usable(url: str, schemes: tuple[str, ...]) -> bool:
    if _URL_CHARACTERS.fullmatch(url) is None:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False


def _invalid(fault: str) -> RequestError:
    return RequestError(400, "invalid_member", f"The instance cannot be registered: {fault}.")
