"""What all connections of a client face share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wsplatform.errors import Disconnect
from wsplatform.net.websocket import WebSocketConnection
from wsplatform.node.counts import ClientCounts
from wsplatform.node.fanout import Format
from wsplatform.node.session import SessionServices
from wsplatform.node.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Clock:
    """monotonic: the loop's time, in which deadlines are kept. wall: unix seconds. chance: from 0 to 1."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    chance: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; see settings.ClientTable."""

    connect: float
    ping: float
    pong: float


class Open(Protocol):
    """An open connection, with or without a session."""

    def disconnect(self, why: Disconnect) -> None: ...


class Report(Protocol):
    def __call__(self, address: str, session: str, what: str, turn: str = "") -> None:
        """Tell the log of bad input. turn: what shares one turn at a bounded rate; empty: all of the address."""


@dataclass(frozen=True, slots=True)
class Face:
    """One for each client protocol and node.

    plain, deflated: the two formats of publications. handlers: the connections that are open. slow: those of them for
    which data waits.
    """

    services: SessionServices
    sessions: Sessions
    plain: Format
    deflated: Format
    clock: Clock
    timing: Timing
    allow_anonymous: bool
    version: str
    new_id: Callable[[], str]
    call_soon: Callable[[Callable[[], None]], object]
    report: Report
    handlers: set[Open]
    slow: set[WebSocketConnection]
    counts: ClientCounts
