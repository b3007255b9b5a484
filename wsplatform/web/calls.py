"""The POST endpoints of transports (transports/base.py, Answering) on the node face."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import raw

from wsplatform.transports.base import Call, CallHandler
from wsplatform.web.body import read_body


def calls_blueprint(calls: Mapping[str, CallHandler]) -> Blueprint:
    """`calls`: by path."""
    blueprint = Blueprint("calls")
    for number, (path, handler) in enumerate(calls.items()):
        # Sanic marks a streaming handler by an attribute, which a bound method cannot have: partial() can.
        answer = partial(_answer, handler)
        blueprint.add_route(answer, path, methods=["POST"], name=f"call-{number}", stream=True)
    return blueprint


async def _answer(handler: CallHandler, request: Request) -> HTTPResponse:
    call = Call(request.path, request.query_string, request.ip, partial(read_body, request))
    reply = await handler(call)
    return raw(reply.body, status=reply.status)
