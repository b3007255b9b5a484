"""Questions about metrics: what they mean, what is refused, and what becomes of a step that is not over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_rollups import DAY, folded, histories, report
from wsplatform.core.metrics import CATALOGUE, bucket_of, largest_in
from wsplatform.core.rollups import Rollup, read_report
from wsplatform.core.samples import COVERAGE, accept
from wsplatform.core.series import MAX_POINTS, Answer, Asked, Question, Series, question
from wsplatform.errors import RequestError
from wsplatform.model import MetricReport

Told = list[tuple[str, MetricReport]]


def asked(metric: str, **more: Any) -> Question:
    return question(Asked(metric, **{"begin": DAY, "end": DAY + 60, "step": 10, **more}), DAY + 60)


def answer(told: Told, asked: Question, until: int = DAY + 86_400, fresh: Told = ()) -> list[Series]:
    return largest(told, asked, until, fresh)[0]


def largest(told: Told, asked: Question, until: int = DAY + 86_400, fresh: Told = ()) -> tuple[list[Series], int]:
    """fresh: reports that are not folded yet."""
    waiting = [(node, read_report(accept(one, (DAY + 86_400) * 1000).data)) for node, one in fresh]
    found = Answer(asked, until, waiting)
    for chunk in sorted(folded(told), key=lambda chunk: chunk.begin):
        if chunk.metric in (COVERAGE, asked.metric.name) and wanted(chunk, asked):
            found.chunk(chunk.metric, chunk.step, chunk.begin, chunk.data)
    return found.series()


def wanted(chunk: Rollup, asked: Question) -> bool:
    """All minutes are fresh here, so they stand for hours."""
    return chunk.step == min(asked.level, 60)


def values(told: Told, metric: str, until: int = DAY + 86_400, **more: Any) -> list[float | None]:
    (series,) = answer(told, asked(metric, **more), until)
    return series.values


def at(place: int, **content: Any) -> MetricReport:
    return report(place + 1, DAY + 10 * place, DAY + 10 * place + 10, **content)


def sent(amount: float) -> dict[str, dict[str, float]]:
    return {"deliveries": {"": amount}}


class TestQuestions:
    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"metric": "made_up"}, "unknown_metric"),
            ({"aggregation": "p99"}, "bad_aggregation"),
            ({"by": "label"}, "no_label"),
            ({"begin": DAY + 60}, "bad_range"),
            ({"step": 15}, "bad_step"),
            ({"begin": DAY - 10_000_000}, "too_many_points"),
        ],
    )
    def test_that_cannot_be_answered_are_refused_with_what_to_do(self, more, code):
        with pytest.raises(RequestError) as caught:
            question(Asked(**{"metric": "deliveries", "begin": DAY, "end": DAY + 60, "step": 10, **more}), DAY)
        assert (caught.value.status, caught.value.code) == (400, code)

    def test_without_more_are_about_the_last_hour(self):
        found = question(Asked("deliveries"), DAY + 3605)
        assert (found.begin, found.end, found.step, found.aggregation) == (DAY, DAY + 3620, 20, "rate")

    @given(st.floats(1, 10**9))
    def test_have_a_step_that_makes_few_points(self, length):
        found = question(Asked("sessions", begin=DAY * 1.0, end=DAY + length), DAY)
        assert found.points <= 302
        assert found.begin <= DAY
        assert found.end >= DAY + length
        assert found.begin % found.step == found.end % found.step == found.step % 10 == 0

    def test_are_rounded_to_whole_steps(self):
        found = question(Asked("sessions", begin=DAY + 59, end=DAY + 61, step=60), DAY)
        assert (found.begin, found.end, found.points) == (DAY, DAY + 120, 2)


class TestValues:
    def test_of_counters(self):
        told = [("a", at(0, counters=sent(10))), ("b", at(0, counters=sent(5))), ("a", at(1, counters=sent(20)))]
        assert values(told, "deliveries", aggregation="sum") == [15, 20, None, None, None, None]
        assert values(told, "deliveries", aggregation="rate") == [1.5, 2, None, None, None, None]
        assert values(told, "deliveries", aggregation="sum", step=60) == [35]
        assert values(told, "deliveries", aggregation="rate", step=30) == [35 / 30, None]
        assert values(told, "deliveries", aggregation="sum", node="b") == [5, None, None, None, None, None]

    def test_of_gauges(self):
        told = [
            ("a", at(0, gauges={"sessions": {"": 10.0}})),
            ("a", at(1, gauges={"sessions": {"": 20.0}})),
            ("b", at(1, gauges={"sessions": {"": 100.0}})),
        ]
        around = {"step": 60, "begin": DAY - 60, "end": DAY + 120}
        for aggregation, expected in {"sum": 65, "mean": 130 / 3, "min": 10, "max": 100, "last": 120}.items():
            assert values(told, "sessions", aggregation=aggregation, **around) == [None, pytest.approx(expected), None]
        assert values(told, "sessions") == [10, 120, None, None, None, None]

    @pytest.mark.parametrize("step", [10, 60, 300, 3600, 10_800])
    @pytest.mark.parametrize("by", ["", "label"])
    def test_of_gauges_added_when_nodes_begin_anew_under_another_id(self, step, by):
        """Two nodes of 100 sessions each at any time, and each run lasts for four minutes: never more than 200."""
        told = [
            (f"n{slot}-{(place + 7 * slot) // 24}", at(place, gauges={"link_waiting": {"p": 100.0}}))
            for place in range(3 * 1080)
            for slot in range(2)
        ]
        (found,) = answer(told, asked("link_waiting", by=by, step=step, end=DAY + 3 * 10_800))
        assert found.values == [pytest.approx(200)] * (3 * 10_800 // step)
        until = DAY + 2 * 10_800 + 5330
        told = [(node, one) for node, one in told if one.ended <= until]
        (found,) = answer(told, asked("link_waiting", by=by, step=step, end=DAY + 3 * 10_800), until)
        known = [value for value in found.values if value is not None]
        assert known == [pytest.approx(200)] * (-(-(until - DAY) // step))

    def test_of_gauges_added_when_a_cluster_begins_and_ends(self):
        """A step that nobody was there for all of is no drop."""
        told = [(node, at(place, gauges={"sessions": {"": 50.0}})) for place in range(3, 15) for node in "ab"]
        assert values(told, "sessions", step=60, end=DAY + 240, begin=DAY - 60) == [None, 100, 100, 100, None]
        assert values(told, "sessions", step=60, begin=DAY, end=DAY + 60, node="a") == [50]

    def test_of_times_are_those_of_all_nodes_and_steps_together(self):
        """Mostly fast on one node, always slow on another: an average of their percentiles would say nothing."""
        fast, slow = bucket_of(100), bucket_of(50_000)
        told = [("a", at(place, histograms={"delivery": {"": {fast: 990}}})) for place in range(3)]
        told.append(("b", at(1, histograms={"delivery": {"": {slow: 31}}})))
        assert values(told, "delivery", step=30, aggregation="p50")[0] == largest_in(fast) / 1e6
        assert values(told, "delivery", step=30, aggregation="p99")[0] == largest_in(slow) / 1e6
        assert values(told, "delivery", step=30, aggregation="max")[0] == largest_in(slow) / 1e6
        assert values(told, "delivery", step=30, aggregation="count")[0] == 3001
        assert values(told, "delivery", step=30, aggregation="rate")[0] == 3001 / 30

    def test_zero_is_not_nobody(self):
        told = [("a", at(0)), ("a", at(1, counters=sent(5)))]
        assert values(told, "deliveries", aggregation="sum")[:3] == [0, 5, None]
        assert values(told, "delivery", aggregation="count")[:3] == [0, 0, None]
        assert values(told, "delivery")[:3] == [None, None, None]
        assert values(told, "sessions")[:3] == [None, None, None]

    def test_by_node_and_by_label(self):
        told = [
            ("b", at(0, counters={"errors": {"not_found": 2.0, "limit": 3.0}})),
            ("a", at(0, counters={"errors": {"limit": 5.0}})),
            ("c", at(1)),
        ]
        by_node = answer(told, asked("errors", by="node", aggregation="sum", end=DAY + 20))
        assert [(one.node, one.label, one.values) for one in by_node] == [
            ("a", "", [5, None]),
            ("b", "", [5, None]),
            ("c", "", [None, 0]),
        ]
        by_label = answer(told, asked("errors", by="label", aggregation="sum", end=DAY + 20))
        assert [(one.node, one.label, one.values) for one in by_label] == [
            ("", "limit", [8, 0]),
            ("", "not_found", [2, 0]),
        ]
        assert values(told, "errors", aggregation="sum", label="limit", node="b", end=DAY + 10) == [3]

    def test_of_nobody(self):
        assert values([], "deliveries") == [None] * 6
        assert answer([], asked("deliveries", by="node")) == []

    def test_of_many_the_largest(self):
        """Nodes that got a new id at each start are more than anybody can look at."""
        told = [(f"n{number}", at(number % 3, counters=sent(number))) for number in range(12)]
        found, left_out = largest(told, asked("deliveries", by="node", aggregation="sum", most=3))
        assert [(one.node, sum(value or 0 for value in one.values)) for one in found] == [
            ("n10", 10),
            ("n11", 11),
            ("n9", 9),
        ]
        assert left_out == 9
        assert largest(told, asked("deliveries", by="node", aggregation="sum", most=12))[1] == 0
        much = asked("deliveries", by="node", begin=DAY - MAX_POINTS, step=10, most=9)
        assert largest(told, much)[1] == 3
        with pytest.raises(RequestError, match="too_many_points"):
            largest(told, asked("deliveries", by="node", begin=DAY - MAX_POINTS, step=10, most=11))
        many = [(f"n{number}", at(0, counters=sent(1))) for number in range(201)]
        with pytest.raises(RequestError, match="too_many_points"):
            largest(many, much)

    def test_too_many_series_are_refused(self):
        told = [(f"n{number}", at(0, counters=sent(1))) for number in range(12)]
        much = asked("deliveries", by="node", begin=DAY - MAX_POINTS, step=10)
        with pytest.raises(RequestError, match="too_many_points"):
            answer(told, much)
        with pytest.raises(RequestError, match="too_many_points"):
            answer([], much, fresh=told)

    @settings(max_examples=40)
    @given(
        st.dictionaries(st.sampled_from("ab"), histories(), min_size=1),
        st.integers(0, 3),
        st.sampled_from([10, 60, 3600]),
    )
    def test_sums_are_those_of_the_reports_wherever_they_are(self, told, later, step):
        """In chunks, or not folded yet; asked at any step."""
        reports = [(node, one) for node, history in told.items() for one in history]
        done, fresh = reports[later:], reports[:later]
        for metric, expected in (
            ("link_sent", sum(value for _, one in reports for value in one.counters["link_sent"].values())),
            ("cpu", sum(one.counters["cpu"][""] for _, one in reports)),
        ):
            whole = asked(metric, aggregation="sum", begin=DAY, end=DAY + 10_800, step=step)
            (series,) = answer(done, whole, fresh=fresh)
            assert sum(value or 0 for value in series.values) == pytest.approx(expected, abs=1e-9)
            by_node = answer(done, replace(whole, by="node"), fresh=fresh)
            assert sum(value or 0 for one in by_node for value in one.values) == pytest.approx(expected, abs=1e-9)


class TestTheNewestStep:
    TOLD: Told = [  # noqa: RUF012
        (
            node,
            at(
                place,
                counters=sent(100),
                gauges={"sessions": {"": 7.0}},
                histograms={"delivery": {"": {100: 10}}},
            ),
        )
        for node in "ab"
        for place in range(9 if node == "a" else 8)
    ]
    UNTIL = DAY + 80

    def one(self, aggregation: str, metric: str = "deliveries", step: int = 60) -> Series:
        wanted = asked(metric, aggregation=aggregation, step=step, end=DAY + 180)
        (found,) = answer([], wanted, self.UNTIL, fresh=self.TOLD)
        return found

    def test_has_the_rate_of_the_time_that_is_known_of_all_nodes(self):
        assert self.one("rate").values == [20, 20, None]
        assert self.one("rate", "delivery").values == [2, 2, None]

    def test_has_no_sum_yet_but_beside_it(self):
        found = self.one("sum")
        assert (found.values, found.partial) == ([1200, None, None], 400)
        found = self.one("count", "delivery")
        assert (found.values, found.partial) == ([120, None, None], 40)

    def test_has_the_gauges_and_times_that_are_known(self):
        assert self.one("sum", "sessions").values == [14, 14, None]
        assert self.one("p99", "delivery").values[:2] == [largest_in(100) / 1e6] * 2

    def test_is_whole_when_all_nodes_have_reported(self):
        found = self.one("sum", step=10)
        assert found.values == [200] * 8 + [None] * 10
        assert found.partial is None


def test_every_metric_can_be_asked_for_in_every_way():
    for metric in CATALOGUE.values():
        content: dict[str, Any] = {"gauge": "gauges", "counter": "counters", "histogram": "histograms"}
        value: Any = {40: 3} if metric.kind == "histogram" else 1.0
        told = [("a", at(0, **{content[metric.kind]: {metric.name: {"x" if metric.label else "": value}}}))]
        for aggregation in (
            "",
            "rate",
            "sum",
            "mean",
            "min",
            "max",
            "last",
            "count",
            "p50",
            "p90",
            "p95",
            "p99",
            "p999",
        ):
            try:
                wanted = asked(metric.name, aggregation=aggregation)
            except RequestError as error:
                assert error.code == "bad_aggregation"  # noqa: PT017
                continue
            assert answer(told, wanted)[0].values[0] is not None
