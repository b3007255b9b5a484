"""The side of an exchange that is called (transports/http_exchange.py)."""

from __future__ import annotations

import asyncio
from typing import Final

from wsplatform.core.handshake import SEAL_BYTES, Responder
from wsplatform.errors import HandshakeError, RequestError
from wsplatform.transports.base import Call, CallHandler, Reply
from wsplatform.transports.http_exchange import (
    HANDSHAKE_SECONDS,
    LOST,
    MALFORMED,
    TOO_SLOW,
    UNKNOWN_INSTANCE,
    WAITING_SECONDS,
    Exchange,
    Owner,
    Terms,
)
from wsplatform.wire.cluster import EnvelopeError
from wsplatform.wire.exchange import OVERHEAD, Said

_LONGEST_HOLD: Final = 20.0
_MAX_CALLS: Final = 4
"""Calls of one exchange at a time: an honest dialler has one push and one pull."""


class AcceptedExchange(Exchange):
    """`drained`: set when it has left, and nothing is left to say."""

    def __init__(self, owner: Owner, terms: Terms, remote: str, responder: Responder) -> None:
        super().__init__(owner, terms, remote)
        self.drained = asyncio.Event()
        self._responder = responder
        self._until = _now() + HANDSHAKE_SECONDS  # the end of what may come before the welcome
        self.deadline = self._until
        self._welcome = False
        self._welcome_told = False
        self._calls = 0
        self._pulling = False

    @property
    def waits(self) -> bool:
        """It has proved who it is, and was not let in yet."""
        return self.peer is not None and not self._welcome and not self.ended

    def prove(self, proof: bytes) -> None:
        """Raises HandshakeError."""
        self._responder.accept(proof)
        self._prove(self._responder.peer, self._responder.keys)
        self._until = _now() + WAITING_SECONDS

    def proved(self) -> Reply:
        """The answer to the proof."""
        return self._reply(b"proved", self._state())

    def welcome(self) -> None:
        """The peer's instance is in the view: it is up when it has shown that it knows."""
        self._welcome = True
        self._wake.set()

    def expired(self, now: float) -> None:
        if not self._welcome and now >= self._until:
            self.end(TOO_SLOW if self.peer is None else UNKNOWN_INSTANCE)
        elif self.peer is not None:
            super().expired(now)

    async def push(self, call: Call) -> Reply:
        return await self._guarded(call, self._push)

    async def pull(self, call: Call) -> Reply:
        return await self._guarded(call, self._pull)

    # Inside

    async def _push(self, call: Call) -> Reply:
        said = self._open(b"push", await call.read(self._terms.body))
        if said is not None:
            self._known()
            if self.up:
                self._deliver(said)
            else:
                self.end(MALFORMED)
        return self._reply(b"pushed", Said("end", reason=self.reason) if self.ended else Said("carry"))

    async def _pull(self, call: Call) -> Reply:
        said = self._open(b"pull", await call.read(SEAL_BYTES + OVERHEAD))
        if said is None or self._pulling:
            self.end(MALFORMED)
        else:
            self._arrived()
            self._known()
            self._pulling = True
            try:
                await self._hold()
            finally:
                self._pulling = False
        return self._reply(b"pulled", self._state())

    def _known(self) -> None:
        """A call of the peer has come, after it was told that it is welcome."""
        if self._welcome_told and not self.up and not self.ended:
            self._go_up()

    async def _hold(self) -> None:
        """Until there is something to say, for a heartbeat at most."""
        if self.ended or self._waiting or (self._welcome and not self._welcome_told):
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(min(self._terms.heartbeat, _LONGEST_HOLD)):
                await self._wake.wait()
        except TimeoutError:
            return
        except asyncio.CancelledError:
            self.end(LOST)
            self.drained.set()
            raise

    def _state(self) -> Said:
        """What there is to say."""
        if self.ended and not self.leaving:
            return Said("end", reason=self.reason)
        if not self._welcome:
            return Said("wait")
        self._welcome_told = True
        said = self._take()
        if said.word == "bye":
            self.drained.set()
        return said

    def _open(self, row: bytes, body: bytes) -> Said | None:
        """None: a message of the peer that is none. Raises RequestError for what is not the peer's."""
        assert self._seals is not None
        try:
            said = self._seals.open(row, body)
        except EnvelopeError:
            self.end(MALFORMED)
            return None
        except HandshakeError as error:
            if error.code == "out_of_order":  # the peer's own seal: something before it was lost
                self.end(LOST)
            raise RequestError(403, error.code, error.message) from error
        self._heard()
        return said

    def _reply(self, row: bytes, said: Said) -> Reply:
        assert self._seals is not None
        return Reply(self._seals.seal(row, said))

    async def _guarded(self, call: Call, answer: CallHandler) -> Reply:
        if self._calls >= _MAX_CALLS:
            raise RequestError(429, "too_many_requests", "Wait for the answer to the last request of this exchange.")
        self._calls += 1
        try:
            return await answer(call)
        finally:
            self._calls -= 1

    def _stop(self, reason: str, why: str) -> None:
        super()._stop(reason, why)
        if not self.leaving:
            self.drained.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
