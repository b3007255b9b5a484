"""Fan-out against a kernel that takes what it likes, and a model that only knows who was seated when."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import Raw

from tests.support.subscribers import subscribers
from wsplatform.model import Publication
from wsplatform.node import fanout
from wsplatform.node.fanout import Fanout, Group, Seat
from wsplatform.node.subscriptions import Subscriptions

CHANNELS = ("a", "b")
CAPACITY = 24


class Kernel:
    """Descriptors, and what was written to each. The smallest free number is given next, as a real kernel does."""

    def __init__(self) -> None:
        self.open: dict[int, Connection] = {}

    def descriptor(self, connection: Connection) -> int:
        fd = next(number for number in range(100) if number not in self.open)
        self.open[fd] = connection
        return fd

    def write(self, fd: int, data: bytes) -> int:
        connection = self.open[fd]  # KeyError: a raw write to a closed descriptor
        assert not connection.outbox, "a raw write overtakes what waits"
        return connection.take(data)


class Connection:
    """The outlet as net/websocket.py has it: paused while the kernel's buffer is full, telling its owner at once."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.fd = kernel.descriptor(self)
        self.buffer = b""
        self.received = b""
        self.outbox = b""
        self.seats: dict[str, Seat] = {}

    @property
    def fileno(self) -> int:
        return -1 if self.outbox else self.fd

    def take(self, data: bytes) -> int:
        room = CAPACITY - len(self.buffer)
        if not room:
            raise BlockingIOError
        self.buffer += data[:room]
        return min(room, len(data))

    def send_frame(self, frame: bytes) -> None:
        self.send_rest(frame)

    def send_rest(self, rest: bytes) -> None:
        paused = bool(self.outbox)
        sent = self.take(rest) if not paused and len(self.buffer) < CAPACITY else 0
        self.outbox += rest[sent:]
        if self.outbox and not paused:
            for seat in self.seats.values():
                seat.group.slow_down(seat)

    def read(self, size: int) -> None:
        """The client reads; the transport goes on writing what waited."""
        paused = bool(self.outbox)
        self.received += self.buffer[:size]
        self.buffer = self.buffer[size:]
        room = CAPACITY - len(self.buffer)
        self.buffer, self.outbox = self.buffer + self.outbox[:room], self.outbox[room:]
        if paused and not self.outbox:
            for seat in self.seats.values():
                seat.group.speed_up(seat)


class Text:
    """Publications as `a7;` and, in the other format, `a7:xxxxx;`."""

    def __init__(self, padding: str = "") -> None:
        self.padding = padding

    def publication(self, channel: str, publication: Publication) -> bytes:
        return channel.encode() + bytes(publication.data) + self.padding.encode() + b";"


class EverybodyKnows:
    def __init__(self) -> None:
        self.wanted: list[str] = []

    def want(self, channel: str, done: Callable[[], None]) -> bool:
        self.wanted.append(channel)
        return True

    def unwant(self, channel: str) -> None:
        assert channel in self.wanted
        self.wanted = [name for name in self.wanted if name != channel]


class Period:
    """One subscription's time: what was published in it, and what was still queued when it began."""

    def __init__(self, queued: list[int]) -> None:
        self.queued = queued
        self.published: list[int] = []
        self.over = False


class FanoutMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = Kernel()
        self.turns: list[Callable[[], None]] = []
        self.interest = EverybodyKnows()
        self.subscriptions = Subscriptions(self.interest)
        self.fanout = Fanout(self.subscriptions.groups, self.turns.append)
        self.formats = (Text(), Text(":" + "x" * 30))
        self.connections: list[Connection] = []
        self.periods: dict[tuple[int, str], list[Period]] = {}
        self.closed: list[Connection] = []
        self.count = dict.fromkeys(CHANNELS, 0)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(fanout, "os", SimpleNamespace(write=self.kernel.write))
        self.patch.setattr(fanout, "SLICE", 3)

    def teardown(self) -> None:
        self.finish()
        self.patch.undo()

    @initialize(count=st.integers(1, 12), crowded=st.booleans())
    def start(self, count: int, crowded: bool) -> None:
        for _ in range(count):
            self.connect()
        if crowded:
            self.crowd("a")

    @rule()
    def connect(self) -> None:
        self.connections.append(Connection(self.kernel))

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), channel=st.sampled_from(CHANNELS), choice=st.integers(0, 1))
    def subscribe(self, data: st.DataObject, channel: str, choice: int) -> None:
        connection = data.draw(st.sampled_from(self.connections))
        self.join(connection, channel, choice)

    @rule(channel=st.sampled_from(CHANNELS))
    def crowd(self, channel: str) -> None:
        for connection in self.connections:
            self.join(connection, channel, 0)

    def join(self, connection: Connection, channel: str, choice: int) -> None:
        if channel in connection.seats:
            return
        self.subscriptions.hold(channel, lambda: None)
        queued = self.queued(channel, self.formats[choice])
        connection.seats[channel] = self.subscriptions.sit(channel, connection, self.formats[choice])
        self.periods.setdefault((id(connection), channel), []).append(Period(queued))

    def queued(self, channel: str, format_: Text) -> list[int]:
        for group in self.subscriptions.groups(channel):
            if group.format is format_:
                return [number for frame in group.pending for number in numbers(frame, channel)]
        return []

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), channel=st.sampled_from(CHANNELS))
    def unsubscribe(self, data: st.DataObject, channel: str) -> None:
        connection = data.draw(st.sampled_from(self.connections))
        if channel in connection.seats:
            self.leave(connection, channel)

    def leave(self, connection: Connection, channel: str) -> None:
        self.subscriptions.stand(channel, connection.seats.pop(channel))
        self.subscriptions.release(channel)
        self.periods[id(connection), channel][-1].over = True

    @precondition(lambda self: self.connections)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(self.connections))
        for channel in tuple(connection.seats):
            self.leave(connection, channel)
        self.connections.remove(connection)
        self.closed.append(connection)
        del self.kernel.open[connection.fd]

    @rule(channel=st.sampled_from(CHANNELS), count=st.integers(1, 3))
    def publish(self, channel: str, count: int) -> None:
        for _ in range(count):
            number = self.count[channel]
            self.count[channel] += 1
            for connection in self.connections:
                if channel in connection.seats:
                    self.periods[id(connection), channel][-1].published.append(number)
            self.fanout.deliver(channel, Publication(Raw(str(number).encode())))

    @precondition(lambda self: self.turns)
    @rule(blocked=st.sets(st.integers(0, 11)))
    def turn(self, blocked: set[int]) -> None:
        self.turns.pop(0)()
        for number in blocked.intersection(range(len(self.connections))):
            self.connections[number].send_frame(b"r" * CAPACITY + b";")

    @rule()
    def flush(self) -> None:
        self.fanout.flush()

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), size=st.integers(1, 2 * CAPACITY))
    def read(self, data: st.DataObject, size: int) -> None:
        data.draw(st.sampled_from(self.connections)).read(size)

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), size=st.sampled_from((3, CAPACITY)))
    def reply(self, data: st.DataObject, size: int) -> None:
        """Something of the connection's own, which may fill its buffer in the middle of a fan-out."""
        data.draw(st.sampled_from(self.connections)).send_frame(b"r" * size + b";")

    @invariant()
    def gauges_are_right(self) -> None:
        seated = [channel for connection in self.connections for channel in connection.seats]
        assert self.subscriptions.seats == len(seated)
        assert subscribers(self.subscriptions) == {name: seated.count(name) for name in set(seated)}
        assert set(self.interest.wanted) == set(seated)

    def finish(self) -> None:
        while self.turns:
            self.turns.pop(0)()
        for connection in self.connections:
            while connection.buffer or connection.outbox:
                connection.read(CAPACITY)
        for connection in self.connections + self.closed:
            for channel in CHANNELS:
                self.check(connection, channel)
        for connection in self.connections:
            assert re.fullmatch(rb"([ab][0-9]+(:x{30})?;|r+;)*", connection.received), "frames were cut or mixed"

    def check(self, connection: Connection, channel: str) -> None:
        received = iter(numbers(connection.received, channel))
        got = next(received, None)
        last = -1
        for period in self.periods.get((id(connection), channel), ()):
            for number in period.queued + period.published:
                if number == got:
                    assert number > last, "out of order, or twice"
                    last, got = number, next(received, None)
                elif not period.over and number in period.published:
                    raise AssertionError(f"{channel}{number} is missing")
                elif number in period.published:
                    break  # the subscription ended before it was written: nothing after it may have come
        assert got is None, "received what was published while not subscribed"


