"""The chat example in a real browser, served by the development cluster."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
async def cluster() -> AsyncIterator[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "wsplatform",
        "cluster",
        "--nodes",
        "2",
        "--port",
        "0",
        "--json",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 40)
        yield json.loads(line)
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 20)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        await browser.close()


async def open_page(browser: Browser, url: str, problems: list[str]) -> Page:
    page = await (await browser.new_context()).new_page()
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.goto(f"{url}/examples/chat/")
    await expect(page.get_by_role("status")).to_have_text("connected")
    return page


async def test_two_visitors_on_two_nodes_talk_to_each_other(cluster: dict[str, Any], browser: Browser) -> None:
    problems: list[str] = []
    ann, bob = [await open_page(browser, node["url"], problems) for node in cluster["nodes"]]
    await expect(bob.get_by_text("You are in.")).to_be_visible()
    await ann.get_by_label("Your name").fill("Ann")
    await ann.get_by_role("textbox", name="Message").fill("<b>hello</b> & goodbye")
    await ann.get_by_role("button", name="Send").click()
    await expect(bob.locator("li.message")).to_have_text("Ann <b>hello</b> & goodbye")
    await expect(ann.locator("li.message")).to_have_count(1)
    assert problems == []


async def test_the_page_works_through_the_balancer(cluster: dict[str, Any], browser: Browser, tmp_path: Path) -> None:
    assert cluster["balancer"]
    problems: list[str] = []
    page = await open_page(browser, cluster["balancer"], problems)
    await page.get_by_role("textbox", name="Message").fill("through the balancer")
    await page.keyboard.press("Enter")
    await expect(page.locator("li.message")).to_contain_text("through the balancer")
    assert problems == []
