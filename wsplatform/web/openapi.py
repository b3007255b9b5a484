"""The OpenAPI document of a process, put together from what each module says of its routes.

Written by hand around the JSON schemas of the msgspec types that decode the requests. sanic-ext could generate one, but
keeps what it collects in the process, not in the app, and derives schemas from type hints without their constraints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any

import msgspec

from wsplatform import __version__

TITLE = "wsplatform"
_METHODS = ("get", "put", "post", "delete")
_HEAD = {
    "description": "The head of the request is too large.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "error": {
                        "type": "object",
                        "properties": {"code": {"const": "head_too_large"}, "message": {"type": "string"}},
                        "required": ["code", "message"],
                    }
                },
                "required": ["error"],
            }
        }
    },
}
"""What every path answers before anybody has looked at what is asked for (web/upgrade.py)."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one module adds: the tag of its operations, path items by path, components by kind and name."""

    tag: Mapping[str, str]
    paths: Mapping[str, Any]
    components: Mapping[str, Mapping[str, Any]]


def document(parts: Iterable[Part]) -> dict[str, Any]:
    """OpenAPI 3.1. Raises ValueError when two parts mean different things by one path or component."""
    tags: list[dict[str, str]] = []
    paths: dict[str, Any] = {}
    components: dict[str, dict[str, Any]] = {}
    for part in parts:
        tags.append(dict(part.tag))
        _merge(paths, {path: _with_head(item) for path, item in part.paths.items()})
        for kind, named in part.components.items():
            _merge(components.setdefault(kind, {}), named)
    for schema in components.get("schemas", {}).values():
        if "description" in schema:
            schema["description"] = cleandoc(schema["description"])
    whole = {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "tags": tags,
        "paths": paths,
        "components": components | {"responses": {"HeadTooLarge": _HEAD}},
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(whole))  # msgspec's schemas hold tuples
    return plain


def _with_head(item: Mapping[str, Any]) -> dict[str, Any]:
    more = {"431": {"$ref": "#/components/responses/HeadTooLarge"}}
    return {
        name: {**value, "responses": {**value.get("responses", {}), **more}} if name in _METHODS else value
        for name, value in item.items()
    }


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if into.setdefault(name, value) != value:
            raise ValueError(f"two parts of the OpenAPI document describe {name}")
