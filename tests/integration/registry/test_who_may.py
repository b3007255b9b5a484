"""Every route of the operators' face, whatever is added to it, asked for by everybody who may not."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from tests.integration.registry.support import running
from tests.support.no_cluster import NO_CLUSTER
from wsplatform.app.registry import operators_face
from wsplatform.registry.service import Registry
from wsplatform.web.admin.cookies import CSRF_HEADER
from wsplatform.web.server import make_app

ADMIN: Final = "a" * 40
NUMBERS = itertools.count()
OPEN: Final = re.compile(r"dashboard(/.*)?|admin/docs(/.*)?|admin/openapi\.json")
"""Pages and files that hold no data. Beside them POST /admin/v1/session is open, which wants a key in its body."""

Asked = tuple[str, str]
"""Method and path."""


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with running() as registry:
        yield registry


@pytest.fixture
async def client(registry, sanic_client) -> Any:
    app = make_app(f"who-may-{next(NUMBERS)}", operators_face(registry, dict, NO_CLUSTER), 8_388_608)
    return await sanic_client(app, trust_env=False)


def closed(client: Any) -> Iterator[Asked]:
    """What needs a key: each method that a path answers to, but OPTIONS, which tells nothing but these."""
    for route in client.app.router.routes:
        for method in route.methods - {"OPTIONS"}:
            if not OPEN.fullmatch(route.path) and (method, route.path) != ("POST", "admin/v1/session"):
                yield method, "/" + re.sub(r"<[^>]+>", "x", route.path)


async def answers(client: Any, asked: Iterator[Asked], headers: dict[str, str]) -> dict[Asked, tuple[int, str]]:
    found = {}
    for method, path in asked:
        reply = await client.session.request(method, client.make_url(path), headers=headers, json={})
        client.session.cookies.clear()
        told = "" if method == "HEAD" or reply.status_code < 400 else reply.json()["error"]["code"]
        found[method, path] = reply.status_code, told
    return found


def like(found: dict[Asked, tuple[int, str]], status: int, code: str) -> dict[Asked, tuple[int, str]]:
    return {(method, path): (status, "" if method == "HEAD" else code) for method, path in found}


async def test_routes_are_found(client) -> None:
    routes = list(closed(client))
    assert {("GET", "/admin/v1/events"), ("DELETE", "/admin/v1/sessions/x"), ("HEAD", "/admin/v1/audit")} <= {*routes}
    assert len(routes) > 40


async def test_nobody_gets_in_without_a_key(client) -> None:
    for headers in ({}, {"X-API-Key": "b" * 40}, {"Cookie": f"wsp_session={'0' * 64}"}):
        found = await answers(client, closed(client), headers)
        code = "session_ended" if "Cookie" in headers else "unauthorized"
        assert found == like(found, 401, code)


@pytest.mark.parametrize("scopes", [("api",), ("metrics",), ("api", "metrics")])
async def test_keys_for_something_else_do_not_open(client, registry, scopes) -> None:
    text, _ = await registry.configuration.create_key("other", scopes)
    found = await answers(client, closed(client), {"X-API-Key": text})
    assert found == like(found, 403, "forbidden")


async def test_a_key_that_was_revoked_opens_nothing(client, registry) -> None:
    text, key = await registry.configuration.create_key("gone", ("admin",))
    await registry.configuration.revoke_key(key.id)
    found = await answers(client, closed(client), {"X-API-Key": text})
    assert found == like(found, 401, "unauthorized")


async def test_a_session_does_nothing_for_other_pages(client) -> None:
    cookie, token = await log_in(client)
    for site in ("cross-site", "same-site"):
        headers = {"Cookie": cookie, CSRF_HEADER: token, "Sec-Fetch-Site": site}
        found = await answers(client, closed(client), headers)
        assert found == like(found, 403, "cross_origin")


async def test_a_session_changes_nothing_without_its_token(client) -> None:
    cookie, _ = await log_in(client)
    changes = (asked for asked in closed(client) if asked[0] not in {"GET", "HEAD"})
    found = await answers(client, changes, {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})
    assert found == like(found, 403, "csrf")
    assert len(found) > 5


async def test_what_is_open_tells_nothing_of_the_cluster_and_sets_no_cookie(client, registry) -> None:
    await registry.configuration.create_key("name-of-a-key", ("api",))
    for route in client.app.router.routes:
        path = "/" + re.sub(r"<[^>]+>", "x", route.path)
        reply = await client.session.request("OPTIONS", client.make_url(path))
        assert (reply.status_code, reply.content) == (204, b"")
        if OPEN.fullmatch(route.path):
            reply = await client.get(path)
            assert "name-of-a-key" not in reply.text
            assert "set-cookie" not in reply.headers


async def log_in(client: Any) -> tuple[str, str]:
    """The cookie, and its token."""
    reply = await client.post("/admin/v1/session", json={"key": ADMIN})
    client.session.cookies.clear()
    return reply.headers["set-cookie"].partition(";")[0], reply.json()["csrf"]
