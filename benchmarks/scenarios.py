"""What every server is put through: one start of the server, one population of clients, several measurements."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.generator import Generator, Phase
from benchmarks.host import Cores, kernel_socket_bytes, resident_bytes
from benchmarks.install import Tools
from benchmarks.results import Case, Results
from benchmarks.servers import Running, Server

BURST = 100  # handshakes at once
RATE = 20  # publications a second, for latency
_IDLE_SECONDS = 0.5  # between a storm and a look at memory
FLOODERS = 50
_SEGMENTS = 40  # to each connection before anything is measured
_LONGEST = 6.0  # seconds, for one measurement of the full effort


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how much is measured. effort: 1 is the full measure. results: where it goes."""

    cores: Cores
    tools: Tools
    folder: Path
    results: Results
    effort: float = 1.0
    round: int = 0

    def times(self, count: int, least: int = 8) -> int:
        return max(least, round(count * self.effort))

    def bounded(self, load: Load, pace: float) -> Load:
        """Fewer publications for a server that takes so many seconds for each that it would hold up everything."""
        most = max(load.window, int(_LONGEST * self.effort / pace))
        return replace(load, publications=min(load.publications, most))

    def in_round(self, number: int) -> Bench:
        return replace(self, round=number)

    def generator(self, running: Running, *watched: int, path: str = "") -> Generator:
        pids = watched or (running.pid,)
        return Generator(
            self.tools.generator, self.cores.generator, running.port, path or running.server.dialect.path, pids
        )

    def add(self, server: str, case: Case, values: dict[str, float]) -> None:
        self.results.add(self.round, server, case, values)


@dataclass(frozen=True, slots=True)
class Load:
    """publications in all, window: in flight, size: bytes of data, channels: over how many they go."""

    publications: int
    window: int
    size: int
    channels: int = 1
    single: bool = False


def audience(bench: Bench, server: Server, subscribers: int) -> None:
    """One channel with so many subscribers: connecting, memory, fan-out, latency."""
    with Running(server, bench.cores.server, bench.folder) as running, bench.generator(running) as generator:
        began = Memory(running.pid)
        connecting(bench, running, generator, subscribers)
        _memory(bench, server, began, subscribers)
        publisher(running, generator)
        scale = 1000 / subscribers
        pace = warm_up(bench, running, generator, Load(round(60 * scale) + 4, 8, 128))
        for size in (128, 1024):
            for window, count in ((1, 120), (8, 240)):
                load = bench.bounded(Load(bench.times(round(count * scale), 3 * window), window, size), pace)
                fan_out(bench, running, generator, load, fan_out_case(subscribers, load))
        if subscribers <= 1000:
            _latency(bench, running, generator, subscribers)


def channels(bench: Bench, server: Server, count: int = 100, each: int = 10) -> None:
    """Many channels with few subscribers each."""
    with Running(server, bench.cores.server, bench.folder) as running, bench.generator(running) as generator:
        generator.do(opening(running, count * each, count))
        publisher(running, generator)
        pace = warm_up(bench, running, generator, Load(1000, 64, 128, count))
        load = bench.bounded(Load(bench.times(8000), 64, 128, count), pace)
        case = Case("Fan-out", f"{count} channels × {each} subscribers, 128 B, {load.window} in flight", "cost", "µs")
        fan_out(bench, running, generator, load, case)


def flood(bench: Bench, server: Server) -> None:
    """Clients publish where nobody listens: what arrives, is checked and answered."""
    dialect = server.dialect
    with Running(server, bench.cores.server, bench.folder) as running, bench.generator(running) as generator:
        generator.do(f"open {FLOODERS} {BURST} {dialect.connect[0]} 0 {dialect.connect[1]}")
        warm = generator.do(f"flood {bench.times(20_000)} 64 {dialect.flood}")
        pace = warm.seconds / warm.answer["messages"]
        messages = min(bench.times(120_000), int(_LONGEST * bench.effort / pace))
        phase = generator.do(f"flood {messages} 64 {dialect.flood}")
        case = Case("Inbound", "client publishes 128 B, nobody subscribed, each answered", "cost", "µs")
        bench.add(server.name, case, cost(phase, phase.answer["messages"]))


