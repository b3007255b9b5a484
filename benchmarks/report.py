"""The results as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from benchmarks.budget import Check, checks
from benchmarks.results import Case, Range, Results
from benchmarks.servers import JOIN, OWN, SEND, WS

_REFERENCES = (SEND, JOIN, WS)
_SHARES = {"busy": "server busy", "generator": "generator busy"}
_WHAT = {
    "Fan-out": "CPU per delivery",
    "Linearity": "CPU per delivery",
    "Workers": "CPU per delivery, all processes",
    "Connecting": "CPU per client",
    "Inbound": "CPU per message",
    "Names": "CPU each",
    "Two nodes": "CPU per publication, both nodes",
    "Node to node": "CPU per message",
    "Memory": "resident per connection",
    "Collector": "CPU",
    "Longest turn": "CPU",
    "Latency": "p99",
}


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured, where and with what. missing: peer -> why. failed: measurements that could not be made."""

    results: Results
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    missing: Mapping[str, str]
    failed: Sequence[str]
    rounds: int
    seconds: float


def markdown(run: Run) -> str:
    return "\n".join((*_head(run), *_budget(run.results), *_tables(run.results))) + "\n"


def as_json(run: Run) -> str:
    results = run.results
    cases = [
        {**asdict(case), "servers": {server: _figures(results, case, server) for server in results.servers(case)}}
        for case in results.cases()
    ]
    return json.dumps(
        {
            "machine": run.machine,
            "versions": run.versions,
            "missing": run.missing,
            "failed": run.failed,
            "rounds": run.rounds,
            "seconds": round(run.seconds),
            "budget": [{**asdict(check), "kept": check.kept} for check in checks(results)],
            "cases": cases,
        },
        indent=1,
    )


def _figures(results: Results, case: Case, server: str) -> dict[str, object]:
    samples = [sample for sample in results.samples if sample.case == case and sample.server == server]
    ratios = {to: results.ratio(case, server, to) for to in _REFERENCES}
    return {
        "rounds": [{"round": sample.round, **sample.values} for sample in samples],
        "ratios": {to: asdict(ratio) for to, ratio in ratios.items() if ratio is not None},
    }


def _head(run: Run) -> Iterator[str]:
    machine = ", ".join(f"{name}: {value}" for name, value in run.machine.items())
    yield f"{machine}. Rounds: {run.rounds}, in {run.seconds / 60:.0f} minutes."
    yield "Figures are medians over the rounds, with least and most; ratios are medians of the rounds' ratios of cost."
    yield ""
    yield from _table(("server", "version"), run.versions.items())
    for name, why in run.missing.items():
        yield f"Left out: {name}: {why}."
    for what in run.failed:
        yield f"Failed: {what}."
    yield ""


def _budget(results: Results) -> Iterator[str]:
    yield "## The budget"
    yield ""
    rows = [
        (check.what, f"{_number(check.most)} {check.unit}", _spread(check), "kept" if check.kept else "**missed**")
        for check in checks(results)
    ]
    yield from _table(("what", "at most", "measured", ""), rows)


def _spread(check: Check) -> str:
    return f"{_range(check.spread)} {check.unit}"


def _tables(results: Results) -> Iterator[str]:
    for group, cases in groupby(sorted(results.cases(), key=lambda case: case.group), key=lambda case: case.group):
        yield f"## {group}"
        yield ""
        for case in cases:
            yield f"### {case.name}"
            yield ""
            yield from _case(results, case)


def _case(results: Results, case: Case) -> Iterator[str]:
    servers = results.servers(case)
    references = [to for to in _REFERENCES if to in servers and len(servers) > 1]
    more = list(dict.fromkeys(name for sample in results.samples if sample.case == case for name in sample.values))
    more = [name for name in more if name != case.cost and not (name == "cost" or name in _SHARES or name == "rate")]
    rate = any("rate" in sample.values for sample in results.samples if sample.case == case)
    heads = ["server", f"{_WHAT.get(case.group, case.cost)}, {case.unit}"]
    heads += [f"× {to}" for to in references] + more
    if rate:
        heads += ["per CPU second", "per second", *_SHARES.values()]
    rows = []
    for server in sorted(servers, key=lambda server: _middle(results, case, server, case.cost)):
        row = [f"**{server}**" if server == OWN else server, _range(results.measure(case, server, case.cost))]
        row += [_range(results.ratio(case, server, to)) for to in references]
        row += [_range(results.measure(case, server, name)) for name in more]
        if rate:
            row.append(_thousands(1e6 / _middle(results, case, server, "cost")))
            row.append(_thousands(_middle(results, case, server, "rate")))
            row += [f"{_middle(results, case, server, name):.0%}" for name in _SHARES]
        rows.append(row)
    yield from _table(heads, rows)


def _middle(results: Results, case: Case, server: str, name: str) -> float:
    measured = results.measure(case, server, name)
    return measured.middle if measured is not None else float("inf")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = list(heads)
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _range(found: Range | None) -> str:
    if found is None:
        return "–"
    if found.rounds == 1:
        return _number(found.middle)
    return f"{_number(found.middle)} ({_number(found.least)}–{_number(found.most)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _thousands(value: float) -> str:
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:,.1f} k" if value >= 1e3 else f"{value:.0f}"
