"""The link between two ends, over carriers that do whatever they like."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.support.links import LIMITS, End, check_at_most_once, check_exact
from wsplatform.core.link import ACK_FRAMES, Link, LinkLimits
from wsplatform.wire import link as wire
from wsplatform.wire.cluster import EnvelopeError
from wsplatform.wire.link import FRAME_OVERHEAD, Ack, Bye, Data, Hello, Lane, Ping, Skip

sides = st.integers(0, 1)
CONTROL, PUBLICATIONS = Lane.CONTROL, Lane.PUBLICATIONS


class Pair:
    """Two ends, each with a process of its own, and the frames under way from each. `now` begins at 100 s."""

    def __init__(self, limits: LinkLimits = LIMITS) -> None:
        self.now = 100.0
        self.up = False
        self.accepts = [True, True]
        self.under_way: tuple[list[bytes], list[bytes]] = ([], [])
        self.ends = tuple(End(self._carrier(side), count(1 + side).__next__, limits) for side in (0, 1))
        self.ends[0].peer, self.ends[1].peer = self.ends[1], self.ends[0]

    def _carrier(self, side: int) -> object:
        def carry(frame: bytes) -> bool:
            assert self.up
            if self.accepts[side]:
                self.under_way[side].append(frame)
            return self.accepts[side]

        return carry

    def connect(self) -> None:
        self.up = True
        for end in self.ends:
            end.link.up(self.now)

    def disconnect(self) -> None:
        self.up = False
        for end in self.ends:
            end.link.down()

    def arrive(self, side: int, at: int = 0) -> None:
        self.take(side, self.under_way[side].pop(at))

    def take(self, side: int, frame: bytes) -> None:
        if self.up:
            self.ends[1 - side].link.take(frame, self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for end in self.ends:
            end.link.tick(self.now)

    def deliver(self) -> None:
        """All that is under way, in order, and what comes of it."""
        while any(self.under_way):
            for side in (0, 1):
                while self.under_way[side]:
                    self.arrive(side)

    def settle(self) -> None:
        """From now on nothing goes wrong."""
        self.accepts = [True, True]
        if not self.up:
            self.connect()
        for _ in range(12):
            self.deliver()
            self.pass_time(0.25)
        assert all(end.link.ready and end.link.idle for end in self.ends)
        assert all(end.link.queued == end.link.unacknowledged == 0 for end in self.ends)


class Anything(RuleBasedStateMachine):
    """Frames are lost, doubled, delayed for ever so long, and swapped; carriers come, go and refuse; bounds are met."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    @rule(side=sides, lane=st.sampled_from(Lane), number=st.integers(1, 5), size=st.integers(0, 300))
    def send(self, side: int, lane: Lane, number: int, size: int) -> None:
        self.pair.ends[side].say(lane, number, size, self.pair.now)

    @rule(side=sides, at=st.integers(0, 3), times=st.integers(1, 10))
    def arrive(self, side: int, at: int, times: int) -> None:
        for _ in range(times):
            if self.pair.under_way[side]:
                self.pair.arrive(side, at % len(self.pair.under_way[side]))

    @rule(side=sides, at=st.integers(0, 20))
    def lose(self, side: int, at: int) -> None:
        if self.pair.under_way[side]:
            self.pair.under_way[side].pop(at % len(self.pair.under_way[side]))

    @rule(side=sides, at=st.integers(0, 20))
    def double(self, side: int, at: int) -> None:
        frames = self.pair.under_way[side]
        if frames:
            frames.append(frames[at % len(frames)])

    @precondition(lambda self: not self.pair.up)
    @rule()
    def connect(self) -> None:
        self.pair.connect()

    @precondition(lambda self: self.pair.up)
    @rule()
    def disconnect(self) -> None:
        self.pair.disconnect()

    @rule(side=sides)
    def refuse_or_accept(self, side: int) -> None:
        self.pair.accepts[side] = not self.pair.accepts[side]

    @rule(seconds=st.floats(0.01, 3))
    def pass_time(self, seconds: float) -> None:
        self.pair.pass_time(seconds)

    @rule(side=sides)
    def give_up(self, side: int) -> None:
        """It is retired, and comes back."""
        self.pair.ends[side].link.give_up("peer_gone")

    @rule()
    def all_arrives(self) -> None:
        self.pair.deliver()

    def finish(self) -> None:
        self.pair.settle()
        for end in self.pair.ends:
            check_exact(end)

    def teardown(self) -> None:
        self.finish()


