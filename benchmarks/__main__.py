from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks import own as own_cases
from benchmarks.host import BenchmarkError, choose_cores, describe, descriptors
from benchmarks.install import NAMES, prepare
from benchmarks.report import Run, as_json, markdown
from benchmarks.results import Results
from benchmarks.scenarios import Bench, audience, channels, flood
from benchmarks.servers import OWN, SEND, Server, limits, own, peers

_NEEDED_DESCRIPTORS = 9_500
_FEW, _MANY = 1000, 9000
_NONE = "none"


def main() -> int:
    arguments = read_arguments()
    began = time.monotonic()
    try:
        _check_descriptors()
        with tempfile.TemporaryDirectory(prefix="wsplatform-bench-") as folder:
            run = _measure(arguments, Path(folder), began)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    text = markdown(run)
    print(text)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "benchmarks.md").write_text(text)
        (arguments.out / "benchmarks.json").write_text(as_json(run))
    return 1 if run.failed else 0


def _check_descriptors() -> None:
    if descriptors() < _NEEDED_DESCRIPTORS:
        have = f"A process may open {descriptors()} files here"
        raise BenchmarkError(f"{have}, {_NEEDED_DESCRIPTORS} are needed: raise the limit (ulimit -Hn).")


def read_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """given: instead of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="wsplatform beside other servers.")
    parser.add_argument("--quick", action="store_true", help="a few minutes instead of half an hour, and less exact")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (4; quick: 2)")
    parser.add_argument("--effort", type=float, help="the length of each measurement (1; quick: 0.2)")
    parser.add_argument(
        "--servers",
        nargs="+",
        choices=[*NAMES, _NONE],
        default=list(NAMES),
        metavar="NAME",
        help=f"of the peers only these, or {_NONE}: {', '.join(NAMES)}",
    )
    parser.add_argument("--only", nargs="+", choices=sorted({*_SCENARIOS, *_OWN, "linear"}), help="only these cases")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where benchmarks.md and benchmarks.json are written"
    )
    arguments = parser.parse_args(given)
    if _NONE in arguments.servers and len(arguments.servers) > 1:
        parser.error(f"argument --servers: {_NONE} stands by itself")
    return arguments


def peers_of(arguments: argparse.Namespace) -> list[str]:
    """Those that some case is going to measure."""
    compared = not arguments.only or not _SCENARIOS.keys().isdisjoint(arguments.only)
    return [name for name in arguments.servers if name != _NONE] if compared else []


def _measure(arguments: argparse.Namespace, folder: Path, began: float) -> Run:
    quick = arguments.quick
    wanted = peers_of(arguments)
    tools = prepare(folder, wanted)
    others = [peer for peer in peers(tools) if peer.name in wanted]
    servers = [*limits(tools), own(), *others]
    results = Results()
    bench = Bench(choose_cores(), tools, folder, results, arguments.effort or (0.2 if quick else 1.0))
    failed: list[str] = []
    rounds = arguments.rounds or (2 if quick else 4)
    for number in range(1, rounds + 1):
        steps = _round(bench.in_round(number), servers, arguments, number)
        for index, (what, step) in enumerate(steps, 1):
            print(f"round {number}/{rounds}, {index}/{len(steps)}: {what}", file=sys.stderr)
            try:
                step()
            except BenchmarkError as error:
                print(f"failed: {error}", file=sys.stderr)
                failed.append(f"round {number}, {what}: {error}")
    versions = {server.name: server.version for server in servers}
    return Run(results, describe(), versions, tools.missing, failed, rounds, time.monotonic() - began)


_SCENARIOS: dict[str, Callable[[Bench, Server], None]] = {
    "few": partial(audience, subscribers=_FEW),
    "many": partial(audience, subscribers=_MANY),
    "channels": channels,
    "flood": flood,
}
_OWN: dict[str, Callable[[Bench], None]] = {
    "names": partial(own_cases.names, many=1_000_000),
    "nodes": own_cases.two_nodes,
    "workers": own_cases.workers,
    "forward": own_cases.forwarding,
    "inside": own_cases.inside,
    "metrics": own_cases.metered,
}
_AGAIN = ("few", "channels", "flood")
"""What a quick run measures in its second round, too."""

_FEWER_NAMES = 100_000
"""In a quick run."""


_Step = tuple[str, Callable[[], None]]


def _round(bench: Bench, servers: list[Server], arguments: argparse.Namespace, number: int) -> list[_Step]:
    """What is compared with each other is measured one after the other, before the machine becomes another."""
    wanted = arguments.only or [*_SCENARIOS, *_OWN, "linear"]
    if arguments.quick and number > 1:
        wanted = [name for name in wanted if name in _AGAIN]
    groups = [list(_steps(bench, servers, name, quick=arguments.quick)) for name in wanted]
    random.shuffle(groups)
    for group in groups:
        random.shuffle(group)
    return [step for group in groups for step in group]


def _steps(bench: Bench, servers: list[Server], name: str, *, quick: bool) -> Iterator[_Step]:
    if name in _SCENARIOS:
        for server in servers:
            yield f"{name}: {server.name}", partial(_SCENARIOS[name], bench, server)
    elif name == "linear":
        for server in servers:
            if server.name in {OWN, SEND}:
                yield f"linear: {server.name}", partial(own_cases.linear, bench, server)
    elif name == "names" and quick:
        yield name, partial(own_cases.names, bench, many=_FEWER_NAMES)
    else:
        yield name, partial(_OWN[name], bench)


if __name__ == "__main__":
    sys.exit(main())