def numbers(stream: bytes, channel: str) -> list[int]:
    return [int(found) for found in re.findall(rb"(?:^|;)%b([0-9]+)(?=[:;])" % channel.encode(), b";" + stream)]


TestFanout = FanoutMachine.TestCase
TestFanout.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(fanout, "os", SimpleNamespace(write=kernel.write))
    return kernel


def test_one_write_for_all_that_a_channel_got_in_one_turn(kernel: Kernel) -> None:
    turns: list[Callable[[], None]] = []
    group = Group(Text())
    connection = Connection(kernel)
    group.add(connection)
    out = Fanout(lambda _: (group,), turns.append)
    for number in range(3):
        out.deliver("a", Publication(Raw(b"%d" % number)))
    assert connection.buffer == b""
    assert len(turns) == 1
    writes: list[bytes] = []
    kernel.write = lambda fd, data: writes.append(data) or len(data)  # type: ignore[method-assign,func-returns-value]
    fanout.os.write = kernel.write
    turns.pop()()
    assert writes == [b"a0;a1;a2;"]
    assert out.deliveries == 3
    assert not turns


def test_a_large_audience_is_served_in_slices_with_turns_for_others(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "SLICE", 10)
    turns: list[Callable[[], None]] = []
    groups = {"big": Group(Text()), "small": Group(Text())}
    crowd = [Connection(kernel) for _ in range(25)]
    for connection in crowd:
        groups["big"].add(connection)
    out = Fanout(lambda channel: (groups[channel],), turns.append)
    out.deliver("big", Publication(Raw(b"1")))
    served = []
    while turns:
        turns.pop()()
        served.append(sum(bool(connection.buffer) for connection in crowd))
    assert served == [10, 20, 25]


def test_a_broken_descriptor_is_left_to_the_transport_and_hurts_nobody(kernel: Kernel) -> None:
    group = Group(Text())
    broken, fine = Connection(kernel), Connection(kernel)
    rests: list[bytes] = []
    broken.send_rest = rests.append  # type: ignore[method-assign]
    group.add(broken)
    group.add(fine)
    turns: list[Callable[[], None]] = []
    out = Fanout(lambda _: (group,), turns.append)

    def write(fd: int, data: bytes) -> int:
        if fd == broken.fd:
            raise BrokenPipeError
        return fine.take(data)

    fanout.os.write = write
    out.deliver("a", Publication(Raw(b"1")))
    turns.pop()()
    assert rests == [b"a1;"]
    assert fine.buffer == b"a1;"


def test_connections_that_block_in_the_middle_of_a_frame_get_it_once(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "SLICE", 2)
    turns: list[Callable[[], None]] = []
    group = Group(Text())
    crowd = [Connection(kernel) for _ in range(6)]
    for connection in crowd:
        connection.seats["a"] = group.add(connection)
    out = Fanout(lambda _: (group,), turns.append)
    out.deliver("a", Publication(Raw(b"1")))
    turns.pop()()
    for connection in (crowd[0], crowd[3], crowd[5]):  # one that has it, two that have not
        connection.send_frame(b"r" * CAPACITY + b";")
    crowd[3].read(2 * CAPACITY)
    while turns:
        turns.pop()()
    for connection in crowd:
        connection.read(3 * CAPACITY)
        connection.read(3 * CAPACITY)
        assert numbers(connection.received, "a") == [1]
