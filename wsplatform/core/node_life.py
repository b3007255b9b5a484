"""The life of a node in its cluster, as a pure state machine: life + event + now -> life + commands.

    Starting → Initializing → Registering → Active → LoadingChannels → Ready
                                  ↑                                      ↓↑ each report
                                  └──────────── Disconnected ← ─────── Active            any → Draining → Stopped

The state tells where the node stands towards the registry. Whether it serves is another matter and follows from facts
(`Life.ready`): a node that was ready stays so through reports, a lost registry and a new registration.

Times are seconds of one monotonic clock. `chance` in events is from 0 to 1. An event that does not belong to the
present state (an answer to a call that is not under way, anything once Stopped) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from wsplatform.core.backoff import wait
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

MIN_HEARTBEAT: Final = 0.05
MAX_HEARTBEAT: Final = 60.0


class Call(Enum):
    """The calls to the registry; one at a time is under way."""

    REGISTER = auto()
    HEARTBEAT = auto()
    LEAVE = auto()


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A refused node (another secret, another version) retries slowly: somebody has to change something first.

    retry_cap must stay well below the registry's dead_seconds: a registry that comes back drops from its view whoever
    has not reported within that time. settle: how long at most a new node waits for its peers before it is ready.
    farewell: for how long a drained node goes on trying to tell what it has counted, each `told_again`.
    """

    retry_first: float = 0.2
    retry_cap: float = 2.0
    refused_first: float = 1.0
    refused_cap: float = 15.0
    settle: float = 3.0
    farewell: float = 4.0
    told_again: float = 0.2


@dataclass(frozen=True, slots=True)
class Life:
    """`since`: when the state was entered; reports (Ready → Active → Ready) do not count as a change.

    call: under way to the registry, sent at `sent`, reporting `told`. due: when the next one goes out.
    loading: LoadConfiguration or LoadChannels is under way. known: the registry has taken this instance in, once.
    settled: the peers were reached once, or waited for until `settle_by`. drained: the clients are gone. told_all: the
    last report has gone out. untold: what it says is not known to be committed, which is tried until `leave_by`.
    """

    timing: Timing = Timing()
    state: State = State.STARTING
    since: float = 0.0
    call: Call | None = None
    sent: float = 0.0
    told: Facts | None = None
    due: float | None = None
    heartbeat_seconds: float = 1.0
    failures: int = 0
    loading: bool = False
    known: bool = False
    registered: bool = False
    rules_loaded: bool = False
    settled: bool = False
    settle_by: float | None = None
    drained: bool = False
    told_all: bool = False
    untold: bool = False
    leave_by: float = 0.0

    @property
    def draining(self) -> bool:
        return self.state in (State.DRAINING, State.STOPPED)

    @property
    def ready(self) -> bool:
        return self.rules_loaded and self.settled and not self.draining

    @property
    def facts(self) -> Facts:
        return Facts(self.ready, self.draining)

    @property
    def wake(self) -> float | None:
        """When a Tick is wanted."""
        times = [when for when in (self.due, self.settle_by) if when is not None]
        return min(times, default=None)

    def reasons(self) -> tuple[str, ...]:
        """Why the node is not ready, for operators; empty if it is."""
        if self.draining:
            return ("the node is shutting down",)
        if not self.rules_loaded:
            return ("channel rules are not loaded: the registry has not been reached yet",)
        return () if self.settled else ("connections to the other nodes are being made",)


Result: TypeAlias = tuple[Life, tuple[Command, ...]]


def step(life: Life, event: Event, now: float) -> Result:
    """The life after `event`, and what is to be done."""
    if life.state is State.STOPPED:
        return life, ()
    after, commands = _HANDLERS[type(event)](life, event, now)
    if after.registered and after.call is None and after.told != after.facts:
        after = replace(after, due=now)  # who is ready, or draining, says so at once
    wake = after.wake
    # A Tick has used up its timer, and may have come a clock's resolution early.
    if wake is not None and (wake != life.wake or isinstance(event, Tick)):
        commands = (*commands, ScheduleAt(wake))
    return after, commands


