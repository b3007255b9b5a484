"""Ctrl-C and its kind, for a command that has processes to end in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class Signals:
    """The first signal cancels the task that made this; the next one, of either kind, calls `hurry`."""

    def __init__(self, hurry: Callable[[], None]) -> None:
        self.received: list[signal.Signals] = []
        self._hurry = hurry
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._handle, number)

    def _handle(self, number: signal.Signals) -> None:
        self.received.append(number)
        if len(self.received) == 1 and self._task is not None:
            self._task.cancel()
        else:
            self._hurry()
