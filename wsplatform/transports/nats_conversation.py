"""What two instances say to each other by way of NATS, once they have proved who they are.

Every message is sealed (core/handshake.py) and holds a piece of a parcel (wire/parcels.py); a parcel is a batch of
envelopes. A missing counter is a loss, which the carrier may have; one that comes again or late is refused.

A NATS server reads faster than a node may, and cuts the connection of one that stays behind. So at most WINDOW_BYTES
are under way to a peer: what it has heard comes back with everything that it says, and once in a quarter of that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from wsplatform.core.handshake import SEAL_BYTES, Opener, Sealer, SessionKeys
from wsplatform.core.silence import Silence
from wsplatform.transports.base import Peer
from wsplatform.transports.nats_opening import Subjects
from wsplatform.wire.cluster import ENVELOPE_OVERHEAD, decode_batch, encode_batch
from wsplatform.wire.parcels import PIECE_OVERHEAD, Assembler, Beat, Bye, Piece, cut, decode, encode

WINDOW_BYTES: Final = 1_048_576
PARCEL_BYTES: Final = 131_072
"""Envelopes that leave together make parcels of about this size; a larger envelope makes one of its own."""

_CONTEXT: Final = b"nats"


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all conversations of a transport. Sizes in bytes, times in seconds."""

    outbox: int
    envelope: int
    heartbeat: float
    dead: float


class Conversation:
    """With `peer`: it hears on `inbox`, and speaks to `subject`. echo: what ended the handshake, and may come again.

    `up` and `ended` are the owner's to set. Whatever makes `due` true is the time to take messages by `next`.
    """

    def __init__(self, peer: Peer, terms: Terms, keys: SessionKeys, subjects: Subjects, echo: bytes) -> None:
        self.peer = peer
        self.inbox = subjects.inbox
        self.subject = subjects.outbox
        self.echo = echo
        self.up = self.ended = False
        self.left = ""
        self._terms = terms
        self._sealer = Sealer(keys.send)
        self._opener = Opener(keys.receive)
        self._assembler = Assembler(terms.envelope + PARCEL_BYTES)
        self._piece_bytes = PARCEL_BYTES
        self._envelopes: deque[bytes] = deque()
        self._waiting = 0
        self._pieces: deque[tuple[int, bool, bytes]] = deque()  # of one parcel
        self._taken = 0  # bytes of the envelopes in that
        self._parcel = 0
        self._under_way: deque[tuple[int, int]] = deque()  # counter, bytes
        self._under_way_bytes = 0
        self._untold = 0  # bytes heard that the peer does not know of
        self._beat = False
        self._bye = ""
        self._silence: Silence | None = None
        self._look_at = 0.0

    def begin(self, now: float, payload: int) -> None:
        """It is up. A sign of life follows, which tells the peer so. payload: the largest message of the server."""
        self.up = True
        self._piece_bytes = min(PARCEL_BYTES, payload - SEAL_BYTES - PIECE_OVERHEAD)
        self._silence = Silence(self._terms.heartbeat, self._terms.dead, now)
        self._look_at = now + 0.75 * self._terms.heartbeat
        self._beat = True

    # Out

    def send(self, envelope: bytes) -> bool:
        """False: not up, too large, or too much is waiting."""
        size = len(envelope)
        if not self.up or size > self._terms.envelope or self._waiting + size > self._terms.outbox:
            return False
        self._envelopes.append(envelope)
        self._waiting += size
        return True

    def leave(self, code: str) -> None:
        """Say bye when all is sent; nothing can be sent any more."""
        self.up = False
        self._bye = code

    def bye(self, code: str) -> bytes:
        """The last message, ahead of all that waits."""
        self.up = False
        self.ended = True
        return self._seal(encode(Bye(code)))

    def next(self) -> bytes | None:
        """The message to publish now; None: there is none, or the peer has to hear the earlier ones first."""
        if self.ended:
            return None
        if not self._pieces and self._envelopes:
            self._pieces.extend(cut(self._take(), self._piece_bytes))
            self._parcel += 1
        if self._pieces and self._has_room(len(self._pieces[0][2])):
            return self._next_piece()
        if self._beat or self._untold >= WINDOW_BYTES // 4:
            self._beat = False
            return self._seal(encode(Beat(self._heard())))
        if self._bye and not self._pieces:
            return self.bye(self._bye)
        return None

    # In

    def open(self, message: bytes) -> list[bytes]:
        """The envelopes that this message completes. `left` is set when it was the peer's last.

        Raises HandshakeError when it is not the peer's, or comes again; ParcelError and EnvelopeError when it is, and
        no message of this protocol.
        """
        said = decode(self._opener.open(message, _CONTEXT))
        if self._silence is not None:
            self._silence.heard()
        if isinstance(said, Bye):
            self.left = said.code or "left"
            return []
        self._hear(said.heard)
        if isinstance(said, Beat):
            return []
        self._untold += len(said.content)
        parcel = self._assembler.add(said)
        return [] if parcel is None else decode_batch(parcel)

    @property
    def due(self) -> bool:
        """Whether the peer has to be told how far it was heard, or there is room again."""
        waiting = bool(self._pieces or self._envelopes or self._bye)
        return self._untold >= WINDOW_BYTES // 4 or self._beat or waiting

    def look(self, now: float) -> bool:
        """To be called often. False: the peer has been silent for too long."""
        if self._silence is None or now < self._look_at:
            return True
        # Below the interval, so that a sweep which comes once in each interval finds it passed every time.
        self._look_at = now + 0.75 * self._terms.heartbeat
        self._beat = True
        return not self._silence.look(now)

    # Inside

    def _take(self) -> bytes:
        """A parcel of what was sent first."""
        run = [self._envelopes.popleft()]
        size = len(run[0]) + 2 * ENVELOPE_OVERHEAD
        while self._envelopes and size + len(self._envelopes[0]) + ENVELOPE_OVERHEAD <= self._piece_bytes:
            size += len(self._envelopes[0]) + ENVELOPE_OVERHEAD
            run.append(self._envelopes.popleft())
        self._taken = sum(map(len, run))
        return encode_batch(run)

    def _has_room(self, size: int) -> bool:
        return not self._under_way or self._under_way_bytes + size <= WINDOW_BYTES

    def _next_piece(self) -> bytes:
        index, last, content = self._pieces.popleft()
        if last:
            self._waiting -= self._taken
        sealed = self._seal(encode(Piece(self._heard(), self._parcel, index, last, content)))
        self._under_way.append((self._sealer.counter, len(content)))
        self._under_way_bytes += len(content)
        return sealed

    def _hear(self, counter: int) -> None:
        while self._under_way and self._under_way[0][0] <= counter:
            self._under_way_bytes -= self._under_way.popleft()[1]

    def _heard(self) -> int:
        self._untold = 0
        return self._opener.counter

    def _seal(self, message: bytes) -> bytes:
        return self._sealer.seal(message, _CONTEXT)
