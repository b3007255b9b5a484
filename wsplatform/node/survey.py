"""Questions to all nodes, answered within a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final, Protocol

from loguru import logger

from wsplatform.errors import PlatformError
from wsplatform.node.relay import Questions
from wsplatform.wire.cluster import Request, Response, encode

UNKNOWN_METHOD: Final = "unknown_method"
INTERNAL: Final = "internal"
NOT_SENT: Final = "not_sent"
"""There is an answer, but it is too large."""

TOO_MANY: Final = "too_many"
MAX_WAITING: Final = 1000
"""Questions of one peer that wait for their turn; what it asks beyond that is answered with TOO_MANY."""

Handler = Callable[[bytes], bytes]
LateHandler = Callable[[bytes, Callable[[bytes], None]], None]


@dataclass(frozen=True, slots=True)
class Answers:
    """By node id: what came, and the codes of errors. missing: peers of the view that gave neither in time."""

    replies: dict[str, bytes]
    errors: dict[str, str]
    missing: tuple[str, ...]


class Carrier(Protocol):
    """What a survey needs of node/relay.py."""

    @property
    def peers(self) -> tuple[str, ...]: ...
    def reaches(self, peer_id: str) -> bool: ...
    def send(self, peer_id: str, envelope: bytes) -> bool: ...
    def serve(self, questions: Questions) -> None: ...


@dataclass(slots=True)
class _Open:
    """A question under way."""

    pending: set[str]
    done: asyncio.Future[None]
    replies: dict[str, bytes] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def settle(self, peer_id: str) -> None:
        self.pending.discard(peer_id)
        if not self.pending and not self.done.done():
            self.done.set_result(None)


class Survey:
    """Asks the peers, this node not among them, and answers for this node."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._handlers: dict[str, Handler] = {}
        self._late_handlers: dict[str, LateHandler] = {}
        self._open: dict[int, _Open] = {}
        self._waiting: dict[str, deque[Request]] = {}
        self._ids = count(1)
        carrier.serve(self)

    def serve(self, method: str, handler: Handler) -> None:
        """`handler(params) -> payload`, synchronous. A PlatformError that it raises is answered with its code."""
        self._handlers[method] = handler

    def serve_late(self, method: str, handler: LateHandler) -> None:
        """`handler(params, reply)`, which calls `reply(payload)` once, at once or later. It must not raise."""
        self._late_handlers[method] = handler

    async def ask(self, method: str, params: bytes, timeout: float, only: str = "") -> Answers:
        """The answers of all peers of the view; waits `timeout` seconds at most, and only for those that are up.

        only: the id of the one peer to ask; where there is no such peer, there is no answer and none is missing.
        """
        asked = tuple(peer for peer in self._carrier.peers if only in ("", peer))
        number = next(self._ids)
        question = _Open(set(), asyncio.get_running_loop().create_future())
        self._open[number] = question
        try:
            envelope = encode(Request(number, method, params))
            question.pending.update(
                peer_id for peer_id in asked if self._carrier.reaches(peer_id) and self._carrier.send(peer_id, envelope)
            )
            if question.pending:
                await asyncio.wait((question.done,), timeout=timeout)
        finally:
            del self._open[number]
        missing = tuple(peer for peer in asked if peer not in question.replies and peer not in question.errors)
        return Answers(question.replies, question.errors, missing)

    # node/relay.py: Questions

    def asked(self, peer_id: str, request: Request) -> None:
        """Answered in a later turn, one of each peer in each: an answer may be large, and take its time."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        waiting = self._waiting.setdefault(peer_id, deque())
        if len(waiting) < MAX_WAITING:
            waiting.append(request)
        else:
            self._send(peer_id, Response(request.id, TOO_MANY, b""))

    def answered(self, peer_id: str, response: Response) -> None:
        question = self._open.get(response.id)
        if question is None or peer_id not in question.pending:
            return
        if response.error is None:
            question.replies[peer_id] = response.payload
        else:
            question.errors[peer_id] = response.error
        question.settle(peer_id)

    def gone(self, peer_id: str) -> None:
        if peer_id in self._waiting:
            self._waiting[peer_id].clear()
        for question in self._open.values():
            if peer_id in question.pending:
                question.settle(peer_id)

    def _turn(self) -> None:
        try:
            for peer_id, waiting in tuple(self._waiting.items()):
                if waiting:
                    self._serve(peer_id, waiting.popleft())
                if not waiting:
                    del self._waiting[peer_id]
        finally:
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._turn)

    def _serve(self, peer_id: str, request: Request) -> None:
        late = self._late_handlers.get(request.method)
        if late is not None:
            late(request.params, partial(self._reply, peer_id, request.id))
        else:
            self._send(peer_id, self._answer(request))

    def _reply(self, peer_id: str, number: int, payload: bytes) -> None:
        self._send(peer_id, Response(number, None, payload))

    def _send(self, peer_id: str, response: Response) -> None:
        if not self._carrier.send(peer_id, encode(response)):
            self._carrier.send(peer_id, encode(Response(response.id, NOT_SENT, b"")))

    def _answer(self, request: Request) -> Response:
        handler = self._handlers.get(request.method)
        if handler is None:
            return Response(request.id, UNKNOWN_METHOD, b"")
        try:
            return Response(request.id, None, handler(request.params))
        except PlatformError as error:
            return Response(request.id, error.code, b"")
        except Exception as error:  # noqa: BLE001 - logged, and answered
            logger.opt(exception=error).error("the answer to {!r} failed", request.method)
            return Response(request.id, INTERNAL, b"")
