"""Between the supervisor and a process that it has started: an order on standard input, reports on standard output.

An order is one JSON object up to the end of the input; a report is one a line.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from wsplatform.settings import Settings


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. The settings are handed over, for those in files may have changed since the others were started.

    parent: the supervisor's process id. clients: the descriptor of the clients' socket. folder: of the unix sockets of
    the nodes; empty for a registry.
    """

    role: Literal["node", "registry"]
    settings: Settings
    parent: int
    clients: int
    folder: str


class Listening(msgspec.Struct, frozen=True, tag="listening"):
    """Once: the process listens. `url`: at the clients' socket."""

    url: str


class Pulse(msgspec.Struct, frozen=True, tag="pulse"):
    """Every second: the event loop turns; whether the process is ready."""

    ready: bool


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The last word of a process that has ended because of a PlatformError."""

    code: str
    message: str


Report = Listening | Pulse | Failed
