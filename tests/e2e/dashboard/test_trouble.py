"""A node is drained, the registry is killed and comes back: the page says what is not of now, and when it is again."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.e2e.dashboard.conftest import Sit
from tests.support.processes import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(loop_scope="package")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """One of its own."""
    settings = {"WSP_NODE__DRAIN_SECONDS": "0.5"}
    async with Cluster(tmp_path_factory.mktemp("trouble"), nodes=2, settings=settings) as cluster:
        yield cluster


async def test_a_drained_node_leaves_and_a_registry_that_was_away_is_told(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    page = operator.page
    await expect(operator.shown("Nodes and links are well: 2 nodes ready")).to_be_visible()

    await operator.go("nodes/n2", "n2")
    await page.get_by_role("button", name="Drain").click()
    await operator.dialog().get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Drain").click()
    await operator.dialog().get_by_role("button", name="Drain it").click()
    await expect(page.get_by_text("n2 is not in the view now")).to_be_visible(timeout=15_000)
    assert cluster.nodes[1].wait() == 0
    await operator.go("overview", "Overview")
    await expect(operator.shown("n2 was shut down in order")).to_be_visible()
    assert operator.problems == []

    cluster.registry.kill()
    await expect(operator.shown("No connection with the registry since")).to_be_visible()
    await expect(operator.state("Stale")).to_be_visible()
    await expect(page.locator("a.box")).to_have_count(1)  # what was known stays
    cluster.registry.start()
    await cluster.registry.ready(cluster.http)
    await expect(operator.state("Live")).to_be_visible(timeout=20_000)  # by itself
    await expect(operator.shown("No connection with the registry since")).to_be_hidden()
    # What failed meanwhile is in the console; the page itself has not.
    assert [problem for problem in operator.problems if "ERR_" not in problem] == []
