"""Interest: which peer wants which channel, and which peers know what is wanted here.

Each node tells each peer all channels it wants (a reset, then parts, the last one marked), and from the reset on its
changes; all are numbered without a gap. The peer acknowledges the list when it is whole, then each change. A peer that
misses something says nothing more until it gets a new list; it goes by both until the new one is whole.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final

from wsplatform.wire.cluster import Interest, InterestPart, InterestReset

PART_BYTES: Final = 262_144
"""About what one envelope with names of channels may hold."""

MAX_RETIRED: Final = 64
"""Lists of one peer that are forgotten and not cleared yet; a peer that goes on beginning anew is not listened to."""

_UNTOLD: Final = 2**63
_CACHE: Final = 4096


@dataclass(slots=True)
class _List:
    """What one peer has told. `bits`: of the whole list in force (0: none yet), and of the one that is coming in."""

    seq: int = 0
    parts: int = 0
    whole: int = 0
    coming: int = 0
    broken: bool = False


class InterestTable:
    """What the peers want. A look-up is one access to a dict, also after a peer with a million channels has gone.

    Every list of a peer has a bit of its own, and a channel the bits of the lists that it is in. So a list is forgotten
    at once, by its bit; `scrub` clears what is left of it, a slice at a time.
    """

    def __init__(self) -> None:
        self._channels: dict[str, int] = {}
        self._lists: dict[str, _List] = {}
        self._owners: dict[int, str] = {}
        self._cache: dict[int, tuple[str, ...]] = {}
        self._dirty = 0
        self._scrubbing = 0
        self._retired: dict[int, str] = {}  # bits of either -> the peer that they were of
        self._retired_of: Counter[str] = Counter()
        self._rest: Iterator[str] = iter(())

    def peers(self, channel: str) -> tuple[str, ...]:
        """The ids of the peers that want this channel."""
        bits = self._channels.get(channel)
        if bits is None:
            return ()
        found = self._cache.get(bits)
        return self._resolve(bits) if found is None else found

    def reset(self, peer_id: str, seq: int) -> None:
        """A new list of this peer begins."""
        told = self._lists.setdefault(peer_id, _List())
        self._retire(told.coming)
        told.broken = self._retired_of[peer_id] >= MAX_RETIRED
        told.coming = 0 if told.broken else self._new_bit(peer_id)
        told.seq = seq
        told.parts = 0

    def part(self, peer_id: str, part: InterestPart) -> int | None:
        """Returns the number to acknowledge when the list is whole."""
        told = self._lists.get(peer_id)
        if told is None or told.broken or not told.coming:
            return None
        if part.number != told.parts + 1:
            told.broken = True
            return None
        told.parts = part.number
        self._add(told.coming, part.channels)
        if not part.last:
            return None
        self._retire(told.whole)
        told.whole, told.coming = told.coming, 0
        return told.seq

    def change(self, peer_id: str, change: Interest) -> int | None:
        """Returns the number to acknowledge, if the peer's list is whole and nothing is missing before this change."""
        told = self._lists.get(peer_id)
        if told is None or told.broken:
            return None
        if change.seq != told.seq + 1:
            told.broken = True
            return None
        told.seq = change.seq
        self._add(told.coming or told.whole, change.add)
        self._remove(told.coming | told.whole, change.remove)
        return None if told.coming else told.seq

    def forget(self, peer_id: str) -> None:
        told = self._lists.pop(peer_id, None)
        if told is not None:
            self._retire(told.coming)
            self._retire(told.whole)

    def scrub(self, limit: int) -> bool:
        """Clear traces of forgotten lists from at most `limit` channels. True: there is more to do."""
        if not self._scrubbing:
            if not self._dirty:
                return False
            self._scrubbing, self._dirty = self._dirty, 0
            self._rest = iter(tuple(self._channels))
        seen = 0
        for channel in islice(self._rest, limit):
            seen += 1
            self._clear(channel, self._scrubbing)
        if seen < limit:
            self._release(self._scrubbing)
            self._scrubbing = 0
            self._rest = iter(())
        return self.dirty

    @property
    def dirty(self) -> bool:
        """There is something to scrub."""
        return bool(self._scrubbing or self._dirty)

    def __len__(self) -> int:
        return len(self._channels)

    def _add(self, bit: int, channels: tuple[str, ...]) -> None:
        table = self._channels
        for channel in channels:
            table[channel] = table.get(channel, 0) | bit

    def _remove(self, bits: int, channels: tuple[str, ...]) -> None:
        for channel in channels:
            self._clear(channel, bits)

    def _clear(self, channel: str, bits: int) -> None:
        old = self._channels.get(channel, 0)
        new = old & ~bits
        if new:
            self._channels[channel] = new
        elif old:
            del self._channels[channel]

    def _new_bit(self, peer_id: str) -> int:
        """The lowest that is neither in force nor still among the channels."""
        taken = self._dirty | self._scrubbing
        for bit in self._owners:
            taken |= bit
        bit = ~taken & (taken + 1)
        self._owners[bit] = peer_id
        self._cache.clear()
        return bit

    def _retire(self, bit: int) -> None:
        if bit:
            peer_id = self._retired[bit] = self._owners.pop(bit)
            self._retired_of[peer_id] += 1
            self._dirty |= bit
            self._cache.clear()

    def _release(self, bits: int) -> None:
        """These may be given to new lists."""
        for bit in [bit for bit in self._retired if bit & bits]:
            peer_id = self._retired.pop(bit)
            self._retired_of[peer_id] -= 1
            if not self._retired_of[peer_id]:
                del self._retired_of[peer_id]

    def _resolve(self, bits: int) -> tuple[str, ...]:
        peers = tuple(dict.fromkeys(peer for bit, peer in self._owners.items() if bit & bits))
        if len(self._cache) >= _CACHE:
            self._cache.clear()
        self._cache[bits] = peers
        return peers


