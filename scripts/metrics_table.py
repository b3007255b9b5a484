"""Writes the table of all metrics into docs/metrics.md, between two markers:  python scripts/metrics_table.py

It is made from the catalogue in wsplatform/core/metrics.py, and from what the plugin for HAProxy declares.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wsplatform.core.metrics import CATALOGUE, REGISTRY_METRICS, Metric
from wsplatform.plugins.haproxy_figures import METRICS

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
    parts = {"Of the registry": REGISTRY_METRICS.values(), "Of its plugin for HAProxy": METRICS}
    more = "".join(f"\n\n{title}:\n\n{_table(metrics)}" for title, metrics in parts.items())
    return _table(CATALOGUE.values()) + more


def _table(metrics: Iterable[Metric]) -> str:
    rows = [
        f"| `{metric.name}` | `{metric.prometheus}` | {metric.kind} | {metric.label and f'`{metric.label}`'} "
        f"| {metric.help} |"
        for metric in metrics
    ]
    return "\n".join(["| metric | in Prometheus | kind | label | |", "|---|---|---|---|---|", *rows])


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
