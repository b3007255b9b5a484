"""The alarms and the dashboard for Prometheus and Grafana use what is there, and each alarm says what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.support.documents import ROOT, prose
from tests.support.monitoring import ALERTS, BOARD, expressions, rules
from tests.support.promql import Used, used
from wsplatform.core.metrics import CATALOGUE, REGISTRY_METRICS, Metric
from wsplatform.plugins import haproxy_figures

OPERATING = ROOT / "docs" / "operating.md"
METRICS: tuple[Metric, ...] = (*CATALOGUE.values(), *REGISTRY_METRICS.values(), *haproxy_figures.METRICS)
OTHERS = {"up": {"job"}, "wsplatform_info": {"version", "node"}}
EVERYWHERE = {"job", "instance"}
LOSSES = {"wsplatform_link_dropped_total", "wsplatform_link_gaps_total", "wsplatform_nodes_lost_total"}
"""Which are looked at as they stand: the first loss counts."""


def series() -> dict[str, set[str]]:
    """Name of a series -> its labels."""
    found = {name: labels | EVERYWHERE for name, labels in OTHERS.items()}
    for metric in METRICS:
        own = {metric.label} - {""} | EVERYWHERE
        endings = {"_bucket": {"le"}, "_sum": set(), "_count": set()} if metric.kind == "histogram" else {"": set()}
        found |= {metric.prometheus + ending: own | more for ending, more in endings.items()}
    return found


@pytest.mark.parametrize(("where", "expression"), [*expressions()], ids=lambda text: text[:30])
def test_an_expression_uses_what_there_is(where: str, expression: str) -> None:
    there = series()
    found = used(expression)
    assert found.metrics
    assert found.metrics <= set(there), where
    assert found.labels <= set().union(*(there[name] for name in found.metrics)), where
    plain = {name for name in found.metrics if not re.search(rf"(rate|increase)\({name}", expression)}
    assert {name for name in plain if name.endswith("_total")} <= LOSSES, where


def test_each_alarm_has_a_section_that_says_what_to_do() -> None:
    section = prose(OPERATING).partition("## Alarms\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (\w+)$", section, re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        text = section.partition(f"### {rule['alert']}\n")[2].partition("\n### ")[0]
        assert len(text.split()) > 30, rule["alert"]


def test_an_alarm_that_names_a_label_has_it() -> None:
    there = series()
    for rule in rules():
        named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        kept = set(re.findall(r"by \(([^)]*)\)", rule["expr"]))
        labels = set().union(*(there[name] for name in used(rule["expr"]).metrics))
        assert named <= (set(re.split(r",\s*", next(iter(kept)))) if kept else labels), rule["alert"]


def test_the_dashboard_asks_whoever_imports_it_for_the_data_source() -> None:
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "job", "instance"}
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_example_of_a_configuration_reads_the_alarms() -> None:
    example = yaml.safe_load((ALERTS.parent / "prometheus.yml").read_text(encoding="utf-8"))
    assert [Path(name).name for name in example["rule_files"]] == [ALERTS.name]
    assert {job["job_name"] for job in example["scrape_configs"]} == {"wsplatform", "haproxy"}
    for file in (example, yaml.safe_load((ALERTS.parent / "compose.yml").read_text(encoding="utf-8"))):
        keys = {job["job_name"]: "authorization" in job for job in file["scrape_configs"]}
        assert keys == {"wsplatform": True, "haproxy": False}  # who asks for none is sent none


@pytest.mark.parametrize(
    ("expression", "metrics", "labels"),
    [
        ("a", {"a"}, set()),
        ('sum by (x, le) (rate(a_bucket{b="c d{e}", f=~"$g"}[5m]))', {"a_bucket"}, {"x", "le", "b", "f"}),
        ("a offset 10m or b * 0 > 1.5e3", {"a", "b"}, set()),
        ("a / on(x) group_left(y) b unless ignoring (z) c", {"a", "b", "c"}, {"x", "y", "z"}),
        ("histogram_quantile(0.99, sum without (x) (rate(a[$__rate_interval])))", {"a"}, {"x"}),
        ('{__name__="a"}', set(), {"__name__"}),
    ],
)
def test_names_are_found_in_expressions(expression: str, metrics: set[str], labels: set[str]) -> None:
    assert used(expression) == Used(frozenset(metrics), frozenset(labels))
