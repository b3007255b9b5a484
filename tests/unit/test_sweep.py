"""The one timer: deadlines are kept to within an interval, whatever a member does when it is told."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.wait import eventually
from wsplatform.net.sweep import Sweep


class Member:
    def __init__(self, deadline: float, action: Callable[[], None] = lambda: None) -> None:
        self.deadline = deadline
        self.told = 0
        self._action = action

    def expired(self, now: float) -> None:
        assert now >= self.deadline
        self.deadline = math.inf
        self.told += 1
        self._action()


@pytest.fixture
async def sweep() -> AsyncIterator[Sweep]:
    sweep = Sweep(0.01)
    sweep.start(asyncio.get_running_loop())
    yield sweep
    sweep.stop()


async def test_a_deadline_is_told_once_and_never_early(sweep: Sweep) -> None:
    member = Member(asyncio.get_running_loop().time() + 0.05)
    sweep.add(member)
    await eventually(lambda: member.told)
    witness = Member(asyncio.get_running_loop().time() + 0.03)
    sweep.add(witness)
    await eventually(lambda: witness.told)
    assert member.told == 1


async def test_one_who_fails_or_leaves_does_not_stop_the_others(sweep: Sweep) -> None:
    def fail() -> None:
        raise LookupError("bug")

    members = [Member(0, fail) for _ in range(3)]
    leaving = Member(0)
    members.append(Member(0, lambda: sweep.discard(leaving)))
    members += [Member(0) for _ in range(500)]
    for member in (*members, leaving):
        sweep.add(member)
    await eventually(lambda: all(member.told == 1 for member in members))
    assert len(sweep) == len(members)


async def test_many_at_once_let_others_have_their_turn(sweep: Sweep) -> None:
    for _ in range(1000):
        sweep.add(Member(0))
    turns = 0
    while not all(member.told for member in sweep._members):  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        turns += any(member.told for member in sweep._members)  # type: ignore[attr-defined]
    assert turns >= 4


async def test_stopped_it_tells_nobody_and_can_be_stopped_from_within(sweep: Sweep) -> None:
    stopper = Member(0, sweep.stop)
    sweep.add(stopper)
    await eventually(lambda: stopper.told)
    late = Member(0)
    sweep.add(late)
    other = Sweep(0.005)
    other.start(asyncio.get_running_loop())
    witness = Member(asyncio.get_running_loop().time() + 0.05)
    other.add(witness)
    await eventually(lambda: witness.told)
    other.stop()
    assert late.told == 0
    sweep.start(asyncio.get_running_loop())
    await eventually(lambda: late.told)
