from __future__ import annotations

from typing import Any

from openapi_spec_validator import validate

from wsplatform.web.server_api_doc import TAG, components, paths
from wsplatform.wire import server_api as api


def document() -> dict[str, Any]:
    info = {"title": "server API", "version": "1"}
    return {"openapi": "3.1.0", "info": info, "tags": [TAG], "paths": paths(), "components": components()}


def test_describes_every_method_validly() -> None:
    validate(document())
    assert {path.removeprefix("/api/") for path in paths()} == set(api.METHODS)


def test_names_what_is_accepted_only() -> None:
    publish = components()["schemas"]["ApiPublish"]
    assert set(publish["properties"]) == {"channel", "data", "tags", "skip_history"}
    assert set(publish["required"]) == {"channel", "data"}
    assert set(components()["schemas"]["ApiSubscribe"]["properties"]) == {"user", "client", "channel"}
