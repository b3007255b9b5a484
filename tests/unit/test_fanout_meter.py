"""What a fan-out measures: by a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import Raw

from wsplatform.core.metrics import Durations, bucket_of, largest_in
from wsplatform.model import Publication
from wsplatform.node import fanout
from wsplatform.node.fanout import Fanout, Group, Meter

ONE = Publication(Raw(b"1"))


class Text:
    def publication(self, channel: str, publication: Publication) -> bytes:
        return bytes(publication.data)


class Outlet:
    """Takes `seconds` for a frame."""

    fileno = -1

    def __init__(self, run: Run, seconds: float) -> None:
        self.run = run
        self.seconds = seconds

    def send_frame(self, frame: bytes) -> None:
        self.run.now += self.seconds

    def send_rest(self, rest: bytes) -> None: ...


class Run:
    def __init__(self) -> None:
        self.now = 100.0
        self.turns: list[Callable[[], None]] = []
        self.groups: dict[str, tuple[Group, ...]] = {}
        self.meter = Meter(lambda: round(self.now * 1e9))
        self.fanout = Fanout(lambda channel: self.groups.get(channel, ()), self.turns.append, self.meter)

    def seat(self, channel: str, seconds: float, count: int = 1) -> None:
        group = Group(Text())
        for _ in range(count):
            group.add(Outlet(self, seconds))
        self.groups[channel] = (group,)

    def turn(self) -> None:
        self.turns.pop(0)()


def found(times: Durations) -> dict[float, int]:
    """How many took at most so many seconds."""
    return {largest_in(bucket) / 1e6: count for bucket, count in enumerate(times.buckets) if count}


def about(seconds: float) -> float:
    return largest_in(bucket_of(round(seconds * 1e6))) / 1e6


def test_a_frame_is_timed_from_its_beginning_and_publications_from_the_first_arrival_of_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout, "TOGETHER", -1)
    run = Run()
    run.seat("a", 0.5)
    run.seat("b", 0.25, count=2)
    run.seat("c", 0.0)
    run.fanout.deliver("a", ONE)
    run.now += 1.0
    run.fanout.deliver("a", ONE)  # joined with the first
    run.fanout.deliver("b", ONE)
    run.now += 2.0
    run.turn()
    assert found(run.meter.fanout) == {about(0.5): 2}
    assert found(run.meter.delivery) == {about(3.5): 2, about(4.0): 1}
    assert run.meter.delivery.sum == pytest.approx(3.5 * 2 + 4.0)
    assert run.fanout.deliveries == 2 + 2
    run.fanout.deliver("c", ONE)
    run.now += 1.0
    run.turn()
    assert found(run.meter.delivery) == {about(3.5): 2, about(4.0): 1, about(1.0): 1}


def test_small_frames_are_timed_together_and_large_ones_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run()
    costs = {"a": 1, "b": 3, "crowd": 40, "c": 5}
    descriptors: dict[int, int] = {}

    def write(fd: int, data: bytes) -> int:
        run.now += descriptors[fd] / 1000
        return len(data)

    monkeypatch.setattr(fanout.os, "write", write)
    for channel, cost in costs.items():
        group = Group(Text())
        for _ in range(40 if channel == "crowd" else 1):
            outlet = Outlet(run, 0.0)
            outlet.fileno = len(descriptors)
            descriptors[outlet.fileno] = cost if channel != "crowd" else 1
            group.add(outlet)
        run.groups[channel] = (group,)
    for channel in costs:
        run.fanout.deliver(channel, ONE)
    run.turn()
    assert found(run.meter.fanout) == {about(0.002): 2, about(0.040): 1, about(0.005): 1}
    assert found(run.meter.delivery) == {about(0.004): 2, about(0.044): 1, about(0.049): 1}
    assert run.meter.fanout.sum == pytest.approx(0.049)


def test_a_frame_that_takes_several_turns_is_one_and_what_comes_meanwhile_is_timed_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run()
    written: list[int] = []

    def write(fd: int, data: bytes) -> int:
        written.append(fd)
        run.now += 0.25
        return len(data)

    monkeypatch.setattr(fanout.os, "write", write)
    monkeypatch.setattr(fanout, "SLICE", 2)
    group = Group(Text())
    for fd in range(3):
        outlet = Outlet(run, 0.0)
        outlet.fileno = fd
        group.add(outlet)
    run.groups["a"] = (group,)
    run.fanout.deliver("a", ONE)
    run.turn()
    assert (len(written), found(run.meter.fanout)) == (2, {})
    run.now += 1.0
    run.fanout.deliver("a", ONE)
    while run.turns:
        run.turn()
    assert found(run.meter.fanout) == {about(1.75): 1, about(0.75): 1}
    assert found(run.meter.delivery) == {about(1.75): 1, about(1.0): 1}
    assert run.fanout.sent == 6


def test_publications_are_counted_by_channel_whether_or_not_somebody_listens() -> None:
    run = Run()
    run.seat("a", 0.0)
    for channel in "aab":
        run.fanout.deliver(channel, ONE)
    assert run.meter.busiest.take() == {"a": 2, "b": 1}
