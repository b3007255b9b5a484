"""Samples, and what is computed from them: medians, ranges, medians of ratios within one round."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a table. cost: the measure that is compared; unit: how it is written."""

    group: str
    name: str
    cost: str
    unit: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What one round measured. `values` holds the case's cost, and whatever else is shown."""

    round: int
    server: str
    case: Case
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Range:
    """Of one measure over all rounds."""

    least: float
    middle: float
    most: float
    rounds: int


@dataclass(slots=True)
class Results:
    samples: list[Sample] = field(default_factory=list)

    def add(self, round_: int, server: str, case: Case, values: dict[str, float]) -> None:
        self.samples.append(Sample(round_, server, case, values))

    def cases(self) -> list[Case]:
        return list(dict.fromkeys(sample.case for sample in self.samples))

    def servers(self, case: Case) -> list[str]:
        return list(dict.fromkeys(sample.server for sample in self.samples if sample.case == case))

    def measure(self, case: Case, server: str, name: str) -> Range | None:
        return _range(
            sample.values[name]
            for sample in self.samples
            if sample.case == case and sample.server == server and name in sample.values
        )

    def costs(self, case: Case, server: str) -> dict[int, float]:
        """By round."""
        return {
            sample.round: sample.values[case.cost]
            for sample in self.samples
            if sample.case == case and sample.server == server
        }

    def ratio(self, case: Case, server: str, to: str, *, of: Case | None = None) -> Range | None:
        """Cost of `server` by cost of `to`, each pair from one round. `of`: the other's case, if it is another."""
        costs, others = self.costs(case, server), self.costs(of or case, to)
        return _range(cost / others[round_] for round_, cost in costs.items() if others.get(round_, 0.0) > 0)


def _range(values: Iterable[float]) -> Range | None:
    found = sorted(values)
    return Range(found[0], median(found), found[-1], len(found)) if found else None