class OwnInterest:
    """What is wanted here, and how much of that each connected peer has acknowledged."""

    def __init__(self) -> None:
        self.seq = 0
        self._wanted: dict[str, int] = {}  # channel -> number of the change that told it
        self._changed: dict[str, None] = {}
        self._acknowledged: dict[str, int] = {}
        self._floor = _UNTOLD

    def want(self, channel: str) -> bool:
        """True: every connected peer knows. Else it is told by a change to come, or not all have acknowledged yet."""
        seq = self._wanted.get(channel)
        if seq is None:
            seq = self._wanted[channel] = _UNTOLD
            self._changed[channel] = None
        return seq <= self._floor

    def unwant(self, channel: str) -> None:
        if self._wanted.pop(channel, None) is not None:
            self._changed[channel] = None

    def told_by(self, channel: str) -> int | None:
        """The number of the change that tells of a wanted channel; None while that is to come."""
        seq = self._wanted.get(channel, _UNTOLD)
        return None if seq == _UNTOLD else seq

    @property
    def changed(self) -> bool:
        """There are changes to tell."""
        return bool(self._changed)

    @property
    def floor(self) -> int:
        """All connected peers have acknowledged the changes up to this one; without a peer, more than there can be."""
        return self._floor

    def next_change(self, limit: int = PART_BYTES) -> Interest:
        """The next change to send to all that have been told a list, of about `limit` bytes at most."""
        self.seq += 1
        add: list[str] = []
        remove: list[str] = []
        size = 0
        for channel in self._changed:
            size += _size(channel)
            if size > limit and (add or remove):
                break
            if channel in self._wanted:
                self._wanted[channel] = self.seq
                add.append(channel)
            else:
                remove.append(channel)
        for channel in (*add, *remove):
            del self._changed[channel]
        return Interest(self.seq, tuple(add), tuple(remove))

    def tell_all(self, limit: int = PART_BYTES) -> Iterator[InterestReset | InterestPart]:
        """A list for one peer, in parts of about `limit` bytes.

        Changes made and sent between two parts are taken into account: the last word about a channel is the true one.
        """
        channels = tuple(self._wanted)
        yield InterestReset(self.seq)
        part: list[str] = []
        number, size = 1, 0
        for channel in channels:
            if size + _size(channel) > limit and part:
                yield InterestPart(number, tuple(part), last=False)
                part, number, size = [], number + 1, 0
            if channel in self._wanted:
                part.append(channel)
                size += _size(channel)
        yield InterestPart(number, tuple(part), last=True)

    def connected(self, peer_id: str) -> None:
        self._acknowledged[peer_id] = -1
        self._floor = -1

    def acknowledged(self, peer_id: str, seq: int) -> None:
        """A peer knows everything up to `seq`; a number that cannot be is ignored."""
        if peer_id in self._acknowledged and self._acknowledged[peer_id] < seq <= self.seq:
            self._acknowledged[peer_id] = seq
            self._floor = min(self._acknowledged.values())

    def knows_list(self, peer_id: str) -> bool:
        """A connected peer has acknowledged the list that it was told."""
        return self._acknowledged.get(peer_id, -1) >= 0

    def behind(self, peer_id: str) -> bool:
        """A connected peer has not acknowledged everything that there was to tell."""
        return self._acknowledged.get(peer_id, self.seq) < self.seq

    def disconnected(self, peer_id: str) -> None:
        self._acknowledged.pop(peer_id, None)
        self._floor = min(self._acknowledged.values(), default=_UNTOLD)

    def __len__(self) -> int:
        return len(self._wanted)


