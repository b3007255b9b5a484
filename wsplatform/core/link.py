"""The link between two instances: nothing lost, nothing doubled, in order, over any carriers one after another.

    up on both sides     Hello →  ← Hello      each says which numbers it has
                         Data  →               from the next number on, of what is kept
                               ← Ack           now and then; what is acknowledged is kept no longer
                               ← Ack(again)    a number was left out: the sender goes back
                         Skip  →               what would have to come again is not kept any more

A link has a `life`: it is made, and one day forgotten. Lives, and epochs of numbering, are drawn from one growing count
of the process; the link is keyed by instances, so that a lower one is always an older one. An epoch belongs to one life
of the other side: when that has forgotten, what it was sent may or may not have arrived. It is given up, and a
new epoch begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from wsplatform.core.lane import Cause, Incoming, Outgoing
from wsplatform.wire.cluster import EnvelopeError, split
from wsplatform.wire.link import (
    FRAME_OVERHEAD,
    LANES,
    MAX_NUMBER,
    Ack,
    Bye,
    Data,
    Frame,
    Hello,
    Lane,
    Ping,
    Skip,
    decode,
    encode,
    size,
)

FRAME_BYTES: Final = 262_144
"""Envelopes that leave together make frames of at most this size; a larger envelope makes one of its own."""

WINDOW_BYTES: Final = 4_194_304
"""What may be unacknowledged in a lane: with more, control would wait for too long in the carrier's own queue."""

ACK_BYTES: Final = 65_536
ACK_FRAMES: Final = 64
HELLO_SECONDS: Final = 0.5
ASK_SECONDS: Final = 0.5

_SMOOTHING: Final = 0.125
_MICRO: Final = 1e6


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """frame: the largest that a carrier takes. outbox: what may wait in it. replay_…: what is kept for how long.

    Bytes and seconds.
    """

    frame: int
    outbox: int
    replay_bytes: int
    replay_seconds: float
    ping_seconds: float

    @property
    def envelope(self) -> int:
        return self.frame - FRAME_OVERHEAD

    @property
    def window(self) -> int:
        return min(WINDOW_BYTES, self.outbox)


class Owner(Protocol):
    """What a link is used by, and uses."""

    def carry(self, frame: bytes) -> bool:
        """Hand a frame to the carrier. False: not accepted."""
        ...

    def connected(self) -> None:
        """Both sides know what the other one has: what is sent from now on arrives soon."""

    def received(self, lane: Lane, envelopes: list[bytes]) -> None: ...
    def gap(self, lane: Lane, count: int) -> None:
        """So many envelopes of the other side will never come."""

    def lost(self, lane: Lane, cause: Cause, count: int) -> None:
        """So many envelopes will never reach the other side."""

    def left(self) -> None:
        """The other side has said goodbye: it wants nothing more, and what waits for it is no loss."""


