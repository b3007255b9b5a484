"""What `wsplatform top` shows, made of what the registry says again and again: rates are differences of counters."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Item = Mapping[str, Any]

SILENT_SECONDS: Final = 4.0
"""Nodes report every second."""

LOST_SECONDS: Final = 60.0
"""How long a link or a node that lost something is shown for it."""


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """Rates are per second, None while there is nothing to compare with.

    cpu: 1.0 is one core. silent: seconds since its last report, 0 for a node that reports. delivery_p99, lag: seconds.
    lost: publications that other nodes will never get from it, of the last minute. clock_ahead: seconds; 0: right.
    """

    id: str
    state: str
    silent: float
    sessions: int
    subscriptions: int
    channels: int
    publications: float | None
    deliveries: float | None
    errors: float | None
    sent_bytes: float | None
    received_bytes: float | None
    cpu: float | None
    delivery_p99: float | None
    lag: float
    memory_bytes: int
    lost: int
    clock_ahead: float


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """A link that is not well. lost: publications dropped or missed since the link was made."""

    node: str
    peer: str
    state: str
    since: float
    waiting_bytes: int
    lost: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """links, links_up: how many there are, and are up. lost: publications that could not go from node to node since
    these nodes were started; links do not tell all of them, for those with nodes that are no more are no more."""

    at: float
    nodes: tuple[NodeFigures, ...]
    links: int
    links_up: int
    lost: int
    unwell: tuple[LinkFigures, ...]
    busiest: tuple[Item, ...]


@dataclass(slots=True)
class _Seen:
    """A node's newest report. at: when it was first seen; uptime: the node's own clock."""

    at: float
    uptime: float
    status: Item
    rates: dict[str, float]


_COUNTERS: Final = ("publications", "deliveries", "errors", "sent_bytes", "received_bytes", "cpu_seconds")


class Watch:
    """Remembers what was said, to tell what happened since."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._drops: dict[tuple[str, str], deque[tuple[float, int]]] = {}  # when, and how many there were then
        self._lost: dict[tuple[str, str, str], tuple[int, float]] = {}  # how much, and when it last grew

    def take(self, at: float, nodes: Sequence[Item], links: Sequence[Item], busiest: Sequence[Item]) -> Snapshot:
        """`at`: Unix time."""
        figures = tuple(self._node(at, node) for node in nodes)
        present = {(node["id"], node["incarnation"]) for node in nodes}
        self._seen = {key: seen for key, seen in self._seen.items() if key in present}
        self._drops = {key: seen for key, seen in self._drops.items() if key in present}
        unwell = [link for link in links if self._unwell(at, link)]
        return Snapshot(
            at=at,
            nodes=figures,
            links=len(links),
            links_up=sum(link["state"] == "up" for link in links),
            lost=sum((node["status"] or {}).get("dropped", 0) for node in nodes),
            unwell=tuple(
                LinkFigures(
                    node=link["node"],
                    peer=link["peer"],
                    state=link["state"],
                    since=link["since"],
                    waiting_bytes=link["queued"] + link["unacknowledged"],
                    lost=_lost(link),
                )
                for link in unwell
            ),
            busiest=tuple(busiest),
        )

    def _node(self, at: float, node: Item) -> NodeFigures:
        key = (node["id"], node["incarnation"])
        status: Item = node["status"] or {}
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = _Seen(at, status.get("uptime", 0.0), status, {})
        elif (elapsed := status.get("uptime", 0.0) - seen.uptime) > 0:
            rates = {name: (status.get(name, 0) - seen.status.get(name, 0)) / elapsed for name in _COUNTERS}
            seen = self._seen[key] = _Seen(at, status["uptime"], status, rates)
        silent = at - seen.at
        state = "draining" if node["draining"] else "ready" if node["ready"] else "not ready"
        rate = seen.rates.get
        return NodeFigures(
            id=node["id"],
            state=state,
            silent=silent if silent > SILENT_SECONDS else 0.0,
            sessions=status.get("sessions", 0),
            subscriptions=status.get("subscriptions", 0),
            channels=status.get("channels", 0),
            publications=rate("publications"),
            deliveries=rate("deliveries"),
            errors=rate("errors"),
            sent_bytes=rate("sent_bytes"),
            received_bytes=rate("received_bytes"),
            cpu=rate("cpu_seconds"),
            delivery_p99=status.get("delivery_p99"),
            lag=status.get("lag", 0.0),
            memory_bytes=status.get("memory_bytes", 0),
            lost=self._newly_dropped(key, at, status.get("dropped", 0)),
            clock_ahead=node.get("clock_ahead", 0.0),
        )

    def _newly_dropped(self, key: tuple[str, str], at: float, dropped: int) -> int:
        """Since a minute ago, or since the node was first seen."""
        seen = self._drops.setdefault(key, deque())
        seen.append((at, dropped))
        while len(seen) > 1 and seen[1][0] <= at - LOST_SECONDS:
            seen.popleft()
        return dropped - seen[0][1]

    def _unwell(self, at: float, link: Item) -> bool:
        """Not up, or it has lost something since it was first seen here, a short time ago."""
        key = (link["node"], link["peer"], link["incarnation"])
        lost = _lost(link)
        before, grown = self._lost.get(key, (lost, float("-inf")))
        if lost > before:
            grown = at
        self._lost[key] = (lost, grown)
        return link["state"] != "up" or at - grown < LOST_SECONDS


def _lost(link: Item) -> int:
    return int(sum(link["dropped"].values()) + link["gaps"])
