import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.histogram import LARGEST, Histogram

values = st.integers(0, 300) | st.integers(0, 10_000_000) | st.integers(0, LARGEST)
shares = st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0]) | st.floats(0, 1)


def filled(numbers: list[int]) -> Histogram:
    histogram = Histogram()
    for number in numbers:
        histogram.add(number)
    return histogram


@given(st.lists(values, min_size=1, max_size=200), shares)
def test_a_quantile_is_never_below_the_exact_one_and_at_most_a_128th_above(numbers: list[int], share: float) -> None:
    exact = sorted(numbers)[max(math.ceil(share * len(numbers)) - 1, 0)]
    found = filled(numbers).quantile(share)
    assert exact <= found <= exact + exact // 128
    if exact < 256:
        assert found == exact


@given(st.lists(values, min_size=1))
def test_count_and_highest_are_exact(numbers: list[int]) -> None:
    histogram = filled(numbers)
    assert (histogram.count, histogram.highest) == (len(numbers), max(numbers))
    assert histogram.quantile(1) == max(numbers)


@given(st.lists(values, min_size=1), shares, shares)
def test_quantiles_ascend(numbers: list[int], one: float, other: float) -> None:
    histogram = filled(numbers)
    assert histogram.quantile(min(one, other)) <= histogram.quantile(max(one, other))


@pytest.mark.parametrize(("value", "counted"), [(-1, 0), (LARGEST + 1, LARGEST), (1 << 80, LARGEST)])
def test_what_is_out_of_range_counts_as_the_nearest(value: int, counted: int) -> None:
    assert filled([value]).quantile(0.5) == counted


def test_nothing_measured() -> None:
    assert (Histogram().quantile(0.5), Histogram().highest) == (0, 0)
