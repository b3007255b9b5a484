"""`POST /api/<method>`: the backends' face."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from functools import partial

from loguru import logger
from sanic import Blueprint, HTTPResponse, Request
from sanic.exceptions import PayloadTooLarge, SanicException
from sanic.http import Http

from wsplatform.core.throttle import Throttle
from wsplatform.core.tries import source
from wsplatform.errors import CommandError, RequestError
from wsplatform.model import ApiKey
from wsplatform.node.backend import Backend
from wsplatform.node.policy import Policy
from wsplatform.wire import server_api as api

_NUMBERS = {400: 107, 401: 101, 403: 103, 404: 104, 405: 104, 413: 106}
"""What stands in the body of an answer whose status tells the error already; 503: 100."""

_HEADERS = {401: {"www-authenticate": "apikey"}, 405: {"allow": "POST"}, 503: {"retry-after": "1"}}
_LINGER = 2.0
"""Seconds for which a request that is too large is read to no purpose."""

_OTHER_VERBS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")


def server_api_blueprint(backend: Backend, policy: Policy, max_request_bytes: int) -> Blueprint:
    """`max_request_bytes` holds below the app's own limit only."""
    endpoint = _Endpoint(backend, policy, max_request_bytes)
    blueprint = Blueprint("server_api", url_prefix="/api")
    # stream: the key is looked at before the body is read. Sanic marks such a handler, which a bound method refuses.
    blueprint.add_route(partial(endpoint.call), "/<method:str>", methods=["POST"], name="call", stream=True)
    blueprint.add_route(endpoint.refuse_verb, "/<method:str>", methods=list(_OTHER_VERBS), name="refuse_verb")
    return blueprint


class _Endpoint:
    def __init__(self, backend: Backend, policy: Policy, max_request_bytes: int) -> None:
        self._backend = backend
        self._policy = policy
        self._max_request_bytes = max_request_bytes
        self._throttle = Throttle(60.0)

    async def call(self, request: Request, method: str) -> HTTPResponse:
        try:
            key = self._key(request)
            body = await self._body(request)
            if not self._policy.has(key):
                key = self._key(request)  # it was revoked while the body came
            return await self._answer(request, key, method, body)
        except RequestError as error:
            _forgo_continue(_stream(request))
            return self._refuse(error)

    async def refuse_verb(self, request: Request, method: str) -> HTTPResponse:
        return self._refuse(RequestError(405, "method_not_allowed", f"Use POST, not {request.method}."))

    def _key(self, request: Request) -> ApiKey:
        """The caller's key. Raises RequestError 401, 403, or 503 as long as this node knows no keys."""
        if not self._policy.loaded:
            raise RequestError(503, "not_ready", "This node has not got its rules and keys yet: try again.")
        text = _key_text(request)
        if not text:
            where = " An API key in the URL is not accepted." if "api_key" in request.args else ""
            raise RequestError(401, "unauthorized", f"Send an API key in the header X-API-Key.{where}")
        key = self._policy.key(text)
        if key is None:
            self._log_refused(request)
            raise RequestError(401, "unauthorized", "This API key is not known: it is mistyped, or was revoked.")
        if "api" not in key.scopes:
            raise RequestError(403, "forbidden", "This key has no scope api: make one that has for your backend.")
        return key

    async def _body(self, request: Request) -> bytes:
        stream = _stream(request)
        limit = stream.request_max_size = min(stream.request_max_size, self._max_request_bytes)
        if (stream.request_bytes or 0) <= limit:
            with contextlib.suppress(PayloadTooLarge):  # when it came without its length
                await request.receive_body()  # type: ignore[no-untyped-call]
                return request.body
        await _discard(stream)
        raise RequestError(413, "too_large", f"The request is too large: at most {limit} bytes are accepted.")

    async def _answer(self, request: Request, key: ApiKey, method: str, body: bytes) -> HTTPResponse:
        try:
            command = api.decode(method, body)
        except CommandError as error:
            if error.number == api.UNKNOWN_METHOD:
                raise RequestError(404, error.code, error.message) from None
            reply = self._backend.failure(error)
        else:
            if isinstance(command, api.Batch):
                return _json(api.encode_batch(await self._backend.run_batch(key, command)))
            reply = await self._backend.run(key, command)
        if reply.error is not None and request.headers.get(api.ERROR_MODE_HEADER) == "transport":
            return _json(api.encode_error(reply.error), api.http_status(reply.error.code))
        return _json(api.encode_reply(reply))

    def _refuse(self, error: RequestError) -> HTTPResponse:
        self._backend.counts.errors[error.code] += 1
        return _refusal(error)

    def _log_refused(self, request: Request) -> None:
        held_back = self._throttle.allow(source(request.ip), asyncio.get_running_loop().time())
        if held_back is not None:
            logger.warning("Unknown API key from {} ({} more since the last such line)", request.ip, held_back)


def _stream(request: Request) -> Http:
    stream = request.stream
    assert isinstance(stream, Http)
    return stream


def _forgo_continue(stream: Http) -> None:
    """A sender who asked whether to go on (Expect: 100-continue) and is refused has sent no body, and is not to."""
    if stream.request_body and stream.expecting_continue:
        stream.expecting_continue = False
        stream.request_body = None
        stream.keep_alive = False


async def _discard(stream: Http) -> None:
    """Throw away what is too much, for a while, so that the sender can read the answer before the connection ends."""
    if not stream.expecting_continue:
        stream.request_max_size = sys.maxsize
        with contextlib.suppress(TimeoutError, SanicException):
            async with asyncio.timeout(_LINGER):
                async for _ in stream:
                    pass
    stream.request_max_size = 0
    stream.keep_alive = False


def _key_text(request: Request) -> str:
    text = request.headers.get("x-api-key")
    if text:
        return str(text)
    scheme, _, rest = str(request.headers.get("authorization") or "").partition(" ")
    return rest.strip() if scheme.lower() == "apikey" else ""


def _refusal(error: RequestError) -> HTTPResponse:
    number = _NUMBERS.get(error.status, 100)
    body = api.encode_reply(api.Reply(error=api.ErrorReply(number, error.message)))
    return _json(body, error.status)


def _json(body: bytes, status: int = 200) -> HTTPResponse:
    return HTTPResponse(body, status, _HEADERS.get(status), "application/json")
