"""What plugins measure: what is let through can always be shown, what cannot is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import exposition, parser
from prometheus_client.openmetrics import exposition as openmetrics

from wsplatform.core.metrics import CATALOGUE, Metric, Sample
from wsplatform.plugins.base import MAX_SERIES
from wsplatform.plugins.figures import checked, declared
from wsplatform.plugins.haproxy_figures import METRICS
from wsplatform.web.prometheus import About, Page

RECORDS = Metric("dns_records", "gauge", "Records of the zone.", label="zone")
WRITES = Metric("dns_writes", "counter", "Writes.")

words = st.one_of(st.sampled_from(["dns_records", "dns_writes", ""]), st.text(max_size=200))
values = st.one_of(st.floats(), st.integers(), st.none(), st.text(), st.sampled_from([10**400, True, [1]]))


class Counting:
    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def measure(self) -> list[Sample]:
        return self._samples


def shown(metrics: list[Metric], samples: list[Sample]) -> tuple[str, str]:
    """The page as Prometheus gets it, in both formats."""
    page = Page([Counting(samples)], About("1", "", 0.0), lambda: metrics)
    return exposition.generate_latest(page).decode(), openmetrics.generate_latest(page).decode()


@given(st.lists(st.one_of(st.tuples(words, values, words), st.tuples(words, values))))
def test_what_a_plugin_tells_is_refused_or_shown(told: Any) -> None:
    metrics = declared("dns", [RECORDS, WRITES])
    try:
        samples = checked(metrics, told)
    except (ValueError, TypeError, OverflowError):
        return
    text, _ = shown([RECORDS, WRITES], samples)
    found = [sample for family in parser.text_string_to_metric_families(text) for sample in family.samples]
    assert len([sample for sample in found if "dns" in sample.name]) == len(samples)


@given(st.builds(Metric, *[st.one_of(st.sampled_from(["dns_a", "counter", "gauge", "", "seconds"]), st.text())] * 6))
def test_a_metric_is_refused_or_shown(metric: Metric) -> None:
    try:
        metrics = declared("dns", [metric])
    except ValueError:
        return
    sample = Sample(metric.name, 1.0, "x" if metric.label else "")
    text, _ = shown([metric], checked(metrics, [sample]))
    names = {sample.name for family in parser.text_string_to_metric_families(text) for sample in family.samples}
    assert metric.prometheus in names


@pytest.mark.parametrize(
    "metric",
    [
        Metric("records", "gauge", "Not named after the plugin."),
        Metric("dns_x", "gauge", "A name of somebody else.", exported="up"),
        Metric("dns_x_total", "gauge", "An ending that means something."),
        Metric("dns_x", "histogram", "No such kind for plugins.", "seconds"),
        Metric("dns_x", "gauge", "No such label.", label="a-b"),
        WRITES,
    ],
    ids=lambda metric: metric.help,
)
def test_a_name_that_would_be_mistaken_is_refused(metric: Metric) -> None:
    with pytest.raises(ValueError, match=metric.name):
        declared("dns", [metric], {"wsplatform_dns_writes_total"})


def test_a_plugin_cannot_be_taken_for_the_platform() -> None:
    with pytest.raises(ValueError, match="wsplatform_link_up is taken"):
        declared("link", [CATALOGUE["link_up"]])


@pytest.mark.parametrize(
    "samples",
    [
        [Sample("dns_other", 1)],
        [Sample("dns_writes", float("nan"))],
        [Sample("dns_writes", -1)],
        [Sample("dns_writes", 1, "label")],
        [Sample("dns_records", 1)],
        [Sample("dns_records", 1, "a"), Sample("dns_records", 2, "a")],
        [Sample("dns_records", 1, str(number)) for number in range(MAX_SERIES + 1)],
    ],
)
def test_a_sample_that_cannot_be_is_named(samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match="dns_"):
        checked(declared("dns", [RECORDS, WRITES]), samples)


def test_the_names_of_a_plugin_with_signs_in_its_name() -> None:
    assert list(declared("My-DNS.2", [Metric("my_dns_2_records", "gauge", "x")])) == ["my_dns_2_records"]


def test_haproxys_own_are_in_order() -> None:
    assert [metric.name for metric in declared("haproxy", METRICS).values()] == [metric.name for metric in METRICS]
