"""What a node's life is told (events) and what it asks for (commands); core/node_life.py decides between them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class State(StrEnum):
    STARTING = "starting"
    INITIALIZING = "initializing"
    REGISTERING = "registering"
    ACTIVE = "active"
    LOADING_CHANNELS = "loading_channels"
    READY = "ready"
    DISCONNECTED = "disconnected"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the load balancer and the other nodes want to know."""

    ready: bool
    draining: bool


# Events: what has happened.


@dataclass(frozen=True, slots=True)
class Begin:
    pass


@dataclass(frozen=True, slots=True)
class ConfigurationLoaded:
    pass


@dataclass(frozen=True, slots=True)
class ConfigurationFailed:
    pass


@dataclass(frozen=True, slots=True)
class Registered:
    heartbeat_seconds: float


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    chance: float
    refused: bool = False


@dataclass(frozen=True, slots=True)
class LoadingBegan:
    """The rules, keys and view of the registration are being handed out."""


@dataclass(frozen=True, slots=True)
class ChannelsLoaded:
    """They hold now."""


@dataclass(frozen=True, slots=True)
class PeersSettled:
    """The nodes of the view are connected and have told their interest."""


@dataclass(frozen=True, slots=True)
class HeartbeatAnswered:
    """untold: something that was counted is not known to be committed."""

    untold: bool = False


@dataclass(frozen=True, slots=True)
class HeartbeatFailed:
    chance: float
    refused: bool = False


@dataclass(frozen=True, slots=True)
class NotRegistered:
    """The registry answered that it does not know this instance (any more)."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer instance has this node's id."""


@dataclass(frozen=True, slots=True)
class DrainRequested:
    pass


@dataclass(frozen=True, slots=True)
class Drained:
    """untold: as in HeartbeatAnswered. Nothing more is counted."""

    untold: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """The registry was told, or could not be."""


@dataclass(frozen=True, slots=True)
class Tick:
    pass


Event: TypeAlias = (
    Begin
    | ConfigurationLoaded
    | ConfigurationFailed
    | Registered
    | RegistrationFailed
    | LoadingBegan
    | ChannelsLoaded
    | PeersSettled
    | HeartbeatAnswered
    | HeartbeatFailed
    | NotRegistered
    | Superseded
    | DrainRequested
    | Drained
    | Left
    | Tick
)


# Commands: what is to be done. Each of the first five ends in one event; the driver must see to that in bounded time.


@dataclass(frozen=True, slots=True)
class LoadConfiguration:
    """→ ConfigurationLoaded, ConfigurationFailed."""


@dataclass(frozen=True, slots=True)
class Register:
    """→ Registered, RegistrationFailed, Superseded."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class LoadChannels:
    """Hand out what the registration brought → LoadingBegan, ChannelsLoaded."""


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """→ HeartbeatAnswered, HeartbeatFailed, NotRegistered, Superseded. `state`: the one to report.

    last: nothing is counted any more; what was is to be told now.
    """

    state: State
    facts: Facts
    last: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """→ Left."""


@dataclass(frozen=True, slots=True)
class ScheduleAt:
    """A Tick is wanted at this time; replaces the earlier wish."""

    when: float


@dataclass(frozen=True, slots=True)
class StopNow:
    """The life is over; `failed`: because it has to be, not because it was asked to."""

    failed: bool


Command: TypeAlias = LoadConfiguration | Register | LoadChannels | SendHeartbeat | Leave | ScheduleAt | StopNow
