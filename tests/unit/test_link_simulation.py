"""Three nodes and their links, for minutes of simulated time, on carriers that break, stall, delay and lose frames."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import combinations, count

import pytest

from tests.support.links import End, check_at_most_once, check_exact
from wsplatform.core.link import LinkLimits
from wsplatform.wire.link import Lane

LIMITS = LinkLimits(frame=4_000, outbox=20_000, replay_bytes=60_000, replay_seconds=6.0, ping_seconds=1.0)
TICK = 0.25
SECONDS = 25.0


class Clock:
    """`at(moment, step)`; then `run(until)`."""

    def __init__(self) -> None:
        self.now = 1.0
        self._steps: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, moment: float, step: Callable[[], None]) -> None:
        heapq.heappush(self._steps, (moment, next(self._order), step))

    def run(self, until: float) -> None:
        while self._steps and self._steps[0][0] <= until:
            self.now, _, step = heapq.heappop(self._steps)
            step()
        self.now = until


class Carrier:
    """Between two ends: in order within a connection, late, with a queue of its own; it loses one frame in so many.

    What is under way when it breaks is lost, on either side of what has arrived.
    """

    def __init__(self, clock: Clock, chance: random.Random, loses: int) -> None:
        self.ends: tuple[End, End]
        self.session = 0
        self.faultless = False
        self._clock = clock
        self._chance = chance
        self._loses = loses
        self._delay = chance.choice((0.001, 0.02, 0.3))
        self._waiting = [0, 0]
        self._last = [0.0, 0.0]

    def connect(self) -> None:
        if not self.session % 2:
            self.session += 1
            self._waiting = [0, 0]
            for end in self.ends:
                end.link.up(self._clock.now)

    def disconnect(self) -> None:
        if self.session % 2 and not self.faultless:
            self.session += 1
            for end in self.ends:
                end.link.down()

    def carry(self, side: int, frame: bytes) -> bool:
        assert self.session % 2
        if self._waiting[side] + len(frame) > LIMITS.outbox:
            return False
        if not self.faultless and not self._chance.randrange(self._loses):
            return True
        self._waiting[side] += len(frame)
        moment = max(self._last[side], self._clock.now + self._delay * self._chance.uniform(0.5, 2))
        self._last[side] = moment
        session = self.session
        self._clock.at(moment, lambda: self._arrive(side, frame, session))
        return True

    def _arrive(self, side: int, frame: bytes, session: int) -> None:
        if session == self.session:
            self._waiting[side] -= len(frame)
            self.ends[1 - side].link.take(frame, self._clock.now)


class World:
    """All of it, from one seed. `forgets`: now and then an end forgets the other one."""

    def __init__(self, seed: int, *, forgets: bool = False) -> None:
        self.clock = Clock()
        self.chance = random.Random(seed)
        loses = self.chance.choice((20, 300, 10**9))
        numbers = [count(1).__next__ for _ in range(3)]
        self.carriers = []
        for pair in combinations(range(3), 2):
            carrier = Carrier(self.clock, self.chance, loses)
            carrier.ends = tuple(  # type: ignore[assignment]
                End(lambda frame, carrier=carrier, side=side: carrier.carry(side, frame), numbers[node], LIMITS)
                for side, node in enumerate(pair)
            )
            carrier.ends[0].peer, carrier.ends[1].peer = carrier.ends[1], carrier.ends[0]
            self.carriers.append(carrier)
        self.ends = [end for carrier in self.carriers for end in carrier.ends]
        self._plan(SECONDS, forgets=forgets)

    def run(self) -> None:
        self.clock.run(SECONDS + 1.0)
        for carrier in self.carriers:
            carrier.faultless = True
            carrier.connect()
        for moment in range(60):
            self.clock.at(self.clock.now + moment * TICK, self._tick)
        self.clock.run(self.clock.now + 20.0)
        assert all(end.link.ready and end.link.idle for end in self.ends)

    def _plan(self, end: float, *, forgets: bool) -> None:
        for number in range(int(end / TICK)):
            self.clock.at(1.0 + number * TICK, self._tick)
        for carrier in self.carriers:
            moment = 1.0
            while moment < end:
                self.clock.at(moment, carrier.connect)
                moment += self.chance.uniform(0.0, 10.0)
                self.clock.at(moment, carrier.disconnect)
                if forgets and moment < end:
                    self.clock.at(moment, self.chance.choice(carrier.ends).forget)
                moment += self.chance.choice((0.01, 1.0, 5.0, 9.0))
        for speaker in self.ends:
            pace = self.chance.choice((0.03, 0.2, 1.0))
            moment = 1.0
            while moment < end:
                moment += self.chance.expovariate(1 / pace)
                lane = Lane.CONTROL if self.chance.random() < 0.1 else Lane.PUBLICATIONS
                self.clock.at(moment, self._speech(speaker, lane))

    def _speech(self, end: End, lane: Lane) -> Callable[[], None]:
        number, size = self.chance.randrange(1, 4), self.chance.choice((10, 100, 1000))
        return lambda: end.say(lane, number, size, self.clock.now)

    def _tick(self) -> None:
        for end in self.ends:
            end.link.tick(self.clock.now)


@pytest.mark.parametrize("tens", range(20))
def test_what_is_missing_is_what_both_sides_count(tens: int) -> None:
    causes: Counter[str] = Counter()
    replayed = 0
    for seed in range(10 * tens, 10 * tens + 10):
        world = World(seed)
        world.run()
        for end in world.ends:
            check_exact(end)
            causes.update(end.link.dropped)
            replayed += end.link.replayed
    assert replayed
    assert causes.keys() == {"overflow", "expired"}


@pytest.mark.parametrize("tens", range(5))
def test_who_forgets_gets_nothing_twice(tens: int) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        world = World(seed, forgets=True)
        world.run()
        for end in world.ends:
            check_at_most_once(end)


def test_a_seed_is_one_story() -> None:
    stories = []
    for _ in range(2):
        world = World(7)
        world.run()
        stories.append([way for end in world.ends for way in end.ways])
    assert stories[0] == stories[1]
