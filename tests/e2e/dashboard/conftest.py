"""A real cluster, a real browser, and an operator in front of it, for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.e2e.dashboard.operators import Operator
from tests.support.processes import Cluster

CHROMIUM = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

Sit = Callable[..., Awaitable[Operator]]


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    settings = {"WSP_NODE__DRAIN_SECONDS": "0.5"}
    async with Cluster(tmp_path_factory.mktemp("dashboard"), settings=settings) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="package")
async def sit(browser: Browser) -> AsyncIterator[Sit]:
    """`await sit(cluster, …options of the browser's context)`: an operator, logged in."""
    operators: list[Operator] = []

    async def begin(cluster: Cluster, **options: object) -> Operator:
        context = await browser.new_context(**options)  # type: ignore[arg-type]
        operator = Operator(await context.new_page(), f"{cluster.registry.url}/dashboard/")
        operators.append(operator)
        await operator.arrive()
        await operator.log_in(cluster.admin_key)
        return operator

    yield begin
    for operator in operators:
        await operator.page.context.close()
