"""The page HAProxy beside a real one: what it has, what was done to it, and what is wrong, for people."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.e2e.dashboard.conftest import Sit
from tests.e2e.dashboard.operators import Operator
from tests.e2e.dashboard.test_accessibility import LOOKS
from tests.e2e.dashboard.test_work import client
from tests.support.documents import ROOT
from tests.support.haproxy import self_signed
from tests.support.processes import Cluster, free_port
from wsplatform.plugins.haproxy_control import Master
from wsplatform.plugins.haproxy_process import HAProxyProcess
from wsplatform.settings import HAProxyTable

pytestmark = pytest.mark.asyncio(loop_scope="package")


@dataclass(frozen=True, slots=True)
class Balanced:
    """A cluster, the HAProxy before it, whose certificate ends within a day, and a plugin of somebody else's."""

    cluster: Cluster
    haproxy: HAProxyProcess

    async def tell(self, command: str) -> None:
        """Have HAProxy do something behind the plugin's back."""
        await Master(self.haproxy.table.master_socket).obey(command)


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def balanced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Balanced]:
    folder = tmp_path_factory.mktemp("balanced")
    certificate = self_signed(folder / "site.pem")
    table = HAProxyTable(tls_bind=f"127.0.0.1:{free_port()}", certificate=str(certificate), check_seconds=0.5)
    haproxy = HAProxyProcess(table, f"127.0.0.1:{free_port()}")
    await haproxy.start()
    try:
        settings = {**haproxy.environment(), **plugin_targets(folder)}
        async with Cluster(folder, settings=settings) as cluster:
            yield Balanced(cluster, haproxy)
    finally:
        await haproxy.stop()


def plugin_targets(folder: Path) -> dict[str, str]:
    """The environment in which the example of a plugin is found, as if it were installed."""
    metadata = folder / "wsplatform_targets-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: wsplatform-targets\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[wsplatform.plugins]\ntargets = wsplatform_targets:create\n")
    return {
        "PYTHONPATH": f"{folder}:{ROOT / 'examples' / 'plugin-targets'}",
        "WSPLATFORM_TARGETS_FILE": str(folder / "targets.json"),
    }


def fact(operator: Operator, name: str) -> Locator:
    return operator.page.locator(".facts > div").filter(has_text=name).locator("dd")


async def test_the_servers_stand_beside_the_nodes_and_drift_is_told(balanced: Balanced, sit: Sit) -> None:
    cluster = balanced.cluster
    operator = await sit(cluster)
    page = operator.page
    await expect(operator.shown("HAProxy's certificate ends in 23 h")).to_be_visible()  # on the overview
    await page.get_by_role("link", name="HAProxy").last.click()
    await expect(operator.heading("HAProxy")).to_be_visible()
    await expect(page.get_by_text("In step: HAProxy has view")).to_be_visible()
    await expect(page.get_by_text("Put a new one in its file")).to_be_visible()
    for node in cluster.nodes:
        row = operator.row(node.name).filter(has_text=f"127.0.0.1:{node.port}")
        await expect(row).to_contain_text("up")
        await expect(row.get_by_role("link", name=node.name)).to_be_visible()
    assert await operator.figure("Servers up") == "3 of 3"
    assert await operator.figure("Drifts put right") == "0"
    async with client(cluster, "ann", 1):
        await expect(operator.row("n2").get_by_role("cell").last).to_have_text("1")
    await expect(fact(operator, "Last drift")).to_have_text("none since the plugin began")
    await balanced.tell("set server nodes/n3 weight 7")
    await expect(fact(operator, "Last drift")).to_contain_text("n3 had weight 7 instead of 1")
    assert await operator.figure("Drifts put right") == "1"
    targets = page.locator("section").filter(has=page.get_by_role("heading", name="Plugin targets"))
    await expect(targets).to_contain_text("In step: ")
    await expect(targets.locator(".facts")).to_contain_text("targets.json")
    assert operator.problems == []


async def test_a_balancer_that_is_not_reached_needs_attention_until_it_is_again(balanced: Balanced, sit: Sit) -> None:
    operator = await sit(balanced.cluster)
    page = operator.page
    os.kill(balanced.haproxy.pid, signal.SIGSTOP)
    try:
        await expect(operator.shown("HAProxy is not in step: HAProxy is not reached")).to_be_visible(timeout=20_000)
        await operator.go("haproxy", "HAProxy")
        await expect(page.get_by_text("Not in step: HAProxy is not reached")).to_be_visible()
        await expect(page.get_by_text("HAProxy's side as last seen")).to_be_visible()
        await expect(operator.row("n1")).to_be_visible()  # what was known stays
    finally:
        os.kill(balanced.haproxy.pid, signal.SIGCONT)
    await expect(page.get_by_text("In step: HAProxy has view")).to_be_visible(timeout=40_000)
    await expect(fact(operator, "Last error")).to_contain_text("haproxy_unreachable")
    assert operator.problems == []


@pytest.mark.parametrize("look", LOOKS)
async def test_axe_finds_nothing(balanced: Balanced, sit: Sit, look: str) -> None:
    scheme, size = LOOKS[look]
    operator = await sit(balanced.cluster, color_scheme=scheme, viewport=size, reduced_motion="reduce")
    await operator.go("haproxy", "HAProxy")
    await expect(operator.row("n1")).to_be_visible()
    assert (await operator.findings(), await operator.wider_than_the_window()) == ([], 0)
    assert operator.problems == []


async def test_without_the_plugin_the_page_says_how_to_have_it(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    await operator.go("haproxy", "HAProxy")
    await expect(operator.page.get_by_text("The plugin for HAProxy does not run.")).to_be_visible()
    await expect(operator.row("n1")).to_contain_text("yes")
    assert operator.problems == []


async def test_a_plugin_that_could_not_start_says_why(tmp_path: Path, sit: Sit) -> None:
    settings = {"WSP_HAPROXY__ENABLED": "true", "WSP_HAPROXY__BINARY": "haproxy-that-is-not-there"}
    async with Cluster(tmp_path, nodes=1, settings=settings) as cluster:
        operator = await sit(cluster)
        await expect(operator.shown("HAProxy is not in step: HAProxy (haproxy-that-is-not")).to_be_visible()
        await operator.go("haproxy", "HAProxy")
        await expect(operator.page.get_by_text("apt-get install haproxy")).to_be_visible()
        await expect(operator.row("n1")).to_contain_text("yes")
        assert operator.problems == []
