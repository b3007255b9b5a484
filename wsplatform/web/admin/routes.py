"""What a route of the admin API is: how it is called, who answers, and what the OpenAPI document says of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Generic, TypeVar

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from wsplatform.errors import RequestError
from wsplatform.web.admin.gate import Caller, Gate
from wsplatform.web.admin.requests import MAX_BODY_BYTES, body, path_text, query
from wsplatform.web.admin.streams import Stream, Streams
from wsplatform.web.admin.types import ErrorReply, ErrorText

PREFIX: Final = "/admin/v1"
_REFUSED: Final = {401: {"www-authenticate": 'Bearer realm="wsplatform admin"'}}
_PRIVATE: Final = {"cache-control": "no-store"}
_PARAMETER: Final = re.compile(r"{(\w+)}")

Q = TypeVar("Q")
B = TypeVar("B")
_Handler = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """A request that was let in and could be read. query, body: None where the route declares none.

    path: the text in the place of each {parameter}, percent-decoded.
    """

    request: Request[Any, Any]
    caller: Caller
    query: Q
    body: B
    path: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is no refusal. kind: what its body holds; None: it has no body."""

    description: str
    kind: type | None = None
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A {parameter} of a path. rest: it may hold slashes that are not percent-encoded, at the end of the path."""

    name: str
    description: str
    rest: bool = False


@dataclass(frozen=True, slots=True)
class Route(Generic[Q, B]):
    """One operation. path: below PREFIX, with {parameters}. name: unique; the operation's id.

    refusals: statuses of errors beside those of the gate and those of reading the query and the body. `handler` raises
    them as RequestError, and answers through json_reply or empty_reply, or with a Stream. max_body: in bytes. open: no
    key is needed.
    """

    method: str
    path: str
    name: str
    handler: Callable[[Call[Q, B]], Coroutine[Any, Any, HTTPResponse | Stream]]
    summary: str
    replies: Mapping[int, Reply]
    query: type[Q] | None = None
    body: type[B] | None = None
    refusals: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    max_body: int = MAX_BODY_BYTES
    open: bool = False


def blueprint(routes: Iterable[Route[Any, Any]], gate: Gate) -> Blueprint:
    whole, streams = Blueprint("admin", url_prefix=PREFIX), Streams(gate)
    routes = tuple(routes)
    for route in routes:
        _add(whole, route, _handler(route, gate, streams))
    for route, parts in shadowed(routes):
        _add(whole, route, partial(_handler(route, gate, streams), **parts))
    whole.listener("before_server_stop")(lambda _app: streams.close())
    return whole


def json_reply(reply: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> HTTPResponse:
    return HTTPResponse(msgspec.json.encode(reply), status, {**_PRIVATE, **(headers or {})}, "application/json")


def empty_reply() -> HTTPResponse:
    return HTTPResponse(status=204)


def shadowed(routes: Iterable[Route[Any, Any]]) -> Iterator[tuple[Route[Any, Any], Mapping[str, str]]]:
    """Routes with one parameter at the end, at fixed paths that it could make, without that method of their own; and

    the parameter there. Sanic looks at fixed paths first and would refuse the method.
    """
    routes = tuple(routes)
    fixed = {route.path for route in routes if not route.parameters}
    there = {(route.method, route.path) for route in routes}
    for route in routes:
        folder, _, last = route.path.rpartition("/")
        if len(route.parameters) == 1 and _PARAMETER.fullmatch(last):
            for path in sorted(fixed):
                if path.rpartition("/")[0] == folder and (route.method, path) not in there:
                    word = path.rpartition("/")[2]
                    other = replace(route, path=path, name=f"{route.name}_{word}", parameters=())
                    yield other, {route.parameters[0].name: word}


def _add(whole: Blueprint, route: Route[Any, Any], handler: _Handler) -> None:
    # A body is read only when the key has been looked at. Sanic marks such a handler, so each is one of its own.
    stream = route.body is not None
    whole.add_route(partial(handler), _sanic_path(route), methods=[route.method], name=route.name, stream=stream)


def _handler(route: Route[Any, Any], gate: Gate, streams: Streams) -> _Handler:
    async def handle(request: Request[Any, Any], **parts: str) -> HTTPResponse | None:
        try:
            caller = gate.stranger(request) if route.open else gate.admit(request)
        except RequestError as error:
            return _refusal(error)
        asked = None if route.query is None else query(request, route.query)
        path = {name: path_text(part) for name, part in parts.items()}
        told = None
        if route.body is not None:
            told = await body(request, route.body, route.max_body)
            # A body may take its time: what was shown before it may have been revoked meanwhile, because of who asks.
            if not route.open:
                gate.check(caller)
        call = Call(request, caller, path=path, query=asked, body=told)
        answer = await route.handler(call)
        return await streams.serve(request, caller, answer) if isinstance(answer, Stream) else answer

    return handle


def _refusal(error: RequestError) -> HTTPResponse:
    return json_reply(ErrorReply(ErrorText(error.code, error.message)), error.status, _REFUSED.get(error.status))


def _sanic_path(route: Route[Any, Any]) -> str:
    kinds = {parameter.name: "path" if parameter.rest else "str" for parameter in route.parameters}
    return _PARAMETER.sub(lambda match: f"<{match[1]}:{kinds[match[1]]}>", route.path)