class Link:
    """One end. `fresh()`: the next of the process's growing numbers, 1 or more. `now`: seconds, never going back.

    ready: connected, see Owner. ended: a Bye has come. rtt: seconds, 0 before the first measurement. sent, received,
    replayed, duplicates: envelopes. dropped, by cause, and gaps: publications that the other side, or this one, will
    never have.
    """

    def __init__(self, owner: Owner, limits: LinkLimits, fresh: Callable[[], int]) -> None:
        self.ready = self.ended = False
        self.rtt = 0.0
        self.sent = self.received = self.duplicates = self.gaps = 0
        self.dropped: Counter[str] = Counter()
        self._owner = owner
        self._limits = limits
        self._largest = limits.envelope
        self._window = limits.window
        self._frame_bytes = min(FRAME_BYTES, limits.frame)
        self._fresh = fresh
        self._life = self._epoch = fresh()
        self._peer_life = self._peer_epoch = 0
        self._up = self._leaving = False
        self._out = tuple(Outgoing(lane, self._lost) for lane in LANES)
        self._in = tuple(Incoming() for _ in LANES)
        self._pending: tuple[list[bytes], list[bytes]] = ([], [])
        self._sending = tuple(zip(LANES, self._pending, self._out, strict=True))
        self._owed_frames = self._owed_bytes = 0
        self._hello_at = self._ping_at = 0.0

    # What is to be sent

    def send(self, lane: Lane, envelope: bytes) -> bool:
        """Keep for the next flush. False: too large, or the link has ended."""
        if len(envelope) > self._largest:
            if not self.ended:
                self._lost(lane, "too_large", 1)
            return False
        self._pending[lane].append(envelope)
        return True

    def flush(self, now: float) -> None:
        """Send what was given since the last flush: once in a turn of the loop."""
        self._pending_to_frames(now)
        if self.ready:
            self._pump()
        if self._out[0].held + self._out[1].held > self._limits.replay_bytes:
            self._evict_excess()

    # The carrier

    def up(self, now: float) -> None:
        if self.ended:
            return
        self._up = True
        self._say_hello(now)

    def down(self) -> None:
        self._up = self.ready = False

    def take(self, encoded: bytes, now: float) -> None:
        """A frame has come. Raises EnvelopeError."""
        frame = decode(encoded)
        if self.ended:
            return
        if type(frame) is Data:
            self._take_data(frame, len(encoded), now)
        else:
            self._take_other(frame, now)

    def tick(self, now: float) -> None:
        """To be called some times a second."""
        self._evict_expired(now)
        if not self._up:
            return
        if not self.ready:
            if now >= self._hello_at:
                self._say_hello(now)
            return
        patience = max(ASK_SECONDS, 2 * self.rtt)
        again = self._lanes(lambda lane: lane.asked is not None and now - lane.asked >= patience)
        if again or self._owed_frames:
            self._acknowledge(now, again=again)
        if now >= self._ping_at:
            self.ping(now)
        self._pump()

    def ping(self, now: float) -> None:
        """Ask for an acknowledgement at once."""
        self._ping_at = now + self._limits.ping_seconds
        sent = (self._out[0].handed, self._out[1].handed)
        self._owner.carry(encode(Ping(self._epoch, int(now * _MICRO), sent)))

    # The end

    def give_up(self, cause: Cause) -> None:
        """Keep nothing of what waits. It is counted now, or when the other side comes back and says what it has."""
        self._pending_to_frames(0.0)
        for lane in self._out:
            while not lane.empty:
                lane.evict(cause)

    def discard(self, cause: Cause) -> None:
        """The other side does not come back. What may not have reached it is counted."""
        self._pending_to_frames(0.0)
        for lane in self._out:
            lane.discard(cause)

    def say_bye(self) -> None:
        """The last word. `ended` when it is answered, or at once without a carrier."""
        if not self.ready or not self._owner.carry(encode(Bye(self._life))):
            self.end()
        self._leaving = True

    def end(self) -> None:
        """Without a word. What may not have reached the other side is counted."""
        self.discard("stopped")
        self._end()

    # Status

    @property
    def resuming(self) -> bool:
        """There is a carrier; the two sides do not know yet what the other one has."""
        return self._up and not self.ready

    @property
    def idle(self) -> bool:
        """Nothing waits to be sent or acknowledged."""
        return not any(self._pending) and all(lane.empty for lane in self._out)

    @property
    def queued(self) -> int:
        """Bytes that wait for the carrier."""
        return sum(sum(map(len, pending)) for pending in self._pending) + sum(lane.queued for lane in self._out)

    @property
    def unacknowledged(self) -> int:
        """Bytes that were given to the carrier and may not have arrived."""
        return sum(lane.in_flight for lane in self._out)

    @property
    def replayed(self) -> int:
        return sum(lane.replayed for lane in self._out)

    def _end(self) -> None:
        self.ended = True
        self.down()
        for lane in self._out:
            lane.restart()
        self._largest = -1
        for pending in self._pending:
            pending.clear()

    # Sending

    def _pending_to_frames(self, now: float) -> None:
        for lane, pending, out in self._sending:
            if pending:
                if size(pending, sum(map(len, pending))) <= self._frame_bytes:
                    out.put(encode(Data(self._epoch, lane, out.next, pending)), len(pending), now)
                else:
                    for run in split(pending, self._frame_bytes - FRAME_OVERHEAD):
                        out.put(encode(Data(self._epoch, lane, out.next, run)), len(run), now)
                self.sent += len(pending)
                pending.clear()

    def _pump(self) -> None:
        for out in self._out:
            if out.cursor < out.next:
                out.pump(self._owner.carry, self._epoch, self._window)

    def _evict_excess(self) -> None:
        control, publications = self._out
        while control.held + publications.held > self._limits.replay_bytes:
            (control if publications.empty else publications).evict("overflow")

    def _evict_expired(self, now: float) -> None:
        horizon = now - self._limits.replay_seconds
        for lane in self._out:
            while (oldest := lane.oldest) is not None and oldest <= horizon:
                lane.evict("expired")

    def _lost(self, lane: Lane, cause: Cause, count: int) -> None:
        if lane is Lane.PUBLICATIONS:
            self.dropped[cause] += count
        self._owner.lost(lane, cause, count)

    # Receiving

    def _take_data(self, data: Data, length: int, now: float) -> None:
        if data.epoch != self._peer_epoch:
            return
        incoming = self._in[data.lane]
        envelopes = data.envelopes
        if length > FRAME_BYTES and len(envelopes) > 1:
            raise EnvelopeError  # a turn of the loop is not to take long because of one frame
        known = incoming.received + 1 - data.first
        if known < 0:
            self._ask(data.lane, now)
            return
        if known:
            self.duplicates += min(known, len(envelopes))
            envelopes = envelopes[known:]
        count = len(envelopes)
        self._owed_frames += 1
        self._owed_bytes += length
        if count:
            incoming.received += count
            incoming.asked = None
            self.received += count
            self._owner.received(data.lane, envelopes)
        if self._owed_bytes >= ACK_BYTES or self._owed_frames >= ACK_FRAMES:
            self._acknowledge(now)

    def _take_other(self, frame: Frame, now: float) -> None:
        match frame:
            case Ack():
                self._take_ack(frame, now)
            case Skip():
                self._take_skip(frame, now)
            case Ping():
                self._take_ping(frame, now)
            case Hello():
                self._take_hello(frame, now)
            case Bye():
                self._take_bye(frame)

    def _take_bye(self, bye: Bye) -> None:
        if bye.life != self._peer_life:
            return
        if not self._leaving:
            self._owner.carry(encode(Bye(self._life)))
        self._end()
        if not self._leaving:
            self._owner.left()

    def _take_ack(self, ack: Ack, now: float) -> None:
        if ack.epoch != self._epoch:
            return
        self._acknowledged(ack.received, ack.missing)
        if ack.echo:
            self._measure(now - ack.echo / _MICRO)
        for lane in LANES:
            if ack.again >> lane & 1 and self.ready:
                self._out[lane].rewind()
        if self.ready:
            self._pump()

    def _take_skip(self, skip: Skip, now: float) -> None:
        if skip.epoch != self._peer_epoch:
            return
        count = self._in[skip.lane].skip(skip.upto)
        if skip.lane is Lane.PUBLICATIONS:
            self.gaps = min(self.gaps + count, MAX_NUMBER)
        self._acknowledge(now)
        if count:
            self._owner.gap(skip.lane, count)

    def _take_ping(self, ping: Ping, now: float) -> None:
        if ping.epoch != self._peer_epoch:
            return
        for lane in LANES:
            if ping.sent[lane] > self._in[lane].received:
                self._ask(lane, now)
        self._acknowledge(now, echo=ping.echo)

    def _ask(self, lane: Lane, now: float) -> None:
        """Have the other side go back, once for each gap; `tick` does it again."""
        if self._in[lane].asked is None:
            self._acknowledge(now, again=1 << lane)

    def _acknowledge(self, now: float, again: int = 0, echo: int = 0) -> None:
        ack = Ack(self._peer_epoch, self._received(), self._missing(), again, echo)
        if not self._up or not self._owner.carry(encode(ack)):
            return
        self._owed_frames = self._owed_bytes = 0
        for lane in LANES:
            if again >> lane & 1:
                self._in[lane].asked = now

    def _acknowledged(self, received: tuple[int, int], missing: tuple[int, int]) -> None:
        for lane in LANES:
            self._out[lane].acknowledge(received[lane], missing[lane])

    def _measure(self, sample: float) -> None:
        if 0 <= sample <= self._limits.replay_seconds:
            self.rtt = self.rtt + _SMOOTHING * (sample - self.rtt) if self.rtt else sample

    def _received(self) -> tuple[int, int]:
        return self._in[0].received, self._in[1].received

    def _missing(self) -> tuple[int, int]:
        return self._in[0].missing, self._in[1].missing

    def _lanes(self, which: Callable[[Incoming], bool]) -> int:
        return sum(1 << lane for lane in LANES if which(self._in[lane]))

    # Hello

    def _say_hello(self, now: float) -> None:
        self._hello_at = now + HELLO_SECONDS
        hello = Hello(
            life=self._life,
            epoch=self._epoch,
            to=self._peer_life,
            knows=self._peer_epoch,
            received=self._received(),
            missing=self._missing(),
            ready=self.ready,
            frame=self._limits.frame,
        )
        self._owner.carry(encode(hello))

    def _take_hello(self, hello: Hello, now: float) -> None:
        if hello.life < self._peer_life or not self._up:
            return
        if hello.life > self._peer_life:
            self._meet(hello.life)
        # Nothing larger is kept: what the other side wants was not known before its first hello.
        self._largest = min(self._limits.envelope, hello.frame - FRAME_OVERHEAD)
        self._frame_bytes = min(FRAME_BYTES, self._limits.frame, hello.frame)
        # An epoch begun for an earlier life of this side holds what that one has had. To none: nothing was sent in it.
        if hello.to in (0, self._life) and hello.epoch > self._peer_epoch:
            self._peer_epoch = hello.epoch
            for lane in self._in:
                lane.restart()
        resumed = False
        if hello.knows == self._epoch:
            self._acknowledged(hello.received, hello.missing)
            resumed, self.ready = not self.ready, True
        if not hello.ready:
            self._say_hello(now)
        if resumed:
            for out in self._out:
                out.rewind()
            self._owner.connected()
            self._pump()

    def _meet(self, life: int) -> None:
        if self._peer_life:
            self._part()
            if any(lane.begun for lane in self._out):
                self._epoch = self._fresh()
                for lane in self._out:
                    lane.discard("forgotten")
            else:
                for lane in self._out:
                    lane.begin_again()
        self._peer_life = life

    def _part(self) -> None:
        self.ready = False
        self._peer_epoch = 0
        for lane in self._in:
            lane.restart()