@dataclass(slots=True)
class _Waiter:
    deadline: float
    done: Callable[[], None] | None


@dataclass(slots=True)
class Waiters:
    """Who waits for a number to be acknowledged; each is returned once, in time or overdue."""

    _numbered: list[tuple[int, int, _Waiter]] = field(default_factory=list)
    _untold: dict[str, list[_Waiter]] = field(default_factory=dict)
    _by_age: deque[_Waiter] = field(default_factory=deque)
    _order: Iterator[int] = field(default_factory=count)

    def add(self, channel: str, seq: int | None, deadline: float, done: Callable[[], None]) -> None:
        """`seq`: the change waited for; None: the next one about this channel. Deadlines must not decrease."""
        waiter = _Waiter(deadline, done)
        self._by_age.append(waiter)
        if seq is None:
            self._untold.setdefault(channel, []).append(waiter)
        else:
            heapq.heappush(self._numbered, (seq, next(self._order), waiter))

    def told(self, change: Interest) -> None:
        if not self._untold:
            return
        for channels in (change.add, change.remove):
            for channel in channels:
                for waiter in self._untold.pop(channel, ()):
                    heapq.heappush(self._numbered, (change.seq, next(self._order), waiter))

    def reached(self, floor: int) -> list[Callable[[], None]]:
        """Those whose number is acknowledged by all now, oldest number first."""
        done: list[Callable[[], None]] = []
        while self._numbered and self._numbered[0][0] <= floor:
            self._finish(heapq.heappop(self._numbered)[2], done)
        while self._by_age and self._by_age[0].done is None:
            self._by_age.popleft()
        return done

    def overdue(self, now: float) -> list[Callable[[], None]]:
        done: list[Callable[[], None]] = []
        while self._by_age and (self._by_age[0].done is None or self._by_age[0].deadline <= now):
            self._finish(self._by_age.popleft(), done)
        return done

    @staticmethod
    def _finish(waiter: _Waiter, done: list[Callable[[], None]]) -> None:
        if waiter.done is not None:
            done.append(waiter.done)
            waiter.done = None


def _size(channel: str) -> int:
    return len(channel.encode()) + 5
