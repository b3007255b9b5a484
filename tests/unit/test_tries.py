from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.tries import Tries, source


def test_a_burst_then_one_every_so_often() -> None:
    tries = Tries(burst=3, seconds=10.0)
    for _ in range(3):
        assert tries.wait("a", 100.0) == 0
        tries.failed("a", 100.0)
    assert tries.wait("a", 100.0) == 10.0
    assert tries.wait("a", 109.0) == 1.0
    assert tries.wait("a", 110.0) == 0
    tries.failed("a", 110.0)
    assert tries.wait("a", 110.0) == 10.0
    assert tries.wait("a", 200.0) == 0


@pytest.mark.parametrize(
    ("address", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("unknown", "unknown", True),
        ("fe80::1%eth0", "fe80::1", True),
    ],
)
def test_who_is_one_source(address: str, other: str, same: bool) -> None:
    assert (source(address) == source(other)) is same


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 20)), max_size=200))
def test_nobody_waits_for_what_others_did_and_it_stays_bounded(events: list[tuple[int, float]]) -> None:
    tries = Tries(burst=2, seconds=5.0, max_addresses=8)
    now = 0.0
    for number, pause in events:
        now += pause
        tries.failed(f"10.0.0.{number}", now)
        assert tries.wait("192.0.2.1", now) == 0
        assert len(tries) <= 8


@given(st.lists(st.floats(0, 3), min_size=1, max_size=300))
def test_an_address_never_tries_more_often_than_it_may(pauses: list[float]) -> None:
    tries = Tries(burst=4, seconds=2.0)
    now, tried = 0.0, 0
    for pause in pauses:
        now += pause
        if tries.wait("a", now) == 0:
            tries.failed("a", now)
            tried += 1
    assert tried <= 4 + now / 2.0 + 1
