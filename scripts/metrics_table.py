"""Writes the table of all metrics into docs/metrics.md, between two markers:  python scripts/metrics_table.py

It is made from the catalogue in wsplatform/core/metrics.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wsplatform.core.metrics import CATALOGUE, REGISTRY_METRICS, Metric

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
BEGIN = "<!-- scripts/metrics_table.py writes what follows, from wsplatform/core/metrics.py -->"
END = "<!-- up to here -->"


def rewritten(page: str) -> str:
    """`page` with the tables as they are now. Raises ValueError when the markers are not there, once and in order."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"{PAGE.name} has to hold {BEGIN!r} and {END!r}, each once")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def tables() -> str:
    """Markdown: what nodes measure, and what the registry's process tells beside that of its process."""
    return f"{_table(CATALOGUE.values())}\n\nOf the registry:\n\n{_table(REGISTRY_METRICS.values())}"


def _table(metrics: Iterable[Metric]) -> str:
    rows = [
        f"| `{metric.name}` | `{metric.prometheus}` | {metric.kind} | {metric.label and f'`{metric.label}`'} "
        f"| {metric.help} |"
        for metric in metrics
    ]
    return "\n".join(["| metric | in Prometheus | kind | label | |", "|---|---|---|---|---|", *rows])


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
