"""Swagger UI in a real browser: nothing from elsewhere, nothing that the content security policy refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright, expect
from sanic.server.protocols.http_protocol import HttpProtocol

from tests.integration.registry.support import Node, running
from tests.support.no_cluster import NO_CLUSTER
from wsplatform.app.registry import operators_face
from wsplatform.net.listen import bind
from wsplatform.web.server import WebServer, make_app

CHROMIUM = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with running(dead_seconds=60) as registry:
        await Node("node-a").register(registry)
        with bind("127.0.0.1", 0) as listener:
            server = WebServer(
                make_app("docs-page", operators_face(registry, dict, NO_CLUSTER), 1_000_000), listener, HttpProtocol
            )
            await server.start()
            host, port = listener.getsockname()
            yield f"http://{host}:{port}"
            await server.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        await browser.close()


async def test_an_operator_reads_authorizes_and_tries(url: str, browser: Browser) -> None:
    problems: list[str] = []
    asked: list[str] = []
    page = await (await browser.new_context()).new_page()
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{url}/admin/docs")
    await expect(page.get_by_text("The nodes of the cluster").first).to_be_visible()
    await expect(page.get_by_text("Publish on a channel")).to_have_count(2)  # by operators and by backends
    await page.get_by_role("button", name="Authorize").first.click()
    await page.get_by_role("textbox").first.fill("a" * 40)
    await page.get_by_role("button", name="Apply credentials").first.click()
    await page.get_by_role("button", name="Close").last.click()
    await page.get_by_text("The nodes of the cluster").first.click()
    await page.get_by_role("button", name="Try it out").click()
    await page.get_by_role("button", name="Execute").click()
    await expect(page.get_by_text("node-a").first).to_be_visible()
    assert problems == []
    assert all(address.startswith((url, "data:", "blob:")) for address in asked)
