"""Which connections of this node are on which channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from wsplatform.core.metrics import Sample
from wsplatform.node.fanout import Format, Group, Outlet, Seat


class Interest(Protocol):
    """Lets the other nodes know which channels are wanted here (node/relay.py)."""

    def want(self, channel: str, done: Callable[[], None]) -> bool: ...
    def unwant(self, channel: str) -> None: ...


class _Channel:
    """`holds` counts who keeps the channel wanted: seats, and subscribers who still wait for theirs."""

    __slots__ = ("groups", "holds")

    def __init__(self) -> None:
        self.groups: tuple[Group, ...] = ()
        self.holds = 0


class Subscriptions:
    """The index of local subscriptions. A subscriber holds the channel first, takes its seat when the hold is known.

    `hold` and `release` come in pairs; a seat is taken and left between the two.
    """

    def __init__(self, interest: Interest) -> None:
        self.seats = 0
        self._taken = 0
        self._interest = interest
        self._channels: dict[str, _Channel] = {}

    def hold(self, channel: str, done: Callable[[], None]) -> bool:
        """Have the channel's publications sent to this node.

        True: every connected node already knows. False: `done()` is called once they do, or have had long enough.
        """
        entry = self._channels.get(channel)
        if entry is None:
            entry = self._channels[channel] = _Channel()
        entry.holds += 1
        return self._interest.want(channel, done)

    def release(self, channel: str) -> None:
        entry = self._channels[channel]
        entry.holds -= 1
        if not entry.holds:
            del self._channels[channel]
            self._interest.unwant(channel)

    def sit(self, channel: str, outlet: Outlet, format_: Format) -> Seat:
        """Start to receive. The caller holds the channel."""
        entry = self._channels[channel]
        self.seats += 1
        self._taken += 1
        for group in entry.groups:
            if group.format is format_:
                return group.add(outlet)
        group = Group(format_)
        entry.groups = (*entry.groups, group)
        return group.add(outlet)

    def stand(self, channel: str, seat: Seat) -> None:
        """Stop to receive. The caller still holds the channel."""
        self.seats -= 1
        seat.group.remove(seat)
        entry = self._channels[channel]
        if not len(seat.group):
            entry.groups = tuple(group for group in entry.groups if group is not seat.group)

    def groups(self, channel: str) -> tuple[Group, ...]:
        entry = self._channels.get(channel)
        return entry.groups if entry is not None else ()

    def subscribers(self, channel: str) -> int:
        return sum(len(group) for group in self.groups(channel))

    def names(self) -> tuple[str, ...]:
        """Every channel that is held, with or without a subscriber."""
        return tuple(self._channels)

    def listen(self, channel: str, group: Group) -> None:
        """Have `group` served as well, which has no subscribers of its own. The caller holds the channel."""
        entry = self._channels[channel]
        entry.groups = (*entry.groups, group)

    def unlisten(self, channel: str, group: Group) -> None:
        """The opposite of `listen`. The caller still holds the channel."""
        entry = self._channels[channel]
        entry.groups = tuple(other for other in entry.groups if other is not group)

    def measure(self) -> Iterator[Sample]:
        yield Sample("channels", len(self._channels))
        yield Sample("subscriptions", self.seats)
        yield Sample("subscribes", self._taken)
        yield Sample("unsubscribes", self._taken - self.seats)

    def __len__(self) -> int:
        return len(self._channels)
