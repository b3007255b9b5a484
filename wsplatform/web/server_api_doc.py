"""The server API's part of the OpenAPI document (3.1)."""

from __future__ import annotations

from typing import Any

import msgspec

from wsplatform.web.openapi import Part
from wsplatform.wire import server_api as api

TAG = {
    "name": "server API",
    "description": (
        "For backends, on every node. An error of a command is answered with status 200 and `error` in the body; with "
        "the header `X-Centrifugo-Error-Mode: transport`, as a status and the error alone. See docs/server-api.md."
    ),
}

_PREFIX = "#/components/schemas/Api"
_SUMMARIES: dict[str, tuple[str, type, type]] = {
    "publish": ("Publish on a channel", api.Publish, api.Done),
    "broadcast": ("Publish the same data on many channels", api.Broadcast, api.BroadcastResult),
    "subscribe": ("Subscribe a user's sessions to a channel", api.Subscribe, api.Done),
    "unsubscribe": ("End a user's subscriptions to a channel", api.Unsubscribe, api.Done),
    "disconnect": ("Disconnect a user's sessions", api.Disconnect, api.Done),
    "channels": ("Channels with subscribers, in the whole cluster", api.Channels, api.ChannelsResult),
    "info": ("The nodes of the cluster", api.Info, api.InfoResult),
}
_STATUSES = {
    "400": "The body is not JSON.",
    "401": "No API key, or one that is not known.",
    "403": "The key has no scope api.",
    "405": "The method is another one than POST.",
    "413": "The request is too large.",
    "503": "The node has not got its rules and keys yet.",
}


def part() -> Part:
    return Part(tag=TAG, paths=paths(), components=components())


def paths() -> dict[str, Any]:
    """OpenAPI path items by path."""
    items = {
        f"/api/{method}": _item(method, summary, request, _either(result))
        for method, (summary, request, result) in _SUMMARIES.items()
    }
    items["/api/batch"] = _item("batch", "Several commands, carried out in order", api.Batch, _batch_replies())
    return items


def components() -> dict[str, Any]:
    """Schemas, all with names that begin with Api, and the security scheme `apiKey`."""
    types: list[type] = [kind for _, *kinds in _SUMMARIES.values() for kind in kinds]
    _, schemas = msgspec.json.schema_components([*types, api.Batch, api.ErrorReply], ref_template=_PREFIX + "{name}")
    for kind in types:
        for name in getattr(kind, "refused", ()):
            schemas[kind.__name__]["properties"].pop(name, None)
    for kind in (api.Publish, api.Broadcast):
        schemas[kind.__name__]["required"].append("data")
    for unused in (api.Override, api.BoolValue, api.StreamPosition):
        del schemas[unused.__name__]
    return {
        "schemas": {f"Api{name}": schema for name, schema in schemas.items()},
        "securitySchemes": {"apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
    }


def _item(method: str, summary: str, request: type, reply: dict[str, Any]) -> dict[str, Any]:
    responses = {"200": _json("The result, or the error of the command.", reply)}
    error = {"type": "object", "properties": {"error": _ref(api.ErrorReply)}, "required": ["error"]}
    responses |= {status: _json(description, error) for status, description in _STATUSES.items()}
    return {
        "post": {
            "operationId": f"api_{method}",
            "summary": summary,
            "tags": [TAG["name"]],
            "security": [{"apiKey": []}],
            "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(request)}}},
            "responses": responses,
        }
    }


def _either(result: type) -> dict[str, Any]:
    return {"type": "object", "properties": {"result": _ref(result), "error": _ref(api.ErrorReply)}}


def _batch_replies() -> dict[str, Any]:
    results = {method: _ref(result) for method, (_, _, result) in _SUMMARIES.items()}
    reply = {"type": "object", "properties": {**results, "error": _ref(api.ErrorReply)}}
    whole = {"replies": {"type": "array", "items": reply}, "error": _ref(api.ErrorReply)}
    return {"type": "object", "properties": whole}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(kind: type) -> dict[str, Any]:
    return {"$ref": _PREFIX + kind.__name__}