def _begin(life: Life, _event: Begin, now: float) -> Result:
    if life.state is not State.STARTING:
        return life, ()
    return replace(life, state=State.INITIALIZING, since=now, loading=True), (LoadConfiguration(),)


def _configuration_loaded(life: Life, _event: ConfigurationLoaded, now: float) -> Result:
    if life.state is not State.INITIALIZING:
        return life, ()
    return _register(replace(life, loading=False), now)


def _configuration_failed(life: Life, _event: ConfigurationFailed, now: float) -> Result:
    if life.state is not State.INITIALIZING:
        return life, ()
    return _stop(life, now, failed=True)


def _registered(life: Life, event: Registered, now: float) -> Result:
    if life.call is not Call.REGISTER:
        return life, ()
    seconds = min(max(MIN_HEARTBEAT, event.heartbeat_seconds), MAX_HEARTBEAT)
    life = replace(life, call=None, registered=True, known=True, failures=0, heartbeat_seconds=seconds)
    if life.state is State.DRAINING:
        return _report_or_leave(life, now)
    life = replace(life, state=State.ACTIVE, since=now, loading=True)
    return replace(life, due=_next_report(life, now)), (LoadChannels(),)


def _registration_failed(life: Life, event: RegistrationFailed, now: float) -> Result:
    return _failed(life, event, now) if life.call is Call.REGISTER else (life, ())


def _heartbeat_failed(life: Life, event: HeartbeatFailed, now: float) -> Result:
    return _failed(life, event, now) if life.call is Call.HEARTBEAT else (life, ())


def _failed(life: Life, event: RegistrationFailed | HeartbeatFailed, now: float) -> Result:
    timing = life.timing
    first, cap = (timing.refused_first, timing.refused_cap) if event.refused else (timing.retry_first, timing.retry_cap)
    failures = life.failures + 1
    due = now + wait(failures, first, cap, event.chance)
    life = replace(life, call=None, registered=False, failures=failures, due=due)
    if life.state is not State.DRAINING:
        return _enter(life, State.DISCONNECTED, now), ()
    if life.drained:
        return _failed_at_the_end(life, now)
    # One that was never registered need not be now, with nothing but its end to report.
    return life if life.known else replace(life, due=None), ()


def _failed_at_the_end(life: Life, now: float) -> Result:
    """A registry that could not be told what was counted is not told of the end either: it will notice."""
    if not life.untold:
        return _leave(life, now)
    assert life.due is not None
    return (life, ()) if life.due < life.leave_by else _stop(life, now, failed=False)


def _loading_began(life: Life, _event: LoadingBegan, now: float) -> Result:
    if life.state is not State.ACTIVE or not life.loading:
        return life, ()
    return _enter(life, State.LOADING_CHANNELS, now), ()


def _channels_loaded(life: Life, _event: ChannelsLoaded, now: float) -> Result:
    if not life.loading or life.state in (State.INITIALIZING, State.DRAINING):
        return life, ()
    settle_by = life.settle_by
    if not life.settled and settle_by is None:
        settle_by = now + life.timing.settle
    return _ready_if_so(replace(life, loading=False, rules_loaded=True, settle_by=settle_by), now), ()


def _peers_settled(life: Life, _event: PeersSettled, now: float) -> Result:
    """Counts only from when the view is handed out: before that a node without peers would call itself settled."""
    counts = life.rules_loaded or life.state is State.LOADING_CHANNELS
    if life.settled or life.draining or not counts:
        return life, ()
    return _ready_if_so(replace(life, settled=True, settle_by=None), now), ()


def _heartbeat_answered(life: Life, event: HeartbeatAnswered, now: float) -> Result:
    if life.call is not Call.HEARTBEAT:
        return life, ()
    life = replace(life, call=None, failures=0, untold=event.untold)
    if life.state is State.DRAINING:
        return _report_or_leave(life, now)
    if life.state is State.ACTIVE and life.ready and not life.loading:
        life = replace(life, state=State.READY)
    return replace(life, due=_next_report(life, now)), ()


def _not_registered(life: Life, _event: NotRegistered, now: float) -> Result:
    if life.call is not Call.HEARTBEAT:
        return life, ()
    life = replace(life, call=None, registered=False)
    if life.drained and not (life.untold and now < life.leave_by):
        return _stop(life, now, failed=False)
    return _register(life, now)


