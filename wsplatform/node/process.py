"""What the kernel and the event loop know of this process."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import deque
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from wsplatform.core.metrics import Durations, Sample

LAG_SECONDS: Final = 0.1
"""How often the loop's lateness is looked at."""

RECENT_SECONDS: Final = 10.0

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_DESCRIPTORS: Final = Path("/proc/self/fd")


class ProcessReadings:
    """CPU, memory, descriptors; and the load of its host. began: Unix time of the start.

    What the kernel tells in files is read from such as stay open: a node whose descriptors are all in use reports on.
    """

    def __init__(self) -> None:
        self.began = time.time()
        self._since = time.monotonic()
        self._memory = _kept_open("/proc/self/statm")
        self._load = _kept_open("/proc/loadavg")

    def close(self) -> None:
        """Nothing can be read afterwards. Idempotent."""
        self._memory.close()
        self._load.close()

    @property
    def uptime(self) -> float:
        return time.monotonic() - self._since

    @property
    def cpu(self) -> float:
        """Seconds, user and system, of all threads."""
        return time.process_time()

    @property
    def memory(self) -> int:
        """Bytes that are resident."""
        return int(_words(self._memory)[1]) * _PAGE

    @property
    def open_files(self) -> int:
        # Since Linux 6.2 their number is the size of the folder; before, that is 0, and they have to be listed.
        if number := _DESCRIPTORS.stat().st_size:
            return number
        try:
            return len(os.listdir(_DESCRIPTORS))  # noqa: PTH208 - without a Path for each
        except OSError:  # that takes one as well
            return self.max_files

    @property
    def max_files(self) -> int:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def measure(self) -> Iterator[Sample]:
        yield Sample("cpu", self.cpu)
        yield Sample("memory", self.memory)
        yield Sample("open_files", self.open_files)
        yield Sample("max_files", self.max_files)
        yield Sample("uptime", self.uptime)
        yield Sample("host_load", float(_words(self._load)[0]))


def _kept_open(path: str) -> FileIO:
    return Path(path).open("rb", buffering=0)


def _words(file: FileIO) -> list[bytes]:
    return os.pread(file.fileno(), 256, 0).split()


class LoopLag:
    """One timer, which sees by how much the loop is late. A turn that takes long is seen if a tick falls into it."""

    def __init__(self) -> None:
        self.times = Durations()
        self._highest = 0.0
        self._due = 0.0
        self._last = deque[float](maxlen=round(RECENT_SECONDS / LAG_SECONDS))
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._schedule()

    def stop(self) -> None:
        """Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take_highest(self) -> float:
        """Seconds; of the time since it was taken last."""
        highest, self._highest = max(self._highest, time.monotonic() - self._due), 0.0
        return highest

    @property
    def recent(self) -> float:
        """Seconds; the highest of the last RECENT_SECONDS."""
        return max(self._last, default=0.0)

    def measure(self) -> Iterator[Sample]:
        yield Sample("loop_lag", self.times)

    def _tick(self) -> None:
        late = max(0.0, time.monotonic() - self._due)
        self.times.add(late)
        self._highest = max(self._highest, late)
        self._last.append(late)
        self._schedule()

    def _schedule(self) -> None:
        self._due = time.monotonic() + LAG_SECONDS
        self._timer = asyncio.get_running_loop().call_later(LAG_SECONDS, self._tick)
