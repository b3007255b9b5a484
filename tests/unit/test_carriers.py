"""Which of two carriers takes the traffic, under any order of events."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.carriers import (
    FIRST_HOLD,
    LONGEST_HOLD,
    LOST_SECONDS,
    OPEN_SECONDS,
    STEADY_SECONDS,
    TICK,
    Carrier,
    Event,
    State,
    begin,
    step,
)

FIRST, SECOND = Carrier.FIRST, Carrier.SECOND
UP, DOWN = Event("up", FIRST), Event("down", FIRST)
UP_2, DOWN_2 = Event("up", SECOND), Event("down", SECOND)

moves = st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["flip", "flip 2", "heard", "heard 2", "tick"])))


def play(moves: list[tuple[float, str]]) -> list[tuple[float, State]]:
    """Everything that a carrier may tell in its state: up and down in turns, envelopes while it is up."""
    now, state = 0.0, begin(0.0)
    past = [(now, state)]
    for passed, move in moves:
        now += passed
        carrier = SECOND if move.endswith("2") else FIRST
        is_up = carrier in state.up
        if move.startswith("flip"):
            state = step(state, Event("down" if is_up else "up", carrier), now)
        elif move.startswith("heard") and is_up:
            state = step(state, Event("heard", carrier), now)
        else:
            state = step(state, TICK, now)
        past.append((now, state))
    return past


@given(moves)
def test_the_traffic_is_on_a_carrier_that_is_up_whenever_there_is_one(moves: list[tuple[float, str]]) -> None:
    for _, state in play(moves):
        assert state.using in state.up if state.up else state.using is None


@given(moves)
def test_the_second_is_wanted_when_and_only_when_the_first_does_not_carry(moves: list[tuple[float, str]]) -> None:
    past = play(moves)
    for now, state in past:
        assert state.wants_second(now + max(OPEN_SECONDS, LOST_SECONDS)) == (state.using is not FIRST)
        if state.using is SECOND:
            # It may have come up unasked for, by the other side's wish, before this one has waited long enough.
            assert state.second_at <= now + max(OPEN_SECONDS, LOST_SECONDS)


@given(moves)
def test_a_first_that_stays_up_gets_the_traffic_back_in_bounded_time(moves: list[tuple[float, str]]) -> None:
    now, state = play(moves)[-1]
    if FIRST not in state.up:
        state = step(state, UP, now)
    assert step(state, TICK, now + LONGEST_HOLD).using is FIRST


@given(moves)
def test_the_second_is_left_for_the_first_only_when_it_is_lost_heard_or_has_held(
    moves: list[tuple[float, str]],
) -> None:
    past = play(moves)
    for ((_, before), (now, after)), (_, move) in zip(pairwise(past), moves, strict=True):
        if before.using is SECOND and after.using is FIRST:
            assert SECOND not in after.up or move == "heard" or now >= before.back_at


@given(st.floats(0.1, STEADY_SECONDS - 1))
def test_a_first_that_swallows_the_traffic_again_and_again_is_tried_more_and_more_rarely(used: float) -> None:
    now, state = 10.0, step(begin(0.0), UP, 10.0)
    state = step(step(state, UP_2, now), DOWN, now + used)
    holds = []
    for _ in range(8):
        now += used
        state = step(state, UP, now)
        assert state.using is SECOND
        holds.append(state.back_at - now)
        now = state.back_at
        state = step(state, TICK, now)
        assert state.using is FIRST
        state = step(state, DOWN, now + used)
    assert all(later > sooner * 1.9 for sooner, later in pairwise(holds[:4]))
    assert LONGEST_HOLD * 0.99 < holds[-1] < LONGEST_HOLD * 1.01


def test_a_first_that_was_steady_is_trusted_again() -> None:
    state = step(begin(0.0), UP, 1.0)
    for now in (2.0, 4.0, 8.0):
        state = step(step(state, DOWN, now), UP, now)
    assert state.hold > FIRST_HOLD
    state = step(state, DOWN, 8.0 + STEADY_SECONDS)
    assert state.hold == FIRST_HOLD


def test_a_short_loss_does_not_ask_for_the_second() -> None:
    state = step(step(begin(0.0), UP, 1.0), DOWN, 5.0)
    assert state.using is None
    assert not state.wants_second(5.0 + LOST_SECONDS / 2)
    assert state.wants_second(5.0 + LOST_SECONDS)
    state = step(state, UP, 5.0 + LOST_SECONDS / 2)
    assert state.using is FIRST
    assert not state.wants_second(1e9)


def test_what_the_peer_sends_on_the_first_tells_that_it_has_returned() -> None:
    state = step(step(begin(0.0), UP_2, 3.0), UP, 4.0)
    assert state.using is SECOND
    assert step(state, Event("heard", SECOND), 4.1).using is SECOND
    assert step(state, Event("heard", FIRST), 4.1).using is FIRST
    assert step(state, DOWN_2, 4.1).using is FIRST
