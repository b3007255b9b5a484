"""The operators' face of a whole process: what the cookie of a session opens, and what a balancer makes of events."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.support.processes import Process, free_port
from tests.support.wait import eventually
from wsplatform.web.admin.cookies import LOCAL_NAME, SECURE_NAME

KEY = secrets.token_hex(32)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield http


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(tmp_path_factory: pytest.TempPathFactory, http: aiohttp.ClientSession) -> AsyncIterator[Process]:
    folder = tmp_path_factory.mktemp("all")
    environment = {
        "WSP_CLUSTER__SECRETS": secrets.token_hex(32),
        "WSP_REGISTRY__ADMIN_KEY": KEY,
        "WSP_REGISTRY__DATABASE": f"sqlite:///{folder}/registry.db",
        "WSP_CLIENT__ALLOW_ANONYMOUS": "false",
        "WSP_PROXY__TRUSTED": "127.0.0.2",
    }
    process = Process("all", ["--env", "test", "--role", "all"], environment, folder)
    process.start()
    try:
        await process.ready(http)
        yield process
    finally:
        process.end()


async def log_in(http: aiohttp.ClientSession, url: str) -> tuple[str, str]:
    """The cookie, and its token."""
    async with http.post(f"{url}/admin/v1/session", json={"key": KEY}) as response:
        assert response.status == 201, await response.text()
        return response.headers["set-cookie"].partition(";")[0], (await response.json())["csrf"]


async def test_the_cookie_opens_nothing_but_the_operators_face(process: Process, http: aiohttp.ClientSession) -> None:
    cookie, token = await log_in(http, process.url)
    assert cookie.startswith(f"{LOCAL_NAME}=")
    headers = {"Cookie": cookie, "X-CSRF-Token": token, "Sec-Fetch-Site": "same-origin"}
    async with http.get(f"{process.url}/admin/v1/nodes", headers=headers) as response:
        assert response.status == 200
    async with http.post(f"{process.url}/api/info", json={}, headers=headers) as response:
        assert response.status == 401
        assert "set-cookie" not in response.headers
    async with http.ws_connect(f"{process.url}/connection/websocket", headers={"Cookie": cookie}) as websocket:
        await websocket.send_str('{"id":1,"connect":{}}')
        message = await websocket.receive(5)
        assert message.type is aiohttp.WSMsgType.CLOSE or "error" in json.loads(message.data)


@pytest.fixture
async def balancer(process: Process, tmp_path: Path) -> AsyncIterator[str]:
    """HAProxy as an operator may put it before the operators' face, with a certificate; it is at 127.0.0.2."""
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    port = free_port()
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        f"""
defaults
    mode http
    timeout connect 2s
    timeout client 3s
    timeout server 3s
frontend operators
    bind 127.0.0.1:{port}
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    default_backend registry
backend registry
    server registry 127.0.0.1:{process.port} source 127.0.0.2
"""
    )
    haproxy = await asyncio.create_subprocess_exec("haproxy", "-db", "-f", str(config))
    yield f"http://127.0.0.1:{port}"
    haproxy.terminate()
    await haproxy.wait()


async def test_behind_a_balancer_with_https(balancer: str, process: Process, http: aiohttp.ClientSession) -> None:
    async def answers() -> bool:
        try:
            async with http.get(f"{balancer}/health/live") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    await eventually(answers)
    cookie, token = await log_in(http, balancer)
    assert cookie.startswith(f"{SECURE_NAME}=")
    headers = {"Cookie": cookie, "X-CSRF-Token": token, "Origin": balancer.replace("http", "https")}
    async with http.put(f"{balancer}/admin/v1/rules/news", json={}, headers=headers) as response:
        assert response.status == 201
        assert "max-age" in response.headers["strict-transport-security"]
    got = []
    async with http.get(f"{balancer}/admin/v1/events?topics=nodes,rules,metrics", headers=headers) as response:
        assert response.status == 200
        # Longer than the balancer waits for a server that says nothing.
        async with asyncio.timeout(20):
            while got.count("nodes") < 5:
                word, _, topic = (await response.content.readline()).decode().strip().partition(": ")
                got += [topic] if word == "event" else []
        assert {"nodes", "rules", "metrics"} <= set(got)
        async with http.delete(f"{balancer}/admin/v1/session", headers=headers) as ended:
            assert ended.status == 204
        async with asyncio.timeout(5):
            while not response.content.at_eof():
                await response.content.readany()
    async with http.get(f"{balancer}/admin/v1/events", headers=headers) as response:
        assert response.status == 401
