"""The admin API over HTTP, as an operator's program meets it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from openapi_spec_validator import validate

from tests.integration.registry.support import Node, link_with, running
from tests.support.no_cluster import NO_CLUSTER
from wsplatform.app.registry import operators_face
from wsplatform.model import ChannelRule
from wsplatform.plugins.base import PluginStatus
from wsplatform.registry.service import Registry
from wsplatform.web.admin.requests import cursor_of
from wsplatform.web.openapi import Part, document
from wsplatform.web.server import make_app

ADMIN = {"X-API-Key": "a" * 40}
NUMBERS = itertools.count()
PLUGINS = {
    "haproxy": PluginStatus(True, "up to date", {"servers": 3}, "b", ({"name": "n1", "weight": 1},)),
    "broken": PluginStatus(False, "no binary", distribution="a"),
}


@pytest.fixture
async def registry(request) -> AsyncIterator[Registry]:
    """In memory, unless the test asks for a file."""
    database = request.getfixturevalue("file") if "file" in request.fixturenames else ":memory:"
    async with running(database, fallback_rule=ChannelRule(pattern="*", subscribe="anyone")) as registry:
        yield registry


@pytest.fixture
async def client(registry, sanic_client) -> Any:
    app = make_app(f"admin-{next(NUMBERS)}", operators_face(registry, lambda: PLUGINS, NO_CLUSTER), 8_388_608)
    return await sanic_client(app, trust_env=False)


def code(reply: Any) -> tuple[int, str]:
    error = reply.json()["error"]
    assert set(error) == {"code", "message"}
    assert error["message"]
    return reply.status_code, error["code"]


async def set_rule(client: Any, pattern: str, **options: Any) -> Any:
    return await client.put(f"/admin/v1/rules/{quote(pattern, safe='')}", headers=ADMIN, json=options)


async def pages(client: Any, path: str, cursor: str = "") -> list[Any]:
    """All items of a list from `cursor` on, page by page."""
    items: list[Any] = []
    while True:
        page = (await client.get(f"{path}&cursor={cursor}", headers=ADMIN)).json()
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


class TestWhoMay:
    @pytest.mark.parametrize("headers", [ADMIN, {"Authorization": "Bearer " + "a" * 40}])
    async def test_an_admin_key_in_either_header(self, client, headers):
        reply = await client.get("/admin/v1/nodes", headers=headers)
        assert reply.status_code == 200
        assert reply.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("headers", [{}, {"X-API-Key": "a" * 39}, {"Authorization": "Basic " + "a" * 40}])
    @pytest.mark.parametrize("path", ["nodes", "rules", "keys", "plugins", "rules/test?channel=a"])
    async def test_nobody_else(self, client, path, headers):
        reply = await client.get(f"/admin/v1/{path}", headers=headers)
        assert code(reply) == (401, "unauthorized")
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert "aaa" not in reply.text

    async def test_a_head_needs_a_key_as_well(self, client):
        assert (await client.head("/admin/v1/keys")).status_code == 401

    async def test_a_key_in_the_url_is_no_key(self, client):
        assert code(await client.get("/admin/v1/nodes?key=" + "a" * 40)) == (401, "unauthorized")

    async def test_scopes(self, client, registry):
        backend, _ = await registry.configuration.create_key("backend", ("api",))
        admin, _ = await registry.configuration.create_key("admin", ("admin", "api"))
        assert code(await client.get("/admin/v1/keys", headers={"X-API-Key": backend})) == (403, "forbidden")
        assert (await client.get("/admin/v1/keys", headers={"X-API-Key": admin})).status_code == 200

    async def test_a_stranger_is_refused_before_the_body(self, client):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        kind = b"Content-Type: application/json\r\nContent-Length: 50000\r\n\r\n"
        writer.write(b"POST /admin/v1/keys HTTP/1.1\r\nHost: x\r\n" + kind)
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 401 ")
        writer.close()

    async def test_a_key_that_is_revoked_while_the_body_comes(self, client, registry):
        """Who is about to lose a key could make another one with it afterwards, on a connection held back for that."""
        text, key = await registry.configuration.create_key("stolen", ("admin",))
        body = b'{"name": "another", "scopes": ["admin"]}'
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nX-API-Key: {text}\r\n\r\n"
        writer.write(b"POST /admin/v1/keys HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + head.encode())
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 100 ")  # it is let in
        assert (await client.delete(f"/admin/v1/keys/{key.id}", headers=ADMIN)).status_code == 204
        writer.write(body)
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 401 ")
        assert registry.configuration.keys() == ()
        writer.close()


class TestPublicKey:
    """A page of any name can have this name lead to this host, and knows the key of the development settings."""

    KEY = "development-only-admin-key-0000000000000"

    @pytest.fixture
    async def client(self, sanic_client) -> AsyncIterator[Any]:
        async with running(admin_key=self.KEY) as registry:
            app = make_app(f"admin-{next(NUMBERS)}", operators_face(registry, dict, NO_CLUSTER), 8_388_608)
            yield await sanic_client(app, trust_env=False)

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil."])
    async def test_is_no_use_to_other_peoples_pages(self, client, host):
        reply = await client.get("/admin/v1/nodes", headers={"X-API-Key": self.KEY, "Host": host})
        assert code(reply) == (403, "public_key")
        reply = await client.post("/admin/v1/session", headers={"Host": host}, json={"key": self.KEY})
        assert code(reply) == (403, "public_key")

    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "localhost:8000",
            "a.localhost:1",
            "127.0.0.1",
            "10.0.0.7:80",
            "[::1]",
            "[::1]:80",
            "registry:8000",
        ],
    )
    async def test_opens_where_no_page_of_others_is(self, client, host):
        reply = await client.get("/admin/v1/nodes", headers={"X-API-Key": self.KEY, "Host": host})
        assert reply.status_code == 200
        reply = await client.post("/admin/v1/session", headers={"Host": host}, json={"key": self.KEY})
        assert reply.status_code == 201


class TestNodes:
    async def test_say_where_they_are_and_how(self, client, registry):
        a = Node("a")
        await a.register(registry)
        await a.beat(registry, ready=True)
        body = (await client.get("/admin/v1/nodes", headers=ADMIN)).json()
        assert (body["view"], body["next"]) == (registry.view.number, None)
        (item,) = body["items"]
        assert (item["id"], item["incarnation"], item["state"]) == ("a", "1", "ready")
        assert (item["ready"], item["draining"]) == (True, False)
        assert (item["client_url"], item["cluster_url"]) == ("http://a:8000", "ws://a:8000")
        assert (item["view"], item["config"]) == (a.view, a.config)
        assert item["status"]["sessions"] == 3
        assert item["registered_at"] <= item["last_seen"]

    async def test_are_filtered_and_paged(self, client, registry):
        for number in range(7):
            await Node(f"n{number}").register(registry, ready=number % 2 == 0)
        paged = await pages(client, "/admin/v1/nodes?limit=2")
        assert [item["id"] for item in paged] == [f"n{number}" for number in range(7)]
        ready = await pages(client, "/admin/v1/nodes?limit=3&ready=true")
        assert [item["id"] for item in ready] == ["n0", "n2", "n4", "n6"]
        one = await pages(client, "/admin/v1/nodes?contains=5&ready=false")
        assert [item["id"] for item in one] == ["n5"]


class TestLinks:
    async def test_are_as_the_nodes_have_reported_them(self, client, registry):
        a, b = Node("a"), Node("b")
        for node in (a, b):
            await node.register(registry)
        assert (await client.get("/admin/v1/links", headers=ADMIN)).json() == {"items": [], "next": None}
        await a.beat(registry, links=(link_with("b"),))
        (item,) = (await client.get("/admin/v1/links", headers=ADMIN)).json()["items"]
        assert (item["node"], item["peer"], item["state"], item["transport"]) == ("a", "b", "up", "websocket")
        assert (item["rtt"], item["canary"], item["canary_late"]) == (0.002, 0.003, 1)
        assert (item["queued"], item["unacknowledged"], item["replayed"]) == (10, 20, 5)
        assert (item["dropped"], item["gaps"]) == ({"expired": 7}, 8)

    async def test_are_filtered_and_paged(self, client, registry):
        names = ["a", "b", "c"]
        nodes = [Node(name) for name in names]
        for node in nodes:
            await node.register(registry)
        for node in nodes:
            others = [name for name in names if name != node.instance.node_id]
            await node.beat(registry, links=tuple(link_with(name, "up" if name == "a" else "left") for name in others))
        pairs = [(item["node"], item["peer"]) for item in await pages(client, "/admin/v1/links?limit=2")]
        assert pairs == [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")]
        found = await pages(client, "/admin/v1/links?limit=1&peer=a&state=up")
        assert [(item["node"], item["peer"]) for item in found] == [("b", "a"), ("c", "a")]
        assert [item["peer"] for item in await pages(client, "/admin/v1/links?node=c&state=left&limit=5")] == ["b"]
        assert code(await client.get("/admin/v1/links?state=gone", headers=ADMIN)) == (400, "bad_query")


class TestRules:
    async def test_are_made_replaced_tested_and_deleted(self, client, registry):
        assert (await set_rule(client, "chat:*", subscribe="users")).status_code == 201
        reply = await set_rule(client, "chat:*", subscribe="anyone", max_bytes=10)
        assert reply.status_code == 200
        rule = {"pattern": "chat:*", "subscribe": "anyone", "publish": "nobody", "max_bytes": 10}
        assert reply.json() == rule
        listed = (await client.get("/admin/v1/rules", headers=ADMIN)).json()
        assert listed == {"config": registry.configuration.config.version, "items": [rule], "next": None}
        tested = await client.get("/admin/v1/rules/test?channel=chat:1", headers=ADMIN)
        assert tested.json() == {"channel": "chat:1", "rule": rule, "fallback": False}
        assert (await client.delete("/admin/v1/rules/chat:*", headers=ADMIN)).status_code == 204
        tested = (await client.get("/admin/v1/rules/test?channel=chat:1", headers=ADMIN)).json()
        assert (tested["rule"]["pattern"], tested["fallback"]) == ("*", True)
        assert code(await client.delete("/admin/v1/rules/chat:*", headers=ADMIN)) == (404, "unknown_rule")

    async def test_a_channel_of_the_platform_has_none(self, client):
        tested = (await client.get("/admin/v1/rules/test?channel=$node", headers=ADMIN)).json()
        assert tested["rule"] is None
        for channel in ("", "a*", "x" * 256):
            reply = await client.get("/admin/v1/rules/test", params={"channel": channel}, headers=ADMIN)
            assert code(reply) == (400, "invalid_channel")

    @pytest.mark.parametrize("pattern", ["test", "a/b", "/a", "a b", "ключ:*", "50%", "a?b#c", "x" * 255, "a//b"])
    async def test_any_pattern_can_be_in_the_path(self, client, registry, pattern):
        assert (await set_rule(client, pattern)).status_code == 201
        assert [rule.pattern for rule in registry.configuration.rules()] == [pattern]
        path = f"/admin/v1/rules/{quote(pattern, safe='')}"
        assert (await client.delete(path, headers=ADMIN)).status_code == 204
        assert registry.configuration.rules() == ()

    @pytest.mark.parametrize(
        ("pattern", "body", "expected"),
        [
            ("a", {"history": 10}, "bad_body"),
            ("a", {"subscribe": "everyone"}, "bad_body"),
            ("a", {"max_bytes": "10"}, "bad_body"),
            ("a", {"max_bytes": True}, "bad_body"),
            ("a", {"max_bytes": 1.5}, "bad_body"),
            ("a", {"pattern": "b"}, "bad_body"),
            ("a", {"pattern": None}, "bad_body"),
            ("a", [], "bad_body"),
            ("a", None, "bad_body"),
            ("a", {"max_bytes": -1}, "invalid_rule"),
            ("a", {"max_bytes": 2**70}, "invalid_rule"),
            ("$a", {}, "invalid_rule"),
            ("a**", {}, "invalid_rule"),
            (" a", {}, "invalid_rule"),
            ("x" * 256, {}, "invalid_rule"),
        ],
    )
    async def test_what_does_not_work_is_refused(self, client, registry, pattern, body, expected):
        before = registry.configuration.config
        path = f"/admin/v1/rules/{quote(pattern, safe='')}"
        headers = {**ADMIN, "Content-Type": "application/json"}
        reply = await client.put(path, headers=headers, content=json.dumps(body))
        assert code(reply) == (400, expected)
        assert registry.configuration.config == before

    async def test_a_path_that_is_no_text(self, client):
        assert code(await client.delete("/admin/v1/rules/%ff", headers=ADMIN)) == (400, "bad_path")

    async def test_what_was_listed_can_be_put_back(self, client):
        rule = (await set_rule(client, "a", subscribe="token")).json()
        assert (await client.put("/admin/v1/rules/a", headers=ADMIN, json=rule)).json() == rule

    async def test_are_filtered_and_paged_while_they_change(self, client):
        for number in range(10):
            await set_rule(client, f"c{number}")
        first = (await client.get("/admin/v1/rules?limit=4&contains=c", headers=ADMIN)).json()
        await client.delete("/admin/v1/rules/c3", headers=ADMIN)
        await set_rule(client, "b")
        rest = await pages(client, "/admin/v1/rules?limit=4&contains=c", first["next"])
        assert [rule["pattern"] for rule in first["items"]] == ["c0", "c1", "c2", "c3"]
        assert [rule["pattern"] for rule in rest] == ["c4", "c5", "c6", "c7", "c8", "c9"]


class TestKeys:
    async def test_the_text_is_told_once_and_opens_until_revoked(self, client, registry):
        reply = await client.post(
            "/admin/v1/keys", headers=ADMIN, json={"name": "ops", "scopes": ["admin", "api"], "channels": ["chat:*"]}
        )
        assert reply.status_code == 201
        made = reply.json()
        text = made.pop("key")
        assert re.fullmatch(rf"wsp_{made['id']}_[0-9a-f]{{64}}", text)
        assert (made["name"], made["scopes"], made["channels"]) == ("ops", ["admin", "api"], ["chat:*"])
        listed = await client.get("/admin/v1/keys", headers={"X-API-Key": text})
        assert listed.json() == {"items": [made], "next": None}
        (key,) = registry.configuration.config.keys
        assert text not in listed.text
        assert key.digest not in listed.text
        path = f"/admin/v1/keys/{made['id']}"
        assert (await client.delete(path, headers=ADMIN)).status_code == 204
        assert code(await client.get("/admin/v1/keys", headers={"X-API-Key": text})) == (401, "unauthorized")
        assert code(await client.delete(path, headers=ADMIN)) == (404, "unknown_key")

    async def test_the_settings_key_cannot_be_revoked(self, client):
        assert code(await client.delete("/admin/v1/keys/settings", headers=ADMIN)) == (404, "unknown_key")

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"name": "a"},
            {"name": "a", "scopes": []},
            {"name": "", "scopes": ["api"]},
            {"name": "  ", "scopes": ["api"]},
            {"name": "a", "scopes": ["root"]},
            {"name": "a", "scopes": "api"},
            {"name": "a", "scopes": ["api"], "key": "mine"},
            {"name": "a", "scopes": ["api"], "channels": ["$x"]},
            {"name": "a", "scopes": ["admin"], "channels": ["x"]},
            {"name": 1, "scopes": ["api"]},
        ],
    )
    async def test_what_does_not_work_is_refused(self, client, registry, body):
        reply = await client.post("/admin/v1/keys", headers=ADMIN, json=body)
        assert code(reply)[0] == 400
        assert registry.configuration.keys() == ()

    async def test_are_filtered_and_paged(self, client, registry):
        for number in range(5):
            await registry.configuration.create_key(f"key {number}", ("admin",) if number == 3 else ("api",))
        names = [key["name"] for key in await pages(client, "/admin/v1/keys?limit=2&scope=api")]
        assert names == ["key 0", "key 1", "key 2", "key 4"]
        assert [key["name"] for key in await pages(client, "/admin/v1/keys?contains=3")] == ["key 3"]


class TestRequests:
    @pytest.mark.parametrize(
        "query",
        ["limit=0", "limit=1001", "limit=x", "limit=", "ready=maybe", "page=2", "limit=1&limit=2", "ready=null"],
    )
    async def test_a_query_that_cannot_be_used(self, client, query):
        reply = await client.get(f"/admin/v1/nodes?{query}", headers=ADMIN)
        assert code(reply) == (400, "bad_query")

    @pytest.mark.parametrize("cursor", ["!", "bm9uZQ", "W10", "ключ", "e30"])
    async def test_a_cursor_of_ones_own(self, client, cursor):
        for path in ("nodes", "rules", "keys", "plugins"):
            reply = await client.get(f"/admin/v1/{path}", params={"cursor": cursor}, headers=ADMIN)
            assert code(reply) == (400, "bad_cursor")

    @pytest.mark.parametrize("place", [-1, 1 << 63, 1 << 70])
    async def test_a_cursor_beyond_what_databases_count(self, client, place):
        reply = await client.get("/admin/v1/audit", params={"cursor": cursor_of(place)}, headers=ADMIN)
        assert code(reply) == (400, "bad_cursor")

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"\xff", b'{"name": "\xff"}', b"[" * 50_000, b'{"a":' * 10_000, b"null", b'{"name": NaN}', b"{}x"],
    )
    async def test_a_body_that_is_no_json(self, client, content):
        headers = {**ADMIN, "Content-Type": "application/json"}
        for method, path in (("POST", "keys"), ("PUT", "rules/a")):
            reply = await client.session.request(
                method, client.make_url(f"/admin/v1/{path}"), headers=headers, content=content
            )
            assert code(reply) == (400, "bad_body")

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_a_body_that_is_too_large(self, client, chunked):
        content = b'{"name": "' + b"x" * 100_000 + b'"}'

        async def parts() -> AsyncIterator[bytes]:
            for start in range(0, len(content), 10_000):
                yield content[start : start + 10_000]

        headers = {**ADMIN, "Content-Type": "application/json"}
        reply = await client.post("/admin/v1/keys", headers=headers, content=parts() if chunked else content)
        assert code(reply) == (413, "too_large")
        assert (await client.get("/admin/v1/keys", headers=ADMIN)).status_code == 200

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
    async def test_a_body_that_is_not_called_json(self, client, kind):
        headers = {**ADMIN, "Content-Type": kind}
        reply = await client.post("/admin/v1/keys", headers=headers, content=b'{"name": "a", "scopes": ["api"]}')
        assert code(reply) == (415, "unsupported_media_type")

    async def test_a_method_or_path_that_there_is_not(self, client):
        reply = await client.post("/admin/v1/nodes", headers=ADMIN)
        assert code(reply) == (405, "method_not_allowed")
        assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
        assert code(await client.get("/admin/v1/nothing", headers=ADMIN)) == (404, "not_found")

    @pytest.mark.parametrize(
        ("path", "methods"),
        [
            ("keys/abc", {"DELETE", "OPTIONS"}),
            ("rules/a%2Fb", {"PUT", "DELETE", "OPTIONS"}),
            ("rules/test", {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}),
            ("session", {"GET", "HEAD", "POST", "DELETE", "OPTIONS"}),
        ],
    )
    async def test_what_a_path_allows_is_told(self, client, path, methods):
        reply = await client.patch(f"/admin/v1/{path}", headers=ADMIN)
        assert code(reply) == (405, "method_not_allowed")
        assert reply.headers.get_list("allow") == [", ".join(sorted(methods))]
        reply = await client.options(f"/admin/v1/{path}", headers=ADMIN)
        assert {method.strip() for method in reply.headers["allow"].split(",")} == methods
        described = (await client.get("/admin/openapi.json")).json()["paths"]
        named = path.replace("keys/abc", "keys/{id}").replace("rules/a%2Fb", "rules/{pattern}")
        said = {method.upper() for method in described[f"/admin/v1/{named}"]} - {"PARAMETERS"}
        assert said | ({"HEAD"} if "GET" in said else set()) | {"OPTIONS"} == methods

    async def test_a_head_that_is_too_large_is_told_as_that_on_every_request_of_a_connection(self, client):
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"GET /admin/v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        length = int(re.search(rb"content-length: (\d+)", head)[1])
        await reader.readexactly(length)
        writer.write(b"GET /admin/v1/nodes HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 431 ")
        assert b'"head_too_large"' in await asyncio.wait_for(reader.read(), 5)
        writer.close()

    async def test_no_database(self, impatient, client, registry, file):
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            reply = await set_rule(client, "a")
            assert code(reply) == (503, "database_unavailable")
            assert str(file) not in reply.text
            assert (await client.get("/admin/v1/rules", headers=ADMIN)).json()["items"] == []
            other.execute("ROLLBACK")
        assert (await set_rule(client, "a")).status_code == 201


async def test_plugins_say_how_they_are(client):
    body = (await client.get("/admin/v1/plugins", headers=ADMIN)).json()
    assert body["items"] == [
        {"name": "broken", "healthy": False, "detail": "no binary", "facts": {}, "distribution": "a", "items": []},
        {
            "name": "haproxy",
            "healthy": True,
            "detail": "up to date",
            "facts": {"servers": 3},
            "distribution": "b",
            "items": [{"name": "n1", "weight": 1}],
        },
    ]


class TestDocument:
    async def test_is_valid_and_describes_the_routes_that_there_are(self, client):
        described = (await client.get("/admin/openapi.json")).json()
        validate(described)
        said = {
            (method.upper(), re.sub(r"{\w+}", "{}", path))
            for path, item in described["paths"].items()
            for method in item
            if method != "parameters" and path.startswith("/admin/v1/")
        }
        there = {
            (method, "/" + re.sub(r"<[^>]+>", "{}", route.path))
            for route in client.app.router.routes
            for method in route.methods - {"HEAD", "OPTIONS"}  # they are everywhere
            if route.path.startswith("admin/v1/")
        }
        assert there == said

    async def test_no_word_of_the_api_hides_a_thing_of_that_name(self, client):
        described = (await client.get("/admin/openapi.json")).json()["paths"]
        read = [path for path, item in described.items() if "get" in item]
        patterns = {path: re.compile(re.sub(r"{\w+}", "[^/]+", path)) for path in read}
        assert [
            (path, other) for path in read for other in read if path != other and patterns[other].fullmatch(path)
        ] == []

    async def test_two_parts_must_not_disagree(self):
        one = Part({"name": "x"}, {"/x": {"get": {}}}, {})
        with pytest.raises(ValueError, match="/x"):
            document([one, Part({"name": "y"}, {"/x": {"get": {"summary": "other"}}}, {})])

    async def test_swagger_ui_is_served_from_here_only(self, client):
        page = await client.get("/admin/docs")
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert "<script>" not in page.text
        assert not [link for link in links if "//" in link]
        for link in links:
            if not link.startswith("data:"):
                file = await client.get(f"/admin/{link}")
                assert file.status_code == 200
                assert file.headers["x-content-type-options"] == "nosniff"
        assert code(await client.get("/admin/docs/../v1/nodes"))[0] in (401, 404)
        assert code(await client.get("/admin/docs/%2e%2e/admin_api.py")) == (404, "not_found")
