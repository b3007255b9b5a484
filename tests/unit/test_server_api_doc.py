from __future__ import annotations

from openapi_spec_validator import validate

from wsplatform.web.openapi import document
from wsplatform.web.server_api_doc import components, part
from wsplatform.wire import server_api as api


def test_describes_every_method_validly() -> None:
    whole = document([part()])
    validate(whole)
    assert {path.removeprefix("/api/") for path in whole["paths"]} == set(api.METHODS)


def test_names_what_is_accepted_only() -> None:
    publish = components()["schemas"]["ApiPublish"]
    assert set(publish["properties"]) == {"channel", "data", "tags", "skip_history"}
    assert set(publish["required"]) == {"channel", "data"}
    assert set(components()["schemas"]["ApiSubscribe"]["properties"]) == {"user", "client", "channel"}
