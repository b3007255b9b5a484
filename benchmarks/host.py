"""The machine: which cores are used for what, what the kernel says about processes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SOCKET_CACHES = frozenset(
    {"TCP", "TCPv6", "sock_inode_cache", "filp", "dentry", "eventpoll_epi", "eventpoll_pwq", "ep_head"}
)
"""What the kernel's allocator keeps for open sockets; the two ends of a connection on one machine both count."""


class BenchmarkError(Exception):
    """The measurement cannot go on; the message is for people."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The server's core, and the one of the generator and everything else."""

    server: int
    generator: int


def choose_cores() -> Cores:
    """Raises BenchmarkError on a machine with one core."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchmarkError("Two cores are needed: one for the server, one for the load generator.")
    return Cores(usable[0], usable[1])


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """What is started inside runs on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process, as the scheduler counts it, in nanoseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue  # a thread that has just ended
    return total / 1e9


def family(pid: int) -> tuple[int, ...]:
    """A process, and those that it and its children have started."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return tuple(found)


def sockets(pid: int) -> int:
    """How many a process has open."""
    return sum(str(entry.readlink()).startswith("socket:") for entry in Path(f"/proc/{pid}/fd").iterdir())


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkError(f"The kernel does not say how large process {pid} is.")


def kernel_socket_bytes() -> int | None:
    """Of the whole machine; None when only root may know."""
    try:
        lines = Path("/proc/slabinfo").read_text().splitlines()[2:]
    except OSError:
        return None
    rows = (line.split() for line in lines)
    return sum(int(row[1]) * int(row[3]) for row in rows if row[0] in _SOCKET_CACHES)


def descriptors() -> int:
    """How many one process may open."""
    import resource  # noqa: PLC0415 - not on every system

    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def describe() -> dict[str, str]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {"cpu": model, "cores": str(len(os.sched_getaffinity(0))), "kernel": platform.release()}
