from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from loguru import logger
from msgspec import Raw

from wsplatform.core.canary import KEPT, Canary, CanaryStatus
from wsplatform.model import Publication
from wsplatform.node.canary import CanaryRounds, Mesh


def test_one_for_each_peer_in_each_interval() -> None:
    canary = Canary(5.0)
    assert canary.due(["a", "b"], 100.0) == [("a", 1), ("b", 1)]
    assert canary.due(["a", "b"], 104.9) == []
    assert canary.due(["a", "b"], 105.0) == [("a", 2), ("b", 2)]


def test_the_time_of_one_that_came_back() -> None:
    canary = Canary(5.0)
    canary.due(["a"], 100.0)
    assert canary.status("a") == CanaryStatus(None, 0)
    canary.back("a", 1, 100.25)
    assert canary.status("a") == CanaryStatus(0.25, 0)
    assert canary.status("nobody") == CanaryStatus()


def test_late_ones_count_once_and_are_timed_when_they_come_after_all() -> None:
    canary = Canary(5.0)
    for moment in (100.0, 105.0, 110.0):
        canary.due(["a"], moment)
    assert canary.status("a") == CanaryStatus(None, 2)
    canary.back("a", 1, 112.0)
    assert canary.status("a") == CanaryStatus(12.0, 2)
    canary.back("a", 1, 113.0)
    canary.back("a", 99, 113.0)
    assert canary.status("a") == CanaryStatus(12.0, 2)


def test_a_peer_that_is_not_named_is_forgotten() -> None:
    canary = Canary(5.0)
    canary.due(["a"], 100.0)
    canary.due([], 105.0)
    canary.back("a", 1, 105.1)
    assert canary.status("a") == CanaryStatus()


@given(st.lists(st.tuples(st.floats(0, 20), st.lists(st.sampled_from("abc")), st.sampled_from("abcd"), st.integers())))
def test_whatever_comes_back_the_bounds_hold(steps: list[tuple[float, list[str], str, int]]) -> None:
    canary = Canary(1.0)
    now = sent = 0.0
    for seconds, peers, answerer, number in steps:
        now += seconds
        due = canary.due(dict.fromkeys(peers), now)
        sent += sum(peer_id == "a" for peer_id, _ in due)
        canary.back(answerer, number, now)
        status = canary.status("a")
        assert status.late <= sent
        assert status.round_trip is None or 0 <= status.round_trip <= now


def test_those_that_never_come_back_are_not_kept() -> None:
    canary = Canary(1.0)
    for moment in range(100):
        canary.due(["a"], float(moment))
    canary.back("a", 100 - KEPT, 200.0)
    assert canary.status("a").round_trip is None
    canary.back("a", 101 - KEPT, 200.0)
    assert canary.status("a").round_trip is not None


async def test_what_cannot_be_read_is_not_logged_every_time() -> None:
    lines: list[str] = []
    number = logger.add(lambda line: lines.append(str(line)), level="WARNING")
    rounds = CanaryRounds("a", cast("Mesh", None), list, 5.0)
    for _ in range(1000):
        rounds.received(Publication(Raw(b"no note")))
    logger.remove(number)
    assert len(lines) == 1
