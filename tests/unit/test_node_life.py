"""The life of a node: which state follows, when it serves, and that it is never stuck."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wsplatform.core.node_events import (
    Begin,
    ChannelsLoaded,
    Command,
    ConfigurationFailed,
    ConfigurationLoaded,
    Drained,
    DrainRequested,
    Event,
    Facts,
    HeartbeatAnswered,
    HeartbeatFailed,
    Leave,
    Left,
    LoadChannels,
    LoadConfiguration,
    LoadingBegan,
    NotRegistered,
    PeersSettled,
    Register,
    Registered,
    RegistrationFailed,
    ScheduleAt,
    SendHeartbeat,
    State,
    StopNow,
    Superseded,
    Tick,
)
from wsplatform.core.node_life import Call, Life, Timing, step

TIMING = Timing(retry_first=0.5, retry_cap=2.0, refused_first=4.0, refused_cap=16.0, settle=3.0)
NOT_READY, READY, DRAINING = Facts(False, False), Facts(True, False), Facts(False, True)


class Run:
    """A life with what it has asked for."""

    def __init__(self) -> None:
        self.life = Life(TIMING)
        self.now = 100.0
        self.commands: tuple[Command, ...] = ()
        self.path: list[State] = [self.life.state]

    def tell(self, *events: Event) -> tuple[Command, ...]:
        for event in events:
            self.life, self.commands = step(self.life, event, self.now)
            if self.life.state is not self.path[-1]:
                self.path.append(self.life.state)
        return self.commands

    def tick(self) -> tuple[Command, ...]:
        """Let the time pass until the next wish."""
        assert self.life.wake is not None
        self.now = max(self.now, self.life.wake)
        return self.tell(Tick())

    def asked(self, kind: type[Command]) -> Command | None:
        return next((command for command in self.commands if isinstance(command, kind)), None)


def ready() -> Run:
    run = Run()
    run.tell(Begin(), ConfigurationLoaded(), Registered(1.0), LoadingBegan(), ChannelsLoaded(), PeersSettled())
    run.tick()
    run.tell(HeartbeatAnswered())
    assert run.life.state is State.READY
    return run


def test_the_way_to_ready() -> None:
    run = Run()
    assert run.tell(Begin()) == (LoadConfiguration(),)
    assert run.tell(ConfigurationLoaded()) == (Register(NOT_READY),)
    assert run.tell(Registered(1.0)) == (LoadChannels(), ScheduleAt(101.0))
    assert run.tell(LoadingBegan(), ChannelsLoaded()) == ()
    assert not run.life.ready
    run.tell(PeersSettled())
    assert run.life.ready
    assert run.path == [
        State.STARTING,
        State.INITIALIZING,
        State.REGISTERING,
        State.ACTIVE,
        State.LOADING_CHANNELS,
        State.READY,
    ]


def test_becoming_ready_is_reported_at_once_and_so_is_draining() -> None:
    run = Run()
    run.tell(Begin(), ConfigurationLoaded(), Registered(1.0), LoadingBegan(), ChannelsLoaded())
    run.now += 0.1
    assert run.tell(PeersSettled()) == (ScheduleAt(run.now),)
    assert run.tell(Tick()) == (SendHeartbeat(State.READY, READY),)
    run.now += 0.1
    assert run.tell(DrainRequested()) == (), "a call is under way"
    assert run.tell(HeartbeatAnswered()) == (ScheduleAt(run.now),)
    assert run.tell(Tick()) == (SendHeartbeat(State.DRAINING, DRAINING),)


def test_each_report_goes_through_active_and_back() -> None:
    run = ready()
    since = run.life.since
    for _ in range(3):
        sent = run.now
        assert SendHeartbeat(State.READY, READY) in run.tick()
        assert run.life.state is State.ACTIVE
        assert run.life.ready
        run.now += 0.2
        assert run.tell(HeartbeatAnswered()) == (ScheduleAt(run.life.sent + 1.0),)
        assert run.life.state is State.READY
        assert run.now > sent
    assert run.life.since == since, "reports do not count as changes"


def test_peers_that_cannot_be_reached_hold_readiness_up_for_a_bounded_time() -> None:
    run = Run()
    run.tell(Begin(), ConfigurationLoaded(), Registered(60.0), LoadingBegan(), ChannelsLoaded())
    assert run.life.wake == 100.0 + TIMING.settle
    run.now = 100.0 + TIMING.settle - 0.001
    assert run.tell(Tick()) == (ScheduleAt(100.0 + TIMING.settle),), "a timer that came early is set again"
    run.tick()
    assert run.life.state is State.READY


def test_peers_settled_before_there_is_a_view_do_not_count() -> None:
    run = Run()
    run.tell(Begin(), ConfigurationLoaded(), PeersSettled(), Registered(1.0), PeersSettled(), LoadingBegan())
    assert not run.life.settled
    run.tell(PeersSettled(), ChannelsLoaded())
    assert run.life.state is State.READY


def test_a_lost_registry_is_sought_with_backoff_while_the_node_serves_on() -> None:
    run = ready()
    run.tick()
    run.tell(HeartbeatFailed(chance=0.0))
    waits = []
    for _ in range(5):
        assert run.life.state is State.DISCONNECTED
        assert run.life.ready
        failed = run.now
        assert run.tick() == (Register(READY),)
        assert run.life.state is State.REGISTERING
        waits.append(run.now - failed)
        run.tell(RegistrationFailed(chance=0.0))
    assert waits == [0.5, 1.0, 2.0, 2.0, 2.0]
    run.tick()
    run.path.clear()
    run.path.append(run.life.state)
    run.tell(Registered(1.0), LoadingBegan(), ChannelsLoaded())
    assert run.path == [State.REGISTERING, State.ACTIVE, State.LOADING_CHANNELS, State.READY]
    run.tick()
    run.tell(HeartbeatFailed(chance=0.0))
    assert run.life.due == run.now + 0.5, "after a success the waiting starts anew"


def test_who_is_refused_retries_slowly() -> None:
    run = ready()
    run.tick()
    run.tell(HeartbeatFailed(chance=0.0, refused=True))
    assert run.life.due == run.now + 4.0
    for _ in range(5):
        run.tick()
        run.tell(RegistrationFailed(chance=0.0, refused=True))
    assert run.life.due == run.now + 16.0
    assert run.life.ready


def test_a_registry_that_has_forgotten_the_node_is_told_again_at_once() -> None:
    run = ready()
    run.tick()
    assert run.tell(NotRegistered()) == (Register(READY),)
    assert run.life.state is State.REGISTERING
    assert run.life.ready


def test_a_node_that_starts_without_a_registry_is_not_ready_and_keeps_trying() -> None:
    run = Run()
    run.tell(Begin(), ConfigurationLoaded())
    for _ in range(20):
        run.tell(RegistrationFailed(chance=0.5))
        assert not run.life.ready
        assert "registry" in run.life.reasons()[0]
        assert run.tick() == (Register(NOT_READY),)


def test_a_newer_instance_ends_this_one() -> None:
    run = ready()
    run.tick()
    assert run.tell(Superseded()) == (StopNow(failed=True),)
    assert run.life.state is State.STOPPED
    assert not run.life.ready


def test_a_configuration_that_cannot_be_used_ends_the_life() -> None:
    run = Run()
    assert run.tell(Begin(), ConfigurationFailed()) == (StopNow(failed=True),)


def test_shutdown_drains_reports_leaves_and_stops() -> None:
    run = ready()
    run.tell(DrainRequested())
    assert not run.life.ready
    assert run.life.reasons() == ("the node is shutting down",)
    assert run.tick() == (SendHeartbeat(State.DRAINING, DRAINING),)
    run.tell(HeartbeatAnswered())
    run.tick()
    run.tell(HeartbeatAnswered())
    assert run.tell(Drained()) == (SendHeartbeat(State.DRAINING, DRAINING, last=True),)
    assert run.tell(HeartbeatAnswered()) == (Leave(),)
    assert run.tell(Left()) == (StopNow(failed=False),)


def test_leaving_waits_for_the_call_that_is_under_way() -> None:
    run = ready()
    run.tick()
    assert run.tell(DrainRequested(), Drained()) == ()
    assert run.tell(HeartbeatAnswered()) == (SendHeartbeat(State.DRAINING, DRAINING, last=True),)
    assert run.tell(HeartbeatAnswered()) == (Leave(),)


@pytest.mark.parametrize(
    ("answer", "end"),
    [(HeartbeatFailed(0.5), Leave()), (NotRegistered(), StopNow(False)), (Superseded(), StopNow(False))],
)
def test_a_last_report_that_goes_wrong_is_not_repeated(answer: Event, end: Command) -> None:
    run = ready()
    assert run.tell(DrainRequested(), Drained()) == (SendHeartbeat(State.DRAINING, DRAINING, last=True),)
    assert run.tell(answer) == (end,)


def test_a_node_that_the_registry_does_not_hear_leaves_without_a_last_report() -> None:
    run = ready()
    run.tick()
    run.tell(HeartbeatFailed(0.5))
    assert run.tell(DrainRequested(), Drained()) == (Leave(),)


def test_what_was_counted_is_told_again_until_it_is_committed() -> None:
    run = ready()
    last = SendHeartbeat(State.DRAINING, DRAINING, last=True)
    assert run.tell(DrainRequested(), Drained(untold=True)) == (last,)
    assert run.tell(HeartbeatAnswered(untold=True)) == (ScheduleAt(run.now + TIMING.told_again),)
    assert run.tick() == (last,)
    assert run.tell(HeartbeatAnswered()) == (Leave(),)


def test_a_registry_that_is_away_when_the_last_is_to_be_told_is_asked_again() -> None:
    run = ready()
    run.tell(DrainRequested(), Drained(untold=True), HeartbeatFailed(0.5))
    assert run.tick() == (Register(DRAINING),)
    run.tell(RegistrationFailed(0.5))
    assert run.tick() == (Register(DRAINING),)
    run.tell(Registered(1.0))
    assert run.tick() == (SendHeartbeat(State.DRAINING, DRAINING, last=True),)
    assert run.tell(HeartbeatAnswered()) == (Leave(),)


def test_a_registry_that_has_been_away_is_asked_at_the_end() -> None:
    run = ready()
    run.tick()
    run.tell(HeartbeatFailed(0.5), DrainRequested(), Drained(untold=True))
    assert run.tick() == (Register(DRAINING),)
    run.tell(Registered(1.0))
    assert run.tell(HeartbeatAnswered()) == (Leave(),)


def test_a_registry_that_has_forgotten_the_node_takes_it_in_to_be_told() -> None:
    run = ready()
    run.tell(DrainRequested(), Drained(untold=True))
    assert run.tell(NotRegistered()) == (Register(DRAINING),)
    run.tell(Registered(1.0))
    assert run.tick() == (SendHeartbeat(State.DRAINING, DRAINING, last=True),)
    run.now += TIMING.farewell
    assert run.tell(NotRegistered()) == (StopNow(False),)


@pytest.mark.parametrize(
    ("answer", "end"),
    [(HeartbeatAnswered(untold=True), Leave()), (HeartbeatFailed(0.5), StopNow(False))],
)
def test_what_cannot_be_told_does_not_hold_up_the_end(answer: Event, end: Command) -> None:
    run = ready()
    run.tell(DrainRequested(), Drained(untold=True))
    began = run.now
    while not isinstance(run.commands[0], type(end)):
        run.tell(answer) if run.life.call is Call.HEARTBEAT else run.tick()
        if run.life.call is Call.REGISTER:
            run.tell(RegistrationFailed(0.5))
    assert run.commands == (end,)
    assert run.now - began <= TIMING.farewell


@pytest.mark.parametrize(
    ("answer", "end"),
    [(HeartbeatFailed(0.5), Leave()), (NotRegistered(), StopNow(False)), (Superseded(), StopNow(False))],
)
def test_leaving_after_a_call_that_went_wrong(answer: Event, end: Command) -> None:
    run = ready()
    run.tick()
    run.tell(DrainRequested(), Drained())
    assert run.tell(answer) == (end,)


def test_a_draining_node_whose_registry_forgot_it_is_taken_in_again_as_draining() -> None:
    run = ready()
    run.tell(DrainRequested())
    run.tick()
    assert run.tell(NotRegistered()) == (Register(DRAINING),)
    run.tell(Registered(1.0))
    assert run.life.state is State.DRAINING
    assert isinstance(run.tick()[0], SendHeartbeat)


def test_a_draining_node_that_is_superseded_ends_as_it_was_going_to() -> None:
    """A restart may register the new instance before the old one is gone."""
    run = ready()
    run.tell(DrainRequested())
    run.tick()
    assert run.tell(Superseded()) == ()
    assert run.life.wake is None
    assert run.tell(Drained()) == (StopNow(failed=False),)


@pytest.mark.parametrize("before", [(), (Begin(),), (Begin(), ConfigurationLoaded(), RegistrationFailed(0.5))])
def test_who_was_never_registered_has_nobody_to_take_leave_of(before: tuple[Event, ...]) -> None:
    run = Run()
    run.tell(*before, DrainRequested())
    assert run.life.wake is None
    assert run.tell(Drained()) == (StopNow(failed=False),)


def test_an_absurd_heartbeat_interval_is_bounded() -> None:
    for seconds in (0.0, -5.0, float("nan"), float("inf"), 1e9):
        run = Run()
        run.tell(Begin(), ConfigurationLoaded(), Registered(seconds))
        assert run.life.due is not None
        assert 100.05 <= run.life.due <= 160.0


CHANCE = st.floats(min_value=0, max_value=1)
EVENTS = st.one_of(
    st.sampled_from(
        [
            Begin(),
            ConfigurationLoaded(),
            ConfigurationFailed(),
            LoadingBegan(),
            ChannelsLoaded(),
            PeersSettled(),
            HeartbeatAnswered(),
            HeartbeatAnswered(untold=True),
            NotRegistered(),
            DrainRequested(),
            Drained(),
            Drained(untold=True),
            Left(),
            Tick(),
        ]
    ),
    st.builds(Registered, st.floats()),
    st.builds(RegistrationFailed, CHANCE, st.booleans()),
    st.builds(HeartbeatFailed, CHANCE, st.booleans()),
)
RARELY = st.one_of(EVENTS, EVENTS, EVENTS, EVENTS, EVENTS, st.just(Superseded()))
CALLS = (Register, SendHeartbeat, Leave)


@settings(max_examples=400)
@given(st.lists(st.tuples(RARELY, st.floats(min_value=0, max_value=5)), max_size=80))
def test_no_sequence_of_events_breaks_the_life(events: list[tuple[Event, float]]) -> None:
    life, now, timer, rules = Life(TIMING), 0.0, None, False
    life, _ = step(life, Begin(), now)
    for event, passed in events:
        now += passed
        before = life
        life, commands = step(life, event, now)
        if isinstance(event, Tick):
            timer = None
        timer = next((command.when for command in commands if isinstance(command, ScheduleAt)), timer)
        rules = rules or (isinstance(event, ChannelsLoaded) and before.loading)

        assert rules or not life.ready, "ready before the rules were loaded"
        assert rules or life.state is not State.READY
        assert not (life.ready and life.draining)
        assert life.ready == (not life.reasons())
        if before.state is State.STOPPED:
            assert life == before
            assert commands == ()
        assert sum(isinstance(command, CALLS) for command in commands) <= 1
        if any(isinstance(command, CALLS) for command in commands):
            assert life.call is not None
            assert before.call is None or not isinstance(event, Tick | PeersSettled | DrainRequested | Drained)
        if life.state is State.STOPPED:
            assert before.state is State.STOPPED or any(isinstance(command, StopNow) for command in commands)
            continue
        draining = life.state is State.DRAINING and not life.drained
        assert life.wake is not None or life.call is not None or life.loading or draining, "stuck"
        assert life.wake is None or timer == life.wake, "a wish that no timer stands for"


class Driven(RuleBasedStateMachine):
    """A life with a driver that keeps to the contract: each command is answered once, by one of its events."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.life = Life(TIMING)
        self.calls: list[Command] = []
        self.work: list[Event] = []
        self.ended = False
        self.tell(Begin())

    def tell(self, event: Event) -> None:
        was_ready = self.life.ready
        self.life, commands = step(self.life, event, self.now)
        if was_ready and not self.life.ready:
            assert isinstance(event, DrainRequested | Superseded), "a serving node became unready"
        for command in commands:
            if isinstance(command, CALLS):
                self.calls.append(command)
            elif isinstance(command, LoadConfiguration):
                self.work.append(ConfigurationLoaded())
            elif isinstance(command, LoadChannels):
                self.work += [LoadingBegan(), ChannelsLoaded()]
            elif isinstance(command, StopNow):
                self.ended = True

    @precondition(lambda self: self.work)
    @rule()
    def perform(self) -> None:
        self.tell(self.work.pop(0))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), chance=CHANCE, refused=st.booleans())
    def answer(self, data: st.DataObject, chance: float, refused: bool) -> None:
        call = self.calls.pop()
        if isinstance(call, Leave):
            self.tell(Left())
        elif isinstance(call, Register):
            answers = [Registered(1.0), Registered(1.0), RegistrationFailed(chance, refused), Superseded()]
            self.tell(data.draw(st.sampled_from(answers)))
        else:
            good = [HeartbeatAnswered(), HeartbeatAnswered(), HeartbeatAnswered(untold=True)]
            self.tell(data.draw(st.sampled_from([*good, HeartbeatFailed(chance, refused), NotRegistered()])))

    @precondition(lambda self: self.life.wake is not None)
    @rule()
    def pass_time(self) -> None:
        assert self.life.wake is not None
        self.now = max(self.now, self.life.wake)
        self.tell(Tick())

    @rule(seconds=st.floats(min_value=0, max_value=2))
    def pass_some_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def settle(self) -> None:
        self.tell(PeersSettled())

    @precondition(lambda self: self.now > 20)
    @rule()
    def drain(self) -> None:
        self.tell(DrainRequested())

    @precondition(lambda self: self.life.state is State.DRAINING)
    @rule(untold=st.booleans())
    def drained(self, untold: bool) -> None:
        self.tell(Drained(untold))

    @invariant()
    def one_call_at_a_time(self) -> None:
        assert len(self.calls) <= 1
        if not self.ended:
            assert bool(self.calls) == (self.life.call is not None)

    @invariant()
    def left_alone_with_a_working_registry_it_becomes_ready(self) -> None:
        if self.life.state in (State.STOPPED, State.DRAINING):
            return
        life, now, work, calls = self.life, self.now, list(self.work), list(self.calls)
        for _ in range(30):
            if work:
                event = work.pop(0)
            elif calls:
                event = Registered(1.0) if isinstance(calls.pop(), Register) else HeartbeatAnswered()
            elif life.state is State.READY and life.told == life.facts:
                return
            else:
                assert life.wake is not None
                now, event = max(now, life.wake), Tick()
            life, commands = step(life, event, now)
            calls += [command for command in commands if isinstance(command, CALLS)]
            for command in commands:
                if isinstance(command, LoadConfiguration):
                    work.append(ConfigurationLoaded())
                elif isinstance(command, LoadChannels):
                    work += [LoadingBegan(), ChannelsLoaded()]
        raise AssertionError(f"not ready after 30 steps: {life}")


Driven.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestDriven = Driven.TestCase
