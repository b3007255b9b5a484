"""The catalogue of metrics, and the buckets of times."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.metrics import CATALOGUE, LARGEST, Metric, bucket_of, largest_in


@given(st.integers(0, LARGEST))
def test_a_time_is_in_a_bucket_whose_longest_is_at_most_a_sixteenth_longer(microseconds: int) -> None:
    longest = largest_in(bucket_of(microseconds))
    assert microseconds <= longest <= microseconds + microseconds // 16


@given(st.integers(0, LARGEST - 1))
def test_longer_times_are_in_the_same_bucket_or_a_later_one(microseconds: int) -> None:
    assert 0 <= bucket_of(microseconds + 1) - bucket_of(microseconds) <= 1


@given(st.integers())
def test_what_is_no_time_or_too_long_a_one_has_a_bucket_too(microseconds: int) -> None:
    assert bucket_of(0) <= bucket_of(microseconds) <= bucket_of(LARGEST)


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"wsplatform(_[a-z]+)+", metric.prometheus)
    assert metric.prometheus.endswith("_total") == (metric.kind == "counter")
    assert metric.unit in metric.prometheus
    assert metric.help.endswith(".")


def test_no_two_metrics_have_one_name() -> None:
    assert len({metric.prometheus for metric in CATALOGUE.values()}) == len(CATALOGUE)
