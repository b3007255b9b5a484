"""The catalogue of metrics, and the buckets of times."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.metrics import (
    CATALOGUE,
    LARGEST,
    REGISTRY_METRICS,
    Durations,
    Metric,
    Recent,
    bucket_of,
    largest_in,
    quantile,
)
from wsplatform.plugins import haproxy_figures

_ALL = (*CATALOGUE.values(), *REGISTRY_METRICS.values(), *haproxy_figures.METRICS)


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


@pytest.mark.parametrize("metric", _ALL, ids=lambda metric: metric.name)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"(wsplatform|process)(_[a-z]+)+", metric.prometheus)
    assert metric.prometheus.endswith("_total") == (metric.kind == "counter")
    assert metric.unit in metric.prometheus
    assert metric.help.endswith(".")


def test_no_two_metrics_have_one_name() -> None:
    assert len({metric.prometheus for metric in _ALL}) == len({metric.name for metric in _ALL}) == len(_ALL)


@given(st.lists(st.floats(0, 1e9), max_size=50))
def test_a_time_that_is_added_is_in_its_bucket(times: list[float]) -> None:
    durations = Durations()
    for seconds in times:
        durations.add(seconds)
    assert sum(durations.buckets) == len(times)
    buckets = [bucket_of(round(seconds * 1e9) // 1000) for seconds in times]
    for bucket in set(buckets):
        assert durations.buckets[bucket] == buckets.count(bucket)
    assert durations.sum == pytest.approx(sum(times), rel=1e-9, abs=1e-9 * len(times))


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=100), st.floats(0, 1))
def test_a_quantile_is_that_of_the_times_within_a_sixteenth(microseconds: list[int], share: float) -> None:
    durations = Durations()
    for number in microseconds:
        durations.add((number + 0.5) / 1e6)
    found = quantile(durations.buckets, share)
    exact = sorted(microseconds)[max(0, math.ceil(share * len(microseconds)) - 1)]
    assert found is not None
    assert exact <= found * 1e6 + 0.5
    assert found * 1e6 <= exact * 17 / 16 + 0.5


@given(st.lists(st.integers(0, 10**16), max_size=200), st.integers(1, 50))
def test_times_that_are_noted_are_as_those_that_are_added(nanoseconds: list[int], at_once: int) -> None:
    noted, added = Durations(), Durations()
    for place, time in enumerate(nanoseconds):
        noted.noted.append(time)
        if place % at_once == 0:
            noted.settle()
        added.add(time / 1e9)
    assert sum(noted.buckets) == len(nanoseconds)
    assert noted.noted == []
    assert noted.sum == pytest.approx(added.sum)
    for bucket in map(bucket_of, (time // 1000 for time in nanoseconds)):
        assert noted.buckets[bucket]


def test_what_is_recent_is_told_once() -> None:
    durations = Durations()
    recent = Recent(durations)
    assert recent.quantile(0.99) is None
    for seconds in [0.001] * 98 + [0.5] * 2:
        durations.add(seconds)
    assert recent.quantile(0.5) == pytest.approx(0.001, rel=1 / 16)
    durations.add(0.25)
    assert recent.quantile(0.99) == pytest.approx(0.25, rel=1 / 16)
    assert recent.quantile(0.99) is None
