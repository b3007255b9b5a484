"""The HTTP side of the server API on one node: keys, statuses, and input that must be refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loguru import logger

from tests.support.api_nodes import API, Nodes

OK = (200, {"result": {}})


class Http:
    """Posts to one node; `nodes` is what stands behind it."""

    def __init__(self, nodes: Nodes, client: Any) -> None:
        self.nodes = nodes
        self.client = client

    @property
    def publications(self) -> int:
        return self.nodes[0].publisher.publications

    async def post(self, path: str, content: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and body; with the right key, unless `headers` say otherwise."""
        sent = {"X-API-Key": self.nodes.key} if headers is None else headers
        response = await self.client.post(f"/api/{path}", content=content, headers=sent)
        assert response.headers["content-type"] == "application/json"
        return response.status_code, response.json()

    async def call(self, method: str, headers: dict[str, str] | None = None, **params: Any) -> tuple[int, Any]:
        return await self.post(method, json.dumps(params).encode(), headers)

    def headers(self, **more: str) -> dict[str, str]:
        return {"X-API-Key": self.nodes.key} | {name.replace("_", "-"): value for name, value in more.items()}


@pytest.fixture
async def http(sanic_client: Any) -> AsyncIterator[Http]:
    async with Nodes(1, listening=False) as nodes:
        yield Http(nodes, await sanic_client(nodes[0].app, trust_env=False))


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"channel": "$private", "data": 1}, 103),
        ({"channel": "", "data": 1}, 107),
        ({"channel": "a\nb", "data": 1}, 107),
        ({"channel": "x" * 256, "data": 1}, 107),
        ({"channel": "news", "data": "x" * API.max_publication_bytes}, 106),
        ({"channel": "news", "data": 1, "tags": {"k": "v" * API.max_publication_bytes}}, 106),
        ({"channel": "small:1", "data": "x" * 100}, 106),
        ({"channel": 5, "data": 1}, 107),
        ({"channel": "news"}, 107),
        ({"channel": "news", "data": 1, "idempotency_key": "k"}, 108),
        ([], 107),
    ],
)
async def test_what_cannot_be_published_is_answered_with_its_code(http: Http, params: Any, code: int) -> None:
    status, answer = await http.post("publish", json.dumps(params).encode())
    assert (status, set(answer), answer["error"]["code"]) == (200, {"error"}, code)
    assert answer["error"]["message"]
    assert http.publications == 0


async def test_a_channel_without_a_rule_is_unknown(http: Http) -> None:
    http.nodes.set_rules("chat:*")
    for method, params in (("publish", {"data": 1}), ("subscribe", {"user": "u"}), ("unsubscribe", {"user": "u"})):
        _, answer = await http.call(method, channel="news", **params)
        assert answer["error"]["code"] == 102
    assert await http.call("publish", channel="chat:1", data=1) == OK


async def test_the_log_names_the_key_and_the_channel_of_what_is_refused_and_says_it_once(http: Http) -> None:
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(message.record["message"]))
    http.nodes.set_rules("chat:*")
    for _ in range(3):
        await http.call("publish", channel="ordres:1\n", data=1)
        await http.call("publish", channel="ordres:1", data={"secret": 1})
    logger.remove(handler)
    told = [line for line in lines if line.startswith("Backend with key ")]
    assert len(told) == 2
    assert told[0].endswith("[bad_request]")
    assert "publish on 'ordres:1' refused: unknown channel" in told[1]
    assert all(line.isprintable() and "secret" not in line and http.nodes.key not in line for line in told)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, 107),
        (b"{", 400, 107),
        (b"nonsense", 400, 107),
        (b'{"channel":"news","data":"\xff"}', 400, 107),
        (b"[" * 50_000, 400, 107),
        (b'{"channel":"news","data":' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400, 107),
        (b'{"channel":"news","data":' + b"[" * 100 + b"]" * 100 + b"}", 200, 107),
        (b'{"channel":"news","data":"' + b"x" * API.max_request_bytes + b'"}', 413, 106),
        (b'{"channel":"news","data":"' + b"x" * 20_000_000 + b'"}', 413, 106),
    ],
)
async def test_a_body_that_is_no_command(http: Http, content: bytes, status: int, code: int) -> None:
    answered, answer = await http.post("publish", content)
    assert (answered, answer["error"]["code"]) == (status, code)
    assert await http.call("publish", channel="news", data=1) == OK


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "application/octet-stream", ""])
async def test_the_content_type_does_not_matter(http: Http, kind: str) -> None:
    assert await http.call("publish", http.headers(content_type=kind), channel="news", data=1) == OK


