"""`POST /cluster/{session,register,heartbeat,leave}`: what nodes ask the registry over HTTP, sealed (core/control.py).

A refusal that comes before the seal is JSON, `{"error": {"code", "message"}}`: 401 unknown_session, 403 or 400 for who
could not prove to be a node, 413 for a body that no node sends.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec
from loguru import logger
from sanic import Blueprint, HTTPResponse, Request
from sanic.response import raw

from wsplatform.core.control import MAX_CALL_BYTES, ControlSessions, Outcome, Received, SessionLimits
from wsplatform.core.handshake import MAX_MESSAGE_BYTES, NONCE_BYTES, Identity
from wsplatform.core.throttle import Throttle
from wsplatform.core.tries import source
from wsplatform.errors import HandshakeError, PlatformError, RequestError
from wsplatform.model import Heartbeat, Instance, Known, Member
from wsplatform.node.registry_client import CONTENT_TYPE, RegistryService
from wsplatform.web.body import read_body

LOG_SECONDS = 60.0
"""A stranger's refusals are logged once in this time, for each address and reason."""

T = TypeVar("T")


def cluster_blueprint(service: RegistryService, identity: Identity, limits: SessionLimits | None = None) -> Blueprint:
    """The registry's part of the node face. `identity`: the registry's own, with role `registry`."""
    face = _ControlFace(service, identity, limits or SessionLimits())
    blueprint = Blueprint("cluster", url_prefix="/cluster")
    for call in (face.session, face.register, face.heartbeat, face.leave):
        name = call.__name__
        # Sanic marks a streaming handler by an attribute, which a bound method cannot have: partial() can.
        blueprint.add_route(partial(call), f"/{name}", methods=["POST"], name=name, stream=True)
    return blueprint


class _ControlFace:
    def __init__(self, service: RegistryService, identity: Identity, limits: SessionLimits) -> None:
        self._service = service
        self._sessions = ControlSessions(identity, limits)
        self._throttle = Throttle(LOG_SECONDS)

    async def session(self, request: Request) -> HTTPResponse:
        hello = await read_body(request, MAX_MESSAGE_BYTES)
        try:
            opening = self._sessions.open(
                hello, secrets.token_hex(16), secrets.token_bytes(NONCE_BYTES), request.ip, _now()
            )
        except HandshakeError as error:
            raise self._refuse(request, error) from error
        return raw(opening, content_type=CONTENT_TYPE)

    async def register(self, request: Request) -> HTTPResponse:
        async def call(received: Received) -> object:
            member, known = _decode(received.payload, tuple[Member, Known])
            _check_own(received, member.instance)
            return await self._service.register(member, known)

        return await self._answer(request, "register", call)

    async def heartbeat(self, request: Request) -> HTTPResponse:
        async def call(received: Received) -> object:
            beat = _decode(received.payload, Heartbeat)
            _check_own(received, beat.instance)
            return await self._service.heartbeat(beat)

        return await self._answer(request, "heartbeat", call)

    async def leave(self, request: Request) -> HTTPResponse:
        async def call(received: Received) -> object:
            instance = _decode(received.payload, Instance)
            _check_own(received, instance)
            await self._service.leave(instance)
            return None

        return await self._answer(request, "leave", call)

    async def _answer(
        self, request: Request, method: str, call: Callable[[Received], Awaitable[object]]
    ) -> HTTPResponse:
        """What the call returns or raises, sealed; raises RequestError for who is not known to be a node."""
        body = await read_body(request, MAX_CALL_BYTES)
        try:
            received = self._sessions.receive(method, body, _now())
        except HandshakeError as error:
            raise self._refuse(request, error) from error
        try:
            outcome = Outcome(result=msgspec.msgpack.encode(await call(received)))
        except PlatformError as error:
            outcome = _failure(error)
        return raw(received.seal(outcome), content_type=CONTENT_TYPE)

    def _refuse(self, request: Request, error: HandshakeError) -> RequestError:
        held_back = self._throttle.allow(f"{source(request.ip)} {error.code}", _now())
        if held_back is not None:
            logger.warning("A node at {} was refused: {} ({} more since the last line)", request.ip, error, held_back)
        return RequestError(400 if error.code == "malformed" else 403, error.code, error.message)


def _decode(payload: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: a string that is not UTF-8
        raise RequestError(
            400, "bad_request", "This call cannot be read: run the same release on all hosts."
        ) from error


def _check_own(received: Received, instance: Instance) -> None:
    if received.peer.instance != instance:
        raise RequestError(403, "wrong_instance", f"A node speaks for itself only, not for {instance.node_id}.")


def _failure(error: PlatformError) -> Outcome:
    status = error.status if isinstance(error, RequestError) else 503
    return Outcome(status=status, code=error.code, message=error.message, temporary=error.temporary)


def _now() -> float:
    return asyncio.get_running_loop().time()
