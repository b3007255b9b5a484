"""What the platform has promised itself, held against what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.own import UNMETERED
from benchmarks.results import Case, Range, Results
from benchmarks.servers import JOIN, OWN, SEND, WS

_PEERS = (WS, "socket.io", "python-socketio", "websockets", "centrifugo")


@dataclass(frozen=True, slots=True)
class Check:
    """`found` has the worst that counts in `value`."""

    what: str
    most: float
    value: float
    unit: str
    spread: Range

    @property
    def kept(self) -> bool:
        return self.value <= self.most


def checks(results: Results) -> list[Check]:
    """All that can be told from what was measured."""
    found: list[Check] = []
    for case in results.cases():
        found += _of_case(results, case)
    found += _linearity(results)
    found += _across(results, "Names", "publication to one of", 1.0)
    found += _two_nodes(results)
    found += _workers(results)
    return found


def _of_case(results: Results, case: Case) -> Iterator[Check]:
    if case.group == "Fan-out":
        yield from _fan_out(results, case)
    elif case.group == "Connecting":
        yield from _ratio(results, case, WS, 1 / 3)
    elif case.group == "Inbound":
        yield from _ratio(results, case, WS, 2.0)
    elif case.group == "Metrics":
        yield from _ratio(results, case, UNMETERED, 1.05)
    elif case.group == "Latency":
        yield from _ratio(results, case, SEND, 1.3)
        yield from _ratio(results, case, WS, 1.0)
    elif case.group == "Node to node" and case.name.startswith(("send 190 B, 100 ", "receive 190 B, 100 ")):
        yield from _ratio(results, case, "asyncio stream", 1.5)
    else:
        most = {"Memory": 3072.0, "Collector": 30.0, "Longest turn": 20.0}.get(case.group)
        measured = results.measure(case, OWN, case.cost)
        if most is not None and measured is not None:
            yield Check(f"{case.group}: {case.name}", most, measured.middle, case.unit, measured)


def _fan_out(results: Results, case: Case) -> Iterator[Check]:
    if case.name == "1,000 subscribers, 128 B, 1 in flight":
        yield from _ratio(results, case, SEND, 1.15)
        yield from _ratio(results, case, WS, 0.7)
    elif case.name == "1,000 subscribers, 128 B, 8 in flight":
        yield from _ratio(results, case, JOIN, 1 / 0.8)
        yield from _ratio(results, case, WS, 1 / 7)
    for peer in _PEERS:
        yield from _ratio(results, case, peer, 1.0)
    yield from _ratio(results, case, "bun", 1.1)


def _ratio(results: Results, case: Case, to: str, most: float) -> Iterator[Check]:
    spread = results.ratio(case, OWN, to)
    if spread is not None:
        yield Check(f"{case.group}: {case.name}: by {to}", most, spread.middle, "×", spread)


def _linearity(results: Results) -> Iterator[Check]:
    """Twice the subscribers: the cost of a publication, which is that of a delivery times their number."""
    cases = [case for case in results.cases() if case.group == "Linearity"]
    for half, full in pairwise(cases):
        for server in (OWN, SEND):
            spread = results.ratio(full, server, server, of=half)
            if spread is not None:
                twice = Range(2 * spread.least, 2 * spread.middle, 2 * spread.most, spread.rounds)
                yield Check(f"{server}: {full.name} by half as many", 2.1, twice.middle, "×", twice)


def _across(results: Results, group: str, start: str, most: float) -> Iterator[Check]:
    """The second of two cases by the first."""
    cases = [case for case in results.cases() if case.group == group and case.name.startswith(start)]
    for first, second in zip(cases[::2], cases[1::2], strict=False):
        yield from _pair(results, first, second, most)


def _pair(results: Results, first: Case, second: Case, most: float) -> Iterator[Check]:
    spread = results.ratio(second, OWN, OWN, of=first)
    if spread is not None:
        yield Check(f"{second.group}: {second.name}, by: {first.name}", most, spread.middle, "×", spread)


def _workers(results: Results) -> Iterator[Check]:
    cases = [case for case in results.cases() if case.group == "Workers"]
    for one in cases:
        for two in cases:
            if one.name.startswith("1 worker,") and two.name == one.name.replace("1 worker,", "2 workers,"):
                yield from _pair(results, one, two, 1.1)
    spread = next((results.measure(case, OWN, "spread") for case in cases if case.name.startswith("2 ")), None)
    if spread is not None:
        yield Check("Workers: connections, most by least, of the mean", 0.2, spread.middle, "", spread)


def _two_nodes(results: Results) -> Iterator[Check]:
    yield from _across(results, "Two nodes", "published on", 1.2)
