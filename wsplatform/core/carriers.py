"""Which of two carriers takes the traffic with a peer.

The first is preferred. The second is connected only when the first cannot be opened for a while, or was lost. When the
first is back it must hold for a time before the traffic returns to it, twice as long after each loss soon after a
return: a way that opens and then swallows what it is given would stop the traffic until its silence is noticed, again
and again. Both sides decide by themselves; that the other one has returned is seen by what it sends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Literal

OPEN_SECONDS: Final = 2.0
"""How long the first carrier may take to open."""

LOST_SECONDS: Final = 0.3
"""How long after a loss: most connections that break are there again at once."""

FIRST_HOLD: Final = 1.0
LONGEST_HOLD: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A first carrier that was used for so long without a loss is trusted as in the beginning."""


class Carrier(Enum):
    FIRST = 0
    SECOND = 1


@dataclass(frozen=True, slots=True)
class Event:
    """up, down: as the carrier tells. heard: an envelope of the peer came on it. tick: time has passed."""

    kind: Literal["up", "down", "heard", "tick"]
    carrier: Carrier = Carrier.FIRST


TICK: Final = Event("tick")


@dataclass(frozen=True, slots=True)
class State:
    """Of one peer. Times are moments of the caller's clock.

    using: what takes the traffic; None: nothing can. up: the carriers that are. second_at: from when on the second is
    to be connected. back_at: when the first, up again, takes the traffic back. hold: how long it must last before that.
    since: when the first took the traffic.
    """

    second_at: float
    using: Carrier | None = None
    up: frozenset[Carrier] = frozenset()
    back_at: float = math.inf
    hold: float = FIRST_HOLD
    since: float = -math.inf

    def wants_second(self, now: float) -> bool:
        return now >= self.second_at


def begin(now: float) -> State:
    """Nothing is up yet."""
    return State(second_at=now + OPEN_SECONDS)


def step(state: State, event: Event, now: float) -> State:
    if event.kind == "up":
        return _up(replace(state, up=state.up | {event.carrier}), event.carrier, now)
    if event.kind == "down":
        return _down(replace(state, up=state.up - {event.carrier}), event.carrier, now)
    returns = event.kind == "heard" or now >= state.back_at
    if returns and event.carrier is Carrier.FIRST and state.using is Carrier.SECOND and Carrier.FIRST in state.up:
        return _use_first(state, now)
    return state


def _up(state: State, carrier: Carrier, now: float) -> State:
    if state.using is None:
        return _use_first(state, now) if carrier is Carrier.FIRST else replace(state, using=Carrier.SECOND)
    if carrier is Carrier.FIRST and state.using is Carrier.SECOND:
        return replace(state, back_at=now + state.hold)
    return state


def _down(state: State, carrier: Carrier, now: float) -> State:
    if carrier is Carrier.FIRST:
        steady = state.using is Carrier.FIRST and now - state.since >= STEADY_SECONDS
        state = replace(state, hold=FIRST_HOLD if steady else min(2 * state.hold, LONGEST_HOLD), back_at=math.inf)
    if state.using is not carrier:
        return state
    if carrier is Carrier.SECOND:
        return _use_first(state, now) if Carrier.FIRST in state.up else replace(state, using=None)
    using = Carrier.SECOND if Carrier.SECOND in state.up else None
    return replace(state, using=using, second_at=now + LOST_SECONDS)


def _use_first(state: State, now: float) -> State:
    return replace(state, using=Carrier.FIRST, since=now, back_at=math.inf, second_at=math.inf)