def _superseded(life: Life, _event: Superseded, now: float) -> Result:
    """A draining node ends as it was going to, without a word more to the registry: it is the other's name now."""
    if life.state is not State.DRAINING:
        return _stop(life, now, failed=True)
    life = replace(life, call=None, due=None, registered=False, known=False)
    return _leave(life, now) if life.drained else (life, ())


def _drain_requested(life: Life, _event: DrainRequested, now: float) -> Result:
    if life.state is State.DRAINING:
        return life, ()
    due = life.due if life.known else None
    return replace(life, state=State.DRAINING, since=now, loading=False, settle_by=None, due=due), ()


def _drained(life: Life, event: Drained, now: float) -> Result:
    if life.state is not State.DRAINING or life.drained:
        return life, ()
    leave_by = now + life.timing.farewell
    life = replace(life, drained=True, due=None, failures=0, untold=event.untold, leave_by=leave_by)
    return (life, ()) if life.call is not None else _leave(life, now)


def _left(life: Life, _event: Left, now: float) -> Result:
    return _stop(life, now, failed=False) if life.call is Call.LEAVE else (life, ())


def _tick(life: Life, _event: Tick, now: float) -> Result:
    if life.settle_by is not None and now >= life.settle_by:
        life = _ready_if_so(replace(life, settled=True, settle_by=None), now)
    if life.due is None or now < life.due:
        return life, ()
    return _heartbeat(life, now) if life.registered else _register(life, now)


def _register(life: Life, now: float) -> Result:
    if life.state is not State.DRAINING:
        life = _enter(life, State.REGISTERING, now)
    life = replace(life, call=Call.REGISTER, sent=now, told=life.facts, due=None)
    return life, (Register(life.facts),)


def _heartbeat(life: Life, now: float) -> Result:
    command = SendHeartbeat(life.state, life.facts, last=life.drained)
    state = State.ACTIVE if life.state is State.READY else life.state
    life = replace(life, state=state, call=Call.HEARTBEAT, sent=now, told=life.facts, due=None, told_all=life.drained)
    return life, (command,)


def _report_or_leave(life: Life, now: float) -> Result:
    if life.drained:
        return _leave(life, now)
    return replace(life, due=_next_report(life, now)), ()


def _leave(life: Life, now: float) -> Result:
    if not life.known:
        return _stop(life, now, failed=False)
    if life.registered and not life.told_all:
        return _heartbeat(life, now)
    again = now + life.timing.told_again
    if life.untold and again < life.leave_by:
        return replace(life, due=again), ()
    return replace(life, call=Call.LEAVE, due=None, registered=False), (Leave(),)


def _stop(life: Life, now: float, *, failed: bool) -> Result:
    life = replace(life, state=State.STOPPED, since=now, call=None, due=None, settle_by=None, loading=False)
    return replace(life, registered=False), (StopNow(failed),)


def _enter(life: Life, state: State, now: float) -> Life:
    return replace(life, state=state, since=now)


def _ready_if_so(life: Life, now: float) -> Life:
    if life.state in (State.ACTIVE, State.LOADING_CHANNELS) and life.ready and not life.loading:
        return _enter(life, State.READY, now)
    return life


def _next_report(life: Life, now: float) -> float:
    return max(now, life.sent + life.heartbeat_seconds)


_HANDLERS: Final[Mapping[type[Any], Callable[[Life, Any, float], Result]]] = MappingProxyType(
    {
        Begin: _begin,
        ConfigurationLoaded: _configuration_loaded,
        ConfigurationFailed: _configuration_failed,
        Registered: _registered,
        RegistrationFailed: _registration_failed,
        LoadingBegan: _loading_began,
        ChannelsLoaded: _channels_loaded,
        PeersSettled: _peers_settled,
        HeartbeatAnswered: _heartbeat_answered,
        HeartbeatFailed: _heartbeat_failed,
        NotRegistered: _not_registered,
        Superseded: _superseded,
        DrainRequested: _drain_requested,
        Drained: _drained,
        Left: _left,
        Tick: _tick,
    }
)
