"""How busy the load generator itself is: what it cannot keep up with, it measures wrongly."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

from wsplatform.core.histogram import Histogram

BUSY = 0.8
"""Share of the time from which on the generator may be the bottleneck: running, or ready to run."""

SLOW_SECONDS = 0.05
"""The same for the 99th percentile of how late its event loop is."""

_TICK = 0.02
_SCHEDULER = Path("/proc/self/schedstat")


class _Clocks(NamedTuple):
    """Seconds: of the clock, on a CPU, and waiting for one."""

    passed: float
    used: float
    waited: float


class Meter:
    """`run` watches until it is cancelled. lag: how late the event loop was, in microseconds."""

    def __init__(self) -> None:
        self.lag = Histogram()
        self._began: _Clocks | None = None
        self._ended: _Clocks | None = None

    async def run(self) -> None:
        self._began = _clocks()
        try:
            while True:
                before = time.monotonic()
                await asyncio.sleep(_TICK)
                self.lag.add(round((time.monotonic() - before - _TICK) * 1e6))
        finally:
            self._ended = _clocks()

    @property
    def cpu(self) -> float:
        """Share of one core, so far or over the whole of `run`."""
        return self._shares()[0]

    @property
    def waiting(self) -> float:
        """Share of the time in which it could have run, and the machine's cores were busy otherwise."""
        return self._shares()[1]

    @property
    def bottleneck(self) -> bool:
        return sum(self._shares()) > BUSY or self.lag.quantile(0.99) > SLOW_SECONDS * 1e6

    def _shares(self) -> tuple[float, float]:
        if self._began is None:
            return 0.0, 0.0
        began, ended = self._began, self._ended or _clocks()
        passed = ended.passed - began.passed or 1.0
        return (ended.used - began.used) / passed, (ended.waited - began.waited) / passed


def _clocks() -> _Clocks:
    try:
        waited = int(_SCHEDULER.read_text().split()[1]) / 1e9  # of the main thread, which the event loop has
    except (OSError, IndexError, ValueError):
        waited = 0.0  # a kernel that does not tell
    return _Clocks(time.monotonic(), time.process_time(), waited)
