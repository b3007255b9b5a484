"""What is taken from a report: nothing that a node sends may grow without bound, or be no number."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_rollups import report
from wsplatform.core.metrics import CATALOGUE, LARGEST, bucket_of
from wsplatform.core.rollups import Fold, read_report, read_values
from wsplatform.core.samples import (
    COVERAGE,
    LONGEST,
    MAX_LABELS,
    MAX_VALUE,
    OTHER,
    Accepted,
    accept,
    kind_of,
)
from wsplatform.model import MetricReport

NOW = 1_700_000_000_000
T = NOW / 1000


def taken(accepted: Accepted) -> dict[str, dict]:
    values = read_report(accepted.data).values
    return {metric: dict(read_values(kind_of(metric), raw)) for metric, raw in values.items()}


def accepted(**values: object) -> Accepted:
    return accept(report(began=T - 10, ended=T, **values), NOW)


class TestValues:
    def test_are_whole_parts(self):
        found = taken(
            accepted(
                counters={"publications": {"client": 3.0}, "cpu": {"": 0.123457}},
                gauges={"host_load": {"": 1.25}, "link_rtt": {"b": 0.000312}, "memory": {"": 5e9}},
            )
        )
        assert found == {
            COVERAGE: {"": 10_000},
            "publications": {"client": 3},
            "cpu": {"": 123_457},
            "host_load": {"": 125},
            "link_rtt": {"b": 312},
            "memory": {"": 5_000_000_000},
        }

    def test_that_are_no_numbers_are_refused(self):
        found = accepted(
            counters={"publications": {"client": math.nan, "server": -1.0, "other": 2.0}},
            gauges={"sessions": {"": math.inf}, "host_load": {"": -1.0}},
            histograms={"fanout": {"": {-1: 5, bucket_of(LARGEST) + 1: 5, 7: 0, 8: -3, 9: 1}}},
        )
        assert found.refused == 7
        assert taken(found) == {
            COVERAGE: {"": 10_000},
            "publications": {"other": 2},
            "sessions": {},
            "host_load": {"": -100},
            "fanout": {"": {9: 1}},
        }

    def test_that_are_too_large_are_cut(self):
        found = taken(
            accepted(
                counters={"publications": {"client": 1e300}, "cpu": {"": 1.7e308}},
                gauges={"memory": {"": -1e300}},
                histograms={"fanout": {"": {9: 2**63}}},
            )
        )
        assert found["publications"] == {"client": MAX_VALUE}
        assert found["cpu"] == {"": MAX_VALUE}
        assert found["memory"] == {"": -MAX_VALUE}
        assert found["fanout"] == {"": {9: MAX_VALUE}}

    def test_metrics_that_there_are_not_are_refused_and_labels_where_there_is_none(self):
        found = accepted(
            counters={"made_up": {"": 1.0}, "sessions": {"": 1.0}, "deliveries": {"": 4.0, "x": 1.0}},
            histograms={"publications": {"": {1: 1}}},
        )
        assert found.refused == 4
        assert taken(found) == {COVERAGE: {"": 10_000}, "deliveries": {"": 4}}

    def test_too_many_or_too_long_labels_are_counted_together(self):
        counters = {"errors": {str(number): 1.0 for number in range(10_000)} | {"x" * 500: 5.0}}
        found = taken(accepted(counters=counters))["errors"]
        assert len(found) == MAX_LABELS + 1
        assert found[OTHER] == 10_000 - MAX_LABELS + 5
        assert max(map(len, found)) < 10


class TestTimes:
    def of(self, began: float, ended: float) -> tuple[float, float, bool]:
        """In seconds before now, and whether they were replaced."""
        found = accept(MetricReport(number=1, began=began, ended=ended, counters={}, gauges={}, histograms={}), NOW)
        return (NOW - found.began) / 1000, (NOW - found.ended) / 1000, found.misplaced

    def test_nearly_those_at_which_nodes_report_are_meant_as_such(self):
        assert self.of(T - 19.996, T - 9.2) == (20, 10, False)
        assert self.of(T - 27, T - 10.004) == (27, 10, False)

    def test_that_cannot_be_are_now(self):
        assert self.of(T + 3600, T + 3610) == (10, 0, True)
        assert self.of(10.0, 20.0) == (10, 0, True)
        assert self.of(math.nan, T) == (10, 0, True)
        assert self.of(T, math.inf) == (10, 0, True)
        assert self.of(-1e300, 1e300) == (LONGEST / 1000, 0, True)

    def test_have_a_length_between_a_second_and_a_day(self):
        assert self.of(T, T - 10) == (11, 10, True)
        assert self.of(T - 30, T - 30) == (31, 30, False)
        assert self.of(T - 200_000, T - 10) == (86_410, 10, True)


ANY = st.floats() | st.integers(-(2**70), 2**70).map(float)
LABELS = st.text(max_size=5)
NAMES = st.sampled_from([*CATALOGUE, "made_up", ""])


@given(
    st.builds(
        MetricReport,
        number=st.integers(),
        began=ANY,
        ended=ANY,
        counters=st.dictionaries(NAMES, st.dictionaries(LABELS, ANY, max_size=3), max_size=3),
        gauges=st.dictionaries(NAMES, st.dictionaries(LABELS, ANY, max_size=3), max_size=3),
        histograms=st.dictionaries(
            NAMES,
            st.dictionaries(
                LABELS, st.dictionaries(st.integers(-5, 700), st.integers(-(2**63), 2**64 - 1), max_size=4), max_size=2
            ),
            max_size=2,
        ),
    )
)
def test_whatever_is_reported_can_be_kept_and_folded(told):
    found = accept(told, NOW)
    kept = read_report(found.data)
    assert 1000 <= kept.ended - kept.began <= LONGEST
    assert NOW - 401 * LONGEST < kept.began < kept.ended <= NOW + 10_000
    fold = Fold(NOW - 20_000)
    fold.add("a", kept)
    assert list(fold.chunks())
