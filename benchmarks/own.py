"""What only the platform is asked: does cost stay linear, what do other nodes add, what does the collector see."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from statistics import median

from benchmarks.generator import Generator
from benchmarks.host import BenchmarkError, family, pinned, sockets
from benchmarks.install import HERE
from benchmarks.results import Case
from benchmarks.scenarios import (
    BURST,
    FLOODERS,
    Bench,
    Load,
    cost,
    fan_out,
    fan_out_case,
    opening,
    publisher,
    publishing,
    warm_up,
)
from benchmarks.servers import OWN, Running, Server, free_port, own, wait_for_nodes

_NAMERS = 100  # connections that hold the channels
_MANY = 9000
_SHORT = 128
_PAIRS = 24  # of short measurements, with and without

UNMETERED = "wsplatform, metrics off"


def linear(bench: Bench, server: Server) -> None:
    """The same server with 1,000, 2,000 and 4,000 subscribers of one channel; also asked of the C limit."""
    with Running(server, bench.cores.server, bench.folder) as running, bench.generator(running) as generator:
        before = 0
        for subscribers in (1000, 2000, 4000):
            generator.do(opening(running, subscribers - before))
            if not before:
                publisher(running, generator)
            load = Load(bench.times(120_000 // subscribers), 1, _SHORT)
            warm_up(bench, running, generator, replace(load, publications=10))
            case = fan_out_case(subscribers, load)
            fan_out(bench, running, generator, load, replace(case, group="Linearity"))
            before = subscribers


def names(bench: Bench, many: int) -> None:
    """Publications to channels with one subscriber each: a hundred of them, and `many`."""
    for count in (100, many):
        each = count // _NAMERS
        server = own({"WSP_CLIENT__MAX_CHANNELS": str(max(each, 128))})
        dialect = server.dialect
        with Running(server, bench.cores.server, bench.folder) as running, bench.generator(running) as generator:
            generator.do(f"open {_NAMERS} {BURST} {dialect.connect[0]} 0 {dialect.connect[1]}")
            phase = generator.do(f"subscribe {each} 64 {dialect.subscribe}")
            bench.add(OWN, Case("Names", f"subscribe, {count:,} names", "cost", "µs"), cost(phase, each * _NAMERS))
            publisher(running, generator)
            load = Load(bench.times(200_000), 64, _SHORT, count, single=True)
            warm_up(bench, running, generator, replace(load, publications=20_000))
            case = Case("Names", f"publication to one of {count:,} names, one subscriber each", "cost", "µs")
            fan_out(bench, running, generator, load, case)


def two_nodes(bench: Bench, subscribers: int = 1000) -> None:
    """Publish where the subscribers are, then on another node. CPU of both nodes, per publication."""
    first, second = own({"WSP_NODE__ID": "a"}), own({"WSP_NODE__ID": "b"}, role="node")
    with Running(first, bench.cores.generator, bench.folder) as a:
        registry = {"WSP_REGISTRY__URL": f"http://127.0.0.1:{a.port}"}
        second = replace(second, environment={**second.environment, **registry})
        with (
            Running(second, bench.cores.server, bench.folder) as b,
            bench.generator(b, a.pid, b.pid) as generator,
        ):
            generator.do(opening(b, subscribers))
            for window, count in ((1, 120), (8, 480)):
                load = Load(bench.times(count, 3 * window), window, _SHORT)
                for where, port in (("the subscribers' node", b.port), ("another node", a.port)):
                    publisher(b, generator, port)
                    warm_up(bench, b, generator, replace(load, publications=2 * window + 8))
                    phase = generator.do(publishing(b, load))
                    case = Case(
                        "Two nodes",
                        f"published on {where}, {subscribers:,} subscribers, {window} in flight",
                        "cost",
                        "µs",
                    )
                    parts = {"publisher's": phase.cpu[0], "subscribers'": phase.cpu[1]}
                    values = {name: cpu / load.publications * 1e6 for name, cpu in parts.items()}
                    bench.add(OWN, case, {**cost(phase, load.publications), **values})


def workers(bench: Bench, subscribers: int = 1000) -> None:
    """One process, then two on one port: on the same core, for what the second adds and not for what it takes over."""
    for count in (1, 2):
        registry = free_port()  # of its process, where there is one
        settings = {"WSP_NODE__WORKERS": str(count), "WSP_REGISTRY__PORT": str(registry)}
        with Running(own(settings), bench.cores.server, bench.folder) as running:
            wait_for_nodes(registry if count > 1 else running.port, count)
            pids = family(running.pid)
            with bench.generator(running, *pids) as generator:
                before = [sockets(pid) for pid in pids]
                generator.do(opening(running, subscribers))
                shares = sorted(sockets(pid) - start for pid, start in zip(pids, before, strict=True))[-count:]
                publisher(running, generator)
                for window, publications in ((1, 120), (8, 480)):
                    load = Load(bench.times(publications, 3 * window), window, _SHORT)
                    warm_up(bench, running, generator, replace(load, publications=2 * window + 8))
                    phase = generator.do(publishing(running, load))
                    name = f"{count} worker{'s' * (count > 1)}, {subscribers:,} subscribers, 128 B, {window} in flight"
                    spread = (shares[-1] - shares[0]) / (sum(shares) / count)
                    values = {**cost(phase, phase.answer["deliveries"]), "spread": spread}
                    bench.add(OWN, Case("Workers", name, "cost", "µs"), values)


def forwarding(bench: Bench) -> None:
    """One way, the mesh, its transport without the link, and a bare stream: µs of CPU per message on either side."""
    for batch, count in ((1, 40_000), (10, 200_000), (100, 400_000)):
        messages = bench.times(count, 10_000)
        for kind, server in (("mesh", OWN), ("transport", "without link"), ("stream", "asyncio stream")):
            send, receive = _forward(bench, kind, messages, batch)
            for side, cpu in (("send", send), ("receive", receive)):
                case = Case("Node to node", f"{side} 190 B, {batch} in a turn of the loop", "cost", "µs")
                bench.add(server, case, {"cost": cpu / messages * 1e6})


def inside(bench: Bench) -> None:
    """A process of the platform with a probe in it: the collector's work, and the longest turn of the loop."""
    probe = replace(own(), command=lambda port: (sys.executable, "-m", "benchmarks.probes.node", str(port)))
    with Running(probe, bench.cores.server, bench.folder) as running, bench.generator(running) as generator:
        empty = running.ask("objects")
        generator.do(opening(running, _MANY))
        full = running.ask("objects")
        collect = min(running.ask("collect")["seconds"] for _ in range(3))
        case = Case("Collector", f"full collection at {_MANY:,} connections", "cost", "ms")
        objects = (full["tracked"] - empty["tracked"]) / _MANY
        bench.add(OWN, case, {"cost": collect * 1e3, "tracked per connection": objects})
        publisher(running, generator)
        generator.do(publishing(running, Load(8, 8, _SHORT)))
        for window in (1, 8):
            running.ask("watch")
            generator.do(publishing(running, Load(bench.times(40, 3 * window), window, 1024)))
            longest = running.ask("longest")["longest"]
            case = Case("Longest turn", f"{_MANY:,} subscribers, 1 KiB, {window} in flight", "cost", "ms")
            bench.add(OWN, case, {"cost": longest * 1e3})