async def test_a_key_with_scope_api_is_let_in_by_either_header(http: Http) -> None:
    both = http.nodes.add_key("admin", "api")
    for headers in (
        {"X-API-Key": http.nodes.key},
        {"x-api-key": both},
        {"Authorization": f"apikey {http.nodes.key}"},
        {"Authorization": f"ApiKey  {http.nodes.key}"},
    ):
        assert await http.call("publish", headers, channel="news", data=1) == OK
    assert http.publications == 4


async def test_without_the_right_key_nothing_is_done(http: Http) -> None:
    key = http.nodes.key
    for headers in (
        {},
        {"X-API-Key": ""},
        {"X-API-Key": key[:-1] + ("0" if key[-1] != "0" else "1")},
        {"X-API-Key": key.upper()},
        {"X-API-Key": "x" * 5_000},
        {"Authorization": f"Bearer {key}"},
        {"Authorization": "apikey"},
        {"Authorization": key},
    ):
        status, answer = await http.call("publish", headers, channel="news", data=1)
        assert (status, answer["error"]["code"]) == (401, 101)
        assert key not in answer["error"]["message"]
    assert http.publications == 0


async def test_a_key_that_was_revoked_is_not_known(http: Http) -> None:
    key = http.nodes.add_key("api")
    assert (await http.call("info", {"X-API-Key": key}))[0] == 200
    http.nodes.drop_keys(key)
    assert (await http.call("info", {"X-API-Key": key}))[0] == 401
    assert (await http.call("info"))[0] == 200


async def test_a_key_in_the_url_is_refused_with_the_reason(http: Http) -> None:
    status, answer = await http.post(f"info?api_key={http.nodes.key}", b"{}", {})
    assert status == 401
    assert "URL" in answer["error"]["message"]


async def test_an_admin_key_is_no_key_for_backends(http: Http) -> None:
    status, answer = await http.call("info", {"X-API-Key": http.nodes.add_key("admin")})
    assert (status, answer["error"]["code"]) == (403, 103)


@pytest.mark.parametrize("method", ["presence", "presence_stats", "history", "history_remove", "refresh"])
async def test_methods_that_are_not_there_yet(http: Http, method: str) -> None:
    status, answer = await http.call(method, channel="news")
    assert (status, answer["error"]["code"]) == (200, 108)


async def test_methods_that_nobody_has(http: Http) -> None:
    status, answer = await http.call("nothing")
    assert (status, answer["error"]["code"]) == (404, 104)
    assert "publish" in answer["error"]["message"]


@pytest.mark.parametrize("verb", ["get", "put", "patch", "delete", "options"])
async def test_other_verbs(http: Http, verb: str) -> None:
    response = await getattr(http.client, verb)("/api/publish", headers=http.headers())
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert response.json()["error"]["code"] == 104


async def test_errors_as_statuses_for_those_who_want_them_so(http: Http) -> None:
    headers = http.headers(x_centrifugo_error_mode="transport")
    assert await http.call("publish", headers, channel="news", data=1) == OK
    for channel, data, status, code in (("news", {}, 400, 107), ("$x", {"data": 1}, 403, 103)):
        answered, answer = await http.call("publish", headers, channel=channel, **data)
        assert (answered, answer["code"]) == (status, code)


async def test_a_node_that_has_no_rules_yet_says_so(sanic_client: Any) -> None:
    async with Nodes(1, listening=False, configured=False) as nodes:
        http = Http(nodes, await sanic_client(nodes[0].app, trust_env=False))
        response = await http.client.post("/api/info", json={}, headers=http.headers())
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert response.json()["error"]["code"] == 100
        nodes[0].policy.update(nodes.config)
        assert (await http.call("info"))[0] == 200


async def test_a_key_that_is_revoked_while_the_body_comes(http: Http) -> None:
    key, body = http.nodes.add_key("api"), b'{"channel": "news", "data": 1}'
    reader, writer = await asyncio.open_connection("127.0.0.1", http.client.port)
    head = f"Content-Length: {len(body)}\r\nX-API-Key: {key}\r\n\r\n".encode()
    writer.write(b"POST /api/publish HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + head)
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 100 ")  # it is let in
    http.nodes.drop_keys(key)
    writer.write(body)
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 401 ")
    assert http.publications == 0
    writer.close()
