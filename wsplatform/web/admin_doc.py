"""The admin API's part of the OpenAPI document (3.1)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from wsplatform.model import ChannelRule
from wsplatform.web import admin_types as words
from wsplatform.web.openapi import Part

TAG: Final = {
    "name": "admin API",
    "description": "For operators, on the registry. Every call needs a key with scope admin.",
}

_REF: Final = "#/components/schemas/{name}"
_TYPES: Final = (
    words.ErrorReply,
    words.LinkPage,
    words.NodePage,
    words.RulePage,
    words.RuleMatch,
    words.KeyBody,
    words.KeyPage,
    words.NewKey,
    words.PluginPage,
)
_REFUSALS: Final = {
    "400": "The query, the path or the body cannot be used.",
    "401": "No key, or one that is not known.",
    "403": "The key has no scope admin.",
    "404": "There is no such thing.",
    "409": "There are too many of them.",
    "413": "The body is too large.",
    "415": "The body is not announced as JSON.",
    "503": "The registry's database cannot be used now.",
}
_CHANGE: Final = ("400", "503")
_BODY: Final = ("409", "413", "415")


def part() -> Part:
    return Part(tag=TAG, paths=_paths(), components=_components())


def _paths() -> dict[str, Any]:
    pattern = _path_parameter("pattern", "The rule's pattern, percent-encoded.")
    key_id = _path_parameter("id", "The key's id.")
    rule = _json("The rule as it is now.", ChannelRule)
    return {
        "/admin/v1/nodes": {
            "get": _operation("list_nodes", "The nodes of the cluster", {"200": _json("By id.", words.NodePage)})
            | {"parameters": _query(words.NodeQuery)}
        },
        "/admin/v1/links": {
            "get": _operation(
                "list_links",
                "The links between the nodes",
                {"200": _json("By node and peer.", words.LinkPage)},
            )
            | {"parameters": _query(words.LinkQuery)}
        },
        "/admin/v1/rules": {
            "get": _operation("list_rules", "The channel rules", {"200": _json("By pattern.", words.RulePage)})
            | {"parameters": _query(words.RuleQuery)}
        },
        "/admin/v1/rules/test": {
            "get": _operation(
                "test_rules", "The rule that holds for a channel", {"200": _json("The rule, or null.", words.RuleMatch)}
            )
            | {"parameters": _query(words.ChannelQuery)}
        },
        "/admin/v1/rules/{pattern}": {
            "parameters": [pattern],
            "put": _operation("set_rule", "Make or replace a rule", {"200": rule, "201": rule}, (*_CHANGE, *_BODY))
            | {"requestBody": _body(_REF.format(name="RuleOptions"))},
            "delete": _operation("delete_rule", "Delete a rule", {"204": _empty("It is gone.")}, ("404", *_CHANGE)),
        },
        "/admin/v1/keys": {
            "get": _operation("list_keys", "The API keys", {"200": _json("Oldest first.", words.KeyPage)})
            | {"parameters": _query(words.KeyQuery)},
            "post": _operation(
                "create_key",
                "Make a key; its text is told this once",
                {"201": _json("The key.", words.NewKey)},
                (*_CHANGE, *_BODY),
            )
            | {"requestBody": _body(_REF.format(name="KeyBody"))},
        },
        "/admin/v1/keys/{id}": {
            "parameters": [key_id],
            "delete": _operation(
                "revoke_key", "Revoke a key", {"204": _empty("It opens nothing any more.")}, ("404", *_CHANGE)
            ),
        },
        "/admin/v1/plugins": {
            "get": _operation(
                "list_plugins", "How the registry's plugins are", {"200": _json("By name.", words.PluginPage)}
            )
            | {"parameters": _query(words.PageQuery)}
        },
    }


def _components() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components([*_TYPES, ChannelRule], ref_template=_REF)
    options: dict[str, Any] = dict(schemas[ChannelRule.__name__])
    options["title"] = "RuleOptions"
    del options["required"]
    return {
        "schemas": {**schemas, "RuleOptions": options},
        "securitySchemes": {
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        },
    }


def _operation(
    name: str, summary: str, replies: dict[str, Any], refusals: tuple[str, ...] = ("400",)
) -> dict[str, Any]:
    told = sorted({"401", "403", *refusals})
    return {
        "operationId": name,
        "summary": summary,
        "tags": [TAG["name"]],
        "security": [{"apiKey": []}, {"bearer": []}],
        "responses": replies | {status: _json(_REFUSALS[status], words.ErrorReply) for status in told},
    }


def _query(kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    (_,), schemas = msgspec.json.schema_components([kind], ref_template=_REF)
    schema = schemas[kind.__name__]
    required = schema.get("required", [])
    return [_parameter(name, properties, name in required) for name, properties in schema["properties"].items()]


def _parameter(name: str, properties: dict[str, Any], required: bool) -> dict[str, Any]:
    schema = dict(properties)
    described = {"description": schema.pop("description")} if "description" in schema else {}
    return {"name": name, "in": "query", "required": required, **described, "schema": schema}


def _path_parameter(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def _json(description: str, kind: type) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=kind.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _body(ref: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": {"$ref": ref}}}}


def _empty(description: str) -> dict[str, Any]:
    return {"description": description}