class Forgetful(Anything):
    """One end forgets the other, again and again. What was on its way to it or from it goes with the connection."""

    @rule(side=sides)
    def forget(self, side: int) -> None:
        self.pair.disconnect()
        for frames in self.pair.under_way:
            frames.clear()
        self.pair.ends[side].forget()

    def finish(self) -> None:
        self.pair.settle()
        for end in self.pair.ends:
            check_at_most_once(end)


STEPS = settings(max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestAnything = Anything.TestCase
TestAnything.settings = STEPS
TestForgetful = Forgetful.TestCase
TestForgetful.settings = STEPS


def connected(limits: LinkLimits = LIMITS) -> Pair:
    pair = Pair(limits)
    pair.connect()
    pair.deliver()
    assert all(end.link.ready and end.connections == 1 for end in pair.ends)
    return pair


def test_what_was_sent_before_the_first_connection_arrives() -> None:
    pair = Pair()
    pair.ends[0].say(PUBLICATIONS, 3, 10, pair.now)
    pair.connect()
    pair.deliver()
    assert pair.ends[0].ways[PUBLICATIONS].arrived == [0, 1, 2]


def test_what_is_sent_in_one_turn_is_one_frame_and_control_goes_first() -> None:
    pair = connected()
    link = pair.ends[0].link
    for number in range(3):
        link.send(PUBLICATIONS, b"%d " % number)
        link.send(CONTROL, b"%d " % number)
    link.flush(pair.now)
    frames = [wire.decode(frame) for frame in pair.under_way[0]]
    assert [(type(frame), frame.lane, len(frame.envelopes)) for frame in frames] == [
        (Data, CONTROL, 3),
        (Data, PUBLICATIONS, 3),
    ]


@pytest.mark.parametrize("length", [LIMITS.envelope, LIMITS.envelope + 1])
def test_the_largest_envelope_makes_a_frame_that_the_carrier_takes_and_a_larger_one_is_counted(length: int) -> None:
    pair = connected()
    link = pair.ends[0].link
    link._out[PUBLICATIONS].next = 2**40
    fits = length <= LIMITS.envelope
    assert link.send(PUBLICATIONS, bytes(length)) == fits
    link.flush(pair.now)
    data = [frame for frame in pair.under_way[0] if isinstance(wire.decode(frame), Data)]
    assert [len(frame) <= LIMITS.frame for frame in data] == [True] * fits
    assert link.dropped == ({} if fits else {"too_large": 1})


@given(st.lists(st.integers(0, LIMITS.envelope), max_size=30))
def test_no_frame_is_larger_than_the_carrier_takes(lengths: list[int]) -> None:
    pair = connected()
    for length in lengths:
        assert pair.ends[0].link.send(PUBLICATIONS, bytes(length))
    pair.ends[0].link.flush(pair.now)
    assert all(len(frame) <= LIMITS.frame for frame in pair.under_way[0])


def test_what_the_other_side_does_not_take_is_refused_and_holds_up_nothing() -> None:
    pair = connected()
    large, small = (end.link for end in pair.ends)
    modest = replace(LIMITS, frame=200)
    pair.ends[1].link = small = Link(pair.ends[1], modest, count(100).__next__)
    pair.disconnect()
    pair.connect()
    pair.deliver()
    assert not large.send(PUBLICATIONS, bytes(modest.envelope + 1))
    assert large.dropped == {"too_large": 1}
    pair.ends[1].peer.ways[PUBLICATIONS].next = -1
    pair.ends[0].say(PUBLICATIONS, 20, 30, pair.now)
    assert max(map(len, pair.under_way[0])) <= modest.frame
    pair.settle()
    assert small.received == 20


def test_a_resumed_connection_carries_what_was_under_way_once() -> None:
    pair = connected()
    pair.ends[0].say(PUBLICATIONS, 2, 10, pair.now)
    pair.deliver()
    pair.ends[0].say(PUBLICATIONS, 2, 10, pair.now)
    pair.under_way[0].clear()
    pair.disconnect()
    pair.ends[0].say(PUBLICATIONS, 2, 10, pair.now)
    pair.settle()
    assert pair.ends[0].ways[PUBLICATIONS].arrived == list(range(6))
    assert pair.ends[0].link.replayed == 2
    assert pair.ends[1].link.duplicates == 0
    check_exact(pair.ends[0])


def test_acknowledgements_come_now_and_then_not_for_every_frame() -> None:
    pair = connected(LinkLimits(100_000, 10**6, 10**6, 30.0, 1.0))
    for _ in range(ACK_FRAMES * 3):
        pair.ends[0].say(PUBLICATIONS, 1, 100, pair.now)
        pair.arrive(0)
    assert len(pair.under_way[1]) == 3
    pair.ends[0].say(PUBLICATIONS, 1, 80_000, pair.now)
    pair.arrive(0)
    assert len(pair.under_way[1]) == 4
    pair.deliver()
    assert pair.ends[0].link.idle


def test_the_window_holds_back_publications_and_lets_control_pass() -> None:
    pair = connected(LinkLimits(400, 1_000, 10**6, 30.0, 1.0))
    pair.ends[0].say(PUBLICATIONS, 20, 300, pair.now)
    link = pair.ends[0].link
    assert len(pair.under_way[0]) == 3
    assert link.unacknowledged <= 1_000
    assert link.queued > 17 * 300
    pair.ends[0].say(CONTROL, 1, 10, pair.now)
    assert isinstance(frame := wire.decode(pair.under_way[0][-1]), Data)
    assert frame.lane is CONTROL
    pair.settle()
    check_exact(pair.ends[0])


def test_a_lost_end_is_noticed_by_the_next_ping() -> None:
    pair = connected()
    pair.pass_time(1.0)
    pair.deliver()
    pair.ends[0].say(PUBLICATIONS, 2, 10, pair.now)
    pair.under_way[0].clear()
    pair.pass_time(1.0)
    pair.deliver()
    assert pair.ends[0].ways[PUBLICATIONS].arrived == [0, 1]


def test_a_hello_that_is_lost_is_said_again() -> None:
    pair = Pair()
    pair.connect()
    for frames in pair.under_way:
        frames.clear()
    pair.deliver()
    assert not pair.ends[0].connections
    pair.pass_time(0.5)
    pair.deliver()
    assert [end.connections for end in pair.ends] == [1, 1]
    assert not any(pair.under_way)


def test_the_round_trip_is_measured_and_smoothed() -> None:
    pair = connected()
    for delay, expected in ((0.1, 0.1), (0.1, 0.1), (0.5, 0.15)):
        pair.ends[0].link.ping(pair.now)
        pair.now += delay
        pair.deliver()
        assert pair.ends[0].link.rtt == pytest.approx(expected, abs=1e-5)


def test_one_that_was_told_of_nothing_but_a_gap_and_has_forgotten_gets_what_follows() -> None:
    pair = Pair()
    pair.connect()
    pair.ends[1].say(PUBLICATIONS, 1, 10, pair.now)
    pair.ends[1].link.give_up("peer_gone")
    pair.deliver()
    pair.disconnect()
    pair.ends[0].forget()
    pair.ends[1].say(PUBLICATIONS, 1, 10, pair.now)
    pair.settle()
    assert pair.ends[1].ways[PUBLICATIONS].arrived == [1]
    assert pair.ends[1].link.dropped == {"peer_gone": 1}


def test_what_was_evicted_and_had_arrived_is_not_counted() -> None:
    """Its acknowledgement was lost with the connection."""
    pair = connected()
    pair.ends[0].say(PUBLICATIONS, 1, 200, pair.now)
    pair.ends[0].say(PUBLICATIONS, 1, 200, pair.now)
    pair.arrive(0)
    pair.under_way[0].clear()
    pair.disconnect()
    pair.ends[0].say(PUBLICATIONS, 1, 200, pair.now)
    pair.pass_time(LIMITS.replay_seconds)
    assert pair.ends[0].link.dropped == {"expired": 1}  # the third was never sent; of the others nobody knows yet
    pair.settle()
    assert pair.ends[0].link.dropped == {"expired": 2}
    assert pair.ends[1].link.gaps == 2
    check_exact(pair.ends[0])


def test_causes_are_told_apart() -> None:
    pair = Pair()
    pair.ends[0].say(PUBLICATIONS, 1, 300, pair.now)
    pair.pass_time(LIMITS.replay_seconds)
    for _ in range(10):
        pair.ends[0].say(PUBLICATIONS, 1, 300, pair.now)
    pair.ends[0].say(CONTROL, 1, 300, pair.now)
    lost = pair.ends[0].ways[PUBLICATIONS].lost
    assert lost == {"expired": 1, "overflow": 6}
    assert not pair.ends[0].ways[CONTROL].lost
    pair.ends[0].link.discard("peer_restarted")
    assert lost == {"expired": 1, "overflow": 6, "peer_restarted": 4}
    assert pair.ends[0].link.dropped == lost


def test_a_goodbye_ends_both_sides_and_counts_nothing() -> None:
    pair = connected()
    pair.ends[1].say(PUBLICATIONS, 5, 10, pair.now)
    pair.under_way[1].clear()
    pair.ends[0].link.say_bye()
    pair.deliver()
    assert pair.ends[1].stopped
    assert not pair.ends[0].stopped
    for end in pair.ends:
        assert end.link.ended
        assert not end.link.send(PUBLICATIONS, b"0 ")
        assert end.link.dropped == {}
    pair.disconnect()
    pair.connect()
    pair.deliver()
    assert [end.connections for end in pair.ends] == [1, 1]


def test_what_waits_at_the_end_is_counted_where_nobody_hears_the_goodbye() -> None:
    pair = connected()
    end = pair.ends[0]
    end.say(PUBLICATIONS, 2, 10, pair.now)
    pair.disconnect()
    end.say(PUBLICATIONS, 3, 10, pair.now)
    end.link.say_bye()
    assert end.link.ended
    assert end.link.dropped == {"stopped": 5}
    end.link.end()
    assert end.link.dropped == {"stopped": 5}


def test_both_may_say_goodbye_at_once() -> None:
    pair = connected()
    for end in pair.ends:
        end.link.say_bye()
    pair.deliver()
    assert all(end.link.ended and not end.stopped for end in pair.ends)


number = st.integers(0, wire.MAX_NUMBER)
numbers = st.tuples(number, number)
lanes = st.sampled_from(Lane)
frames = st.one_of(
    st.builds(Data, number, lanes, number, st.lists(st.binary(max_size=30), max_size=4)),
    st.builds(Skip, number, lanes, number),
    st.builds(Ack, number, numbers, numbers, st.integers(0, 3), number),
    st.builds(Ping, number, number, numbers),
    st.builds(Hello, number, number, number, number, numbers, numbers, st.booleans()),
    st.builds(Bye, number),
)


@given(frames)
def test_a_frame_comes_back(frame: wire.Frame) -> None:
    assert wire.decode(wire.encode(frame)) == frame


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=9), number, number)
def test_the_size_of_a_frame_is_not_more_than_reckoned(envelopes: list[bytes], epoch: int, first: int) -> None:
    frame = wire.encode(Data(epoch, PUBLICATIONS, first, envelopes))
    assert len(frame) <= wire.size(envelopes, sum(map(len, envelopes)))
    if len(envelopes) == 1:
        assert len(frame) <= FRAME_OVERHEAD + len(envelopes[0])