# Steps, for scenarios here and in own.py


def opening(running: Running, count: int, channels: int = 1) -> str:
    replies, text = running.server.dialect.join
    return f"open {count} {BURST} {replies} {channels} {text}"


def publisher(running: Running, generator: Generator, port: int = 0) -> None:
    replies, text = running.server.dialect.connect
    generator.do(f"publisher {port} {replies} {text}")


def publishing(running: Running, load: Load, rate: int = 0) -> str:
    text = running.server.dialect.publish
    return f"publish {load.publications} {load.window} {load.size} {rate} {load.channels} {load.single:d} {text}"


def connecting(bench: Bench, running: Running, generator: Generator, count: int) -> None:
    phase = generator.do(opening(running, count))
    case = Case("Connecting", f"handshake, connect and subscribe, {count:,} clients", "cost", "µs")
    bench.add(running.server.name, case, cost(phase, count))


def warm_up(bench: Bench, running: Running, generator: Generator, load: Load) -> float:
    """For what compiles while it runs, and for the kernel's caches; returns seconds per publication.

    A connection's first 16 segments are acknowledged at once, each at the sender's cost, later ones with delay (Linux,
    TCP_MAX_QUICKACKS). A server that joins would come to the measurement with more of them to go than one that sends
    each publication by itself.
    """
    publications = bench.times(load.publications)
    pace = generator.do(publishing(running, replace(load, publications=publications))).seconds / publications
    if not load.single:
        window = 1 if load.channels == 1 else load.window
        segments = Load(_SEGMENTS * load.channels, window, load.size, load.channels)
        generator.do(publishing(running, bench.bounded(segments, pace)))
    return pace


def fan_out_case(subscribers: int, load: Load) -> Case:
    size = "128 B" if load.size == 128 else "1 KiB"
    return Case("Fan-out", f"{subscribers:,} subscribers, {size}, {load.window} in flight", "cost", "µs")


def fan_out(bench: Bench, running: Running, generator: Generator, load: Load, case: Case) -> Phase:
    phase = generator.do(publishing(running, load))
    bench.add(running.server.name, case, cost(phase, phase.answer["deliveries"]))
    return phase


def cost(phase: Phase, count: float) -> dict[str, float]:
    """µs of the server's CPU for each of `count`, how many a second of the clock, how busy both sides were."""
    return {
        "cost": sum(phase.cpu) / count * 1e6,
        "rate": count / phase.seconds,
        "busy": sum(phase.cpu) / phase.seconds,
        "generator": phase.generator_cpu / phase.seconds,
    }


class Memory:
    """Now, of a process and of the kernel's sockets."""

    def __init__(self, pid: int) -> None:
        time.sleep(_IDLE_SECONDS)
        self.pid = pid
        self.resident = resident_bytes(pid)
        self.kernel = kernel_socket_bytes()


def _memory(bench: Bench, server: Server, before: Memory, count: int) -> None:
    after = Memory(before.pid)
    values = {"cost": (after.resident - before.resident) / count}
    if after.kernel is not None and before.kernel is not None:
        values["kernel"] = (after.kernel - before.kernel) / count / 2
    bench.add(server.name, Case("Memory", f"{count:,} idle subscribed connections", "cost", "B"), values)


def _latency(bench: Bench, running: Running, generator: Generator, subscribers: int) -> None:
    phase = generator.do(publishing(running, Load(bench.times(120, 40), 1, 128), RATE))
    values = {f"p{name}": phase.answer[f"p{name}"] * 1e3 for name in ("50", "99", "999")}
    case = Case("Latency", f"{RATE} publications/s to {subscribers:,} subscribers", "p99", "ms")
    bench.add(running.server.name, case, {**values, **cost(phase, phase.answer["deliveries"])})


Scenario = Callable[[Bench, Server], None]
