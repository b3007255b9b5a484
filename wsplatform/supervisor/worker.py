"""`python -m wsplatform.supervisor.worker NAME`: a node or a registry that the supervisor has started.

What to do comes on standard input (messages.py). NAME is for people who look at the list of processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec

from wsplatform import logs
from wsplatform.die_with_parent import die_with_parent
from wsplatform.errors import PlatformError
from wsplatform.supervisor.messages import Failed, Listening, Order, Pulse, Report


class Reports:
    """The way to the supervisor. What else the process writes to standard output goes to standard error from now on."""

    def __init__(self) -> None:
        self._pipe = os.dup(sys.stdout.fileno())
        os.set_blocking(self._pipe, False)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(self, report: Report) -> None:
        """Never waits: a supervisor that is stopped for a while must not stop its workers, one that is gone cannot."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, msgspec.json.encode(report) + b"\n")


def main() -> int:
    """Returns the exit status."""
    reports = Reports()
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    die_with_parent(order.parent, signal.SIGKILL)
    logs.set_up(order.settings.log, order.settings.node.id)
    try:
        _run(order, reports)
    except PlatformError as error:
        reports.send(Failed(error.code, error.message))
        return 1
    return 0


def _run(order: Order, reports: Reports) -> None:
    import uvloop

    from wsplatform.app import Inherited, ProcessInfo, Supervised, serve, tune_interpreter

    clients = socket.socket(fileno=order.clients)
    inherited = Inherited(clients, Path(order.folder) if order.folder else None)

    def ready(info: ProcessInfo) -> None:
        tune_interpreter()
        reports.send(Listening(info.url))

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        supervised = Supervised(inherited, lambda ready: reports.send(Pulse(ready)))
        await serve(order.settings, role=order.role, stop=stop, ready=ready, supervised=supervised)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


if __name__ == "__main__":
    sys.exit(main())