@given(st.lists(st.one_of(frames.map(wire.encode), st.binary(max_size=100)), max_size=20))
def test_whatever_a_peer_says_raises_nothing_but_the_documented_error(said: list[bytes]) -> None:
    pair = connected()
    end = pair.ends[1]
    end.received = lambda lane, envelopes: None  # type: ignore[method-assign]
    end.say(PUBLICATIONS, 3, 10, pair.now)
    for frame in said:
        with contextlib.suppress(EnvelopeError):
            end.link.take(frame, pair.now)
        end.link.tick(pair.now)
    assert isinstance(end.link, Link)


def test_no_number_that_a_peer_may_say_makes_one_that_cannot_be_said_or_reported() -> None:
    pair = connected()
    end, peer = pair.ends
    most = wire.MAX_NUMBER
    for frame in (Skip(1, PUBLICATIONS, most + 1), Data(1, PUBLICATIONS, 2**64 - 1, [b""]), Ping(-1, 1, (1, 1))):
        with pytest.raises(EnvelopeError):
            end.link.take(wire.encode(frame), pair.now)
    end.received = lambda lane, envelopes: None  # type: ignore[method-assign]
    end.gap = lambda lane, count: None  # type: ignore[method-assign]
    own = end.link._epoch  # what a peer learns by a Hello
    for epoch in range(100, 104):
        hello = Hello(50, epoch, end.link._life, own, (0, 0), (0, 0), ready=True)
        for frame in (hello, Skip(epoch, PUBLICATIONS, most), Data(epoch, PUBLICATIONS, most, [b"a", b"b", b"c"])):
            end.link.take(wire.encode(frame), pair.now)
            end.link.tick(pair.now)
    assert end.link.gaps == most
    assert peer.link.dropped == {}


def test_a_frame_of_many_envelopes_is_not_larger_than_those_that_are_made() -> None:
    limits = LinkLimits(frame=8_000_000, outbox=9_000_000, replay_bytes=9_000_000, replay_seconds=5.0, ping_seconds=1.0)
    end, peer = connected(limits).ends
    end.received = lambda lane, envelopes: None  # type: ignore[method-assign]
    epoch = peer.link._epoch  # what a peer learns by a Hello
    end.link.take(wire.encode(Data(epoch, PUBLICATIONS, 1, [bytes(1_000_000)])), 100.0)
    assert end.link.received == 1
    with pytest.raises(EnvelopeError):
        end.link.take(wire.encode(Data(epoch, PUBLICATIONS, 2, [b""] * 200_000)), 100.0)
    assert end.link.received == 1
