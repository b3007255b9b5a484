"""The admin API's part of the OpenAPI document (3.1), made from its routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from wsplatform.web.admin.cookies import LOCAL_NAME, SECURE_NAME
from wsplatform.web.admin.routes import PREFIX, Parameter, Reply, Route, shadowed
from wsplatform.web.admin.types import ErrorReply
from wsplatform.web.openapi import Part

TAG: Final = {
    "name": "admin API",
    "description": "For operators, on the registry. Every call needs a key with scope admin, or a session of one.",
}

_REF: Final = "#/components/schemas/{name}"
_REFUSALS: Final = {
    400: "The query, the path or the body cannot be used.",
    401: "No key or session, or one that is not known.",
    403: "The key has no scope admin, or the session is used from elsewhere.",
    404: "There is no such thing.",
    405: "Nothing of this path is asked for by this method; Allow says which there are.",
    409: "There are too many of them.",
    413: "The body is too large.",
    415: "The body is not announced as JSON.",
    429: "Too many tries from this address.",
    500: "The registry's database is damaged.",
    503: "The registry's database cannot be used now.",
}
_GATE: Final = (400, 401, 403, 405, 413)
_BODY: Final = (415,)


def part(routes: Iterable[Route[Any, Any]]) -> Part:
    routes = tuple(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in (*routes, *(route for route, _ in shadowed(routes))):
        item = paths.setdefault(PREFIX + route.path, {})
        if route.parameters:
            item["parameters"] = [_path_parameter(parameter) for parameter in route.parameters]
        item[route.method.lower()] = _operation(route)
    return Part(tag=TAG, paths=paths, components=_components(routes))


def _components(routes: Iterable[Route[Any, Any]]) -> dict[str, Any]:
    kinds = [kind for route in routes for kind in (route.body, *(reply.kind for reply in route.replies.values()))]
    _, schemas = _schemas(ErrorReply, *kinds)
    return {
        "schemas": schemas,
        "securitySchemes": {
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
            "session": {
                "type": "apiKey",
                "in": "cookie",
                "name": SECURE_NAME,
                "description": f"Made by POST /admin/v1/session. Over HTTP, on the registry's host: {LOCAL_NAME}.",
            },
            "csrf": {
                "type": "apiKey",
                "in": "header",
                "name": "X-CSRF-Token",
                "description": "The session's `csrf`, with every change.",
            },
        },
    }


def _operation(route: Route[Any, Any]) -> dict[str, Any]:
    refusals = {*_GATE, *route.refusals, *(_BODY if route.body else ())}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [TAG["name"]],
        "security": _security(route),
        "responses": {str(status): _reply(reply) for status, reply in route.replies.items()}
        | {str(status): _reply(Reply(_REFUSALS[status], ErrorReply)) for status in sorted(refusals)},
    }
    if route.query is not None:
        operation["parameters"] = _query(route.query)
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema(route.body)}}}
    return operation


def _security(route: Route[Any, Any]) -> list[dict[str, list[str]]]:
    if route.open:
        return []
    session: dict[str, list[str]] = {"session": []} if route.method == "GET" else {"session": [], "csrf": []}
    return [{"apiKey": []}, {"bearer": []}, session]


def _query(kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    _, schemas = _schemas(kind)
    schema = schemas[kind.__name__]
    required = schema.get("required", [])
    return [_parameter(name, properties, name in required) for name, properties in schema["properties"].items()]


def _parameter(name: str, properties: Mapping[str, Any], required: bool) -> dict[str, Any]:
    schema = dict(properties)
    described = {"description": schema.pop("description")} if "description" in schema else {}
    return {"name": name, "in": "query", "required": required, **described, "schema": schema}


def _path_parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "path",
        "required": True,
        "description": parameter.description,
        "schema": {"type": "string"},
    }


def _reply(reply: Reply) -> dict[str, Any]:
    if reply.kind is None:
        return {"description": reply.description}
    return {"description": reply.description, "content": {reply.media: {"schema": _schema(reply.kind)}}}


def _schema(kind: type) -> dict[str, Any]:
    (schema,), _ = _schemas(kind)
    return schema


def _schemas(*kinds: type | None) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    return msgspec.json.schema_components([kind for kind in kinds if kind is not None], ref_template=_REF)