def metered(bench: Bench) -> None:
    """With all metrics and without: servers at the same time, asked in turn, so that all see the same machine."""
    for name, open_, load in (
        ("1,000 subscribers, 128 B, 1 in flight", (1000, 1), Load(bench.times(20, 6), 1, _SHORT)),
        ("100 channels × 10 subscribers, 128 B, 64 in flight", (1000, 100), Load(bench.times(2000), 64, _SHORT, 100)),
        ("1,000 channels × 1 subscriber, 128 B, 64 in flight", (1000, 1000), Load(bench.times(6000), 64, _SHORT, 1000)),
    ):
        _pairs(bench, name, partial(_subscribed, bench, open_, load), partial(_published, load))
    _pairs(bench, "client publishes 128 B, nobody subscribed", _flooders, partial(_flooded, bench.times(8000)))


def _pairs(
    bench: Bench,
    name: str,
    prepare: Callable[[Running, Generator], None],
    measure: Callable[[Running, Generator], dict[str, float]],
) -> None:
    """Two servers of each kind: two that are the same differ, too, by where their memory happens to be."""
    # While another server is asked, nobody would answer a ping.
    silent = {"WSP_CLIENT__PING_SECONDS": "3600", "WSP_CLIENT__PONG_SECONDS": "3600"}
    kinds = {OWN: own(silent), UNMETERED: own({**silent, "WSP_METRICS__ENABLED": "false"})}
    costs: dict[str, list[float]] = {kind: [] for kind in kinds}
    with ExitStack() as stack:
        ready = []
        for kind, server in (*kinds.items(), *kinds.items()):
            running = stack.enter_context(Running(server, bench.cores.server, bench.folder))
            generator = stack.enter_context(bench.generator(running))
            prepare(running, generator)
            ready.append((kind, running, generator))
        for _ in range(_PAIRS):
            random.shuffle(ready)
            spent = dict.fromkeys(kinds, 0.0)
            for kind, running, generator in ready:
                spent[kind] += measure(running, generator)["cost"] / 2
            for kind, value in spent.items():
                costs[kind].append(value)
    ratios = [on / off for on, off in zip(costs[OWN], costs[UNMETERED], strict=True)]
    for kind in kinds:
        ratio = median(ratios) if kind == OWN else 1.0
        bench.add(kind, Case("Metrics", name, "ratio", "×"), {"ratio": ratio, "cost": median(costs[kind])})


def _subscribed(bench: Bench, channels: tuple[int, int], load: Load, running: Running, generator: Generator) -> None:
    generator.do(opening(running, *channels))
    publisher(running, generator)
    warm_up(bench, running, generator, load)


def _published(load: Load, running: Running, generator: Generator) -> dict[str, float]:
    phase = generator.do(publishing(running, load))
    return cost(phase, phase.answer["deliveries"])


def _flooders(running: Running, generator: Generator) -> None:
    dialect = running.server.dialect
    generator.do(f"open {FLOODERS} {BURST} {dialect.connect[0]} 0 {dialect.connect[1]}")
    generator.do(f"flood 10000 64 {dialect.flood}")


def _flooded(messages: int, running: Running, generator: Generator) -> dict[str, float]:
    phase = generator.do(f"flood {messages} 64 {running.server.dialect.flood}")
    return cost(phase, phase.answer["messages"])


def _forward(bench: Bench, kind: str, messages: int, batch: int) -> tuple[float, float]:
    """CPU seconds of the sender and of the receiver."""
    command = [sys.executable, "-m", "benchmarks.probes.forward", kind]
    with pinned(bench.cores.server):
        receiver = _probe([*command, "receive"])
    try:
        port = int(_line(receiver)["port"])
        with pinned(bench.cores.generator):
            sender = _probe([*command, "send", str(port), str(messages), str(batch), "190"])
        try:
            return _line(sender)["cpu"], _line(receiver)["cpu"]
        finally:
            _end(sender)
    finally:
        _end(receiver)


def _probe(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True)


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _line(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise BenchmarkError("a probe of the mesh has ended early")
    answer: dict[str, float] = json.loads(line)
    return answer
