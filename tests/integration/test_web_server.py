"""What every Sanic app of a process does, whatever it serves: methods, errors, several apps side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sanic import Blueprint, HTTPResponse, Request
from sanic.response import json
from sanic.server.protocols.http_protocol import HttpProtocol

from tests.integration.registry.support import running
from tests.support.no_cluster import NO_CLUSTER
from wsplatform.app.registry import operators_face
from wsplatform.model import ChannelRule
from wsplatform.net.listen import bind
from wsplatform.web.server import WebServer, make_app

ADMIN = {"X-API-Key": "a" * 40}


def things(name: str) -> Blueprint:
    """GET and POST of a fixed path, PUT and DELETE of paths."""

    async def answer(request: Request, **_: str) -> HTTPResponse:
        body = {"app": name, "method": request.method, "kept": len(request.body)}
        return json(body, headers={"x-app": name})

    blueprint = Blueprint(name, url_prefix="/things")
    blueprint.add_route(answer, "", methods=["GET", "POST"], name="all")
    blueprint.add_route(answer, "/<path:path>", methods=["PUT", "DELETE"], name="one")
    return blueprint


@asynccontextmanager
async def served(name: str) -> AsyncIterator[int]:
    """The port of an app of that name."""
    listener = bind("127.0.0.1", 0)
    server = WebServer(make_app(name, [things(name)], 100_000), listener, HttpProtocol)
    await server.start()
    try:
        yield listener.getsockname()[1]
    finally:
        await server.stop()


async def exchange(port: int, method: str, path: str, more: str = "") -> tuple[int, dict[str, str], bytes]:
    """Status, headers, and every byte that came after them until the server closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nConnection: close\r\n{more}\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *lines = head.decode().split("\r\n")
    return (
        int(status.split()[1]),
        {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)},
        body,
    )


def methods(headers: dict[str, str]) -> set[str]:
    return {method.strip() for method in headers["allow"].split(",")}


async def test_two_apps_of_one_process_answer_head_and_options() -> None:
    async with served("left") as left, served("right") as right:
        for port, name in ((left, "left"), (right, "right")):
            status, get, content = await exchange(port, "GET", "/things")
            assert (status, get["x-app"]) == (200, name)
            status, head, body = await exchange(port, "HEAD", "/things")
            assert (status, head["x-app"], body) == (200, name, b"")
            assert head["content-type"] == get["content-type"]
            assert int(head["content-length"]) == len(content.replace(b"GET", b"HEAD"))
            status, headers, body = await exchange(port, "OPTIONS", "/things")
            assert (status, methods(headers), body) == (204, {"GET", "HEAD", "POST", "OPTIONS"}, b"")
            status, headers, body = await exchange(port, "OPTIONS", "/things/a/b")
            assert (status, methods(headers), body) == (204, {"PUT", "DELETE", "OPTIONS"}, b"")


async def test_nothing_else_is_opened_by_it() -> None:
    async with served("closed") as port:
        assert (await exchange(port, "HEAD", "/things/a"))[0] == 405
        assert (await exchange(port, "PUT", "/things/a"))[0] == 200
        for method in ("HEAD", "OPTIONS", "GET"):
            assert (await exchange(port, method, "/nothing"))[0] == 404
        for method in ("TRACE", "CONNECT"):
            assert (await exchange(port, method, "/things"))[0] == 405
        for method in ("GET", "OPTIONS"):
            headers = (await exchange(port, method, "/things"))[1]
            assert not [name for name in headers if name.startswith("access-control-")]


async def test_variables_that_sanic_would_read_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("CORS", "true"), ("HTTP_ALL_METHODS", "true"), ("FALLBACK_ERROR_FORMAT", "html")):
        monkeypatch.setenv(f"SANIC_{name}", value)
    async with served("environment") as port:
        status, headers, _ = await exchange(port, "TRACE", "/things")
        assert (status, headers["content-type"]) == (405, "application/json")
        assert not [name for name in headers if name.startswith("access-control-")]


async def test_a_head_of_the_admin_api_needs_its_key_and_tells_no_more_than_the_get(sanic_client: Any) -> None:
    async with running(":memory:", fallback_rule=ChannelRule(pattern="*")) as registry:
        app = make_app("admin-methods", operators_face(registry, dict, NO_CLUSTER), 100_000)
        client = await sanic_client(app, trust_env=False)
        for path in ("/admin/v1/nodes", "/admin/v1/rules", "/admin/v1/rules/test?channel=a", "/admin/v1/keys"):
            assert (await client.head(path)).status_code == 401
            get, head = await client.get(path, headers=ADMIN), await client.head(path, headers=ADMIN)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == get.headers["content-length"]
        for path in ("/admin/docs", "/admin/openapi.json"):
            assert (await client.head(path)).status_code == 200
        reply = await client.options("/admin/v1/keys")
        assert (reply.status_code, methods(reply.headers)) == (204, {"GET", "HEAD", "POST", "OPTIONS"})
        reply = await client.options("/admin/v1/rules/chat%3A%2A")
        assert methods(reply.headers) == {"PUT", "DELETE", "OPTIONS"}
        reply = await client.options("/admin/v1/rules/test")
        assert methods(reply.headers) == {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}


async def test_a_head_as_large_as_the_settings_admit_is_read() -> None:
    async with served("heads") as port:
        status, _, _ = await exchange(port, "GET", "/things", f"Cookie: {'c' * 16_000}\r\n")
        assert status == 200


@pytest.mark.parametrize(
    ("how", "body"),
    [
        ("Content-Length: 90000", b"x" * 90_000),
        ("Transfer-Encoding: chunked", b"15f90\r\n" + b"x" * 90_000 + b"\r\n0\r\n\r\n"),
    ],
)
async def test_a_body_that_nobody_asked_for_is_not_kept(how: str, body: bytes) -> None:
    async with served("bodies") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for method in ("POST", "GET", "POST"):  # one after the other on one connection
            writer.write(f"{method} /things HTTP/1.1\r\nHost: a\r\n{how}\r\n\r\n".encode() + body)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            assert b'"kept":0' in await reader.readexactly(size)
        writer.write(b"GET /things HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 413 ")
        writer.close()
