"""Every page for everybody: axe finds nothing, light, dark and on a phone, and the keyboard is enough."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from playwright.async_api import ViewportSize, expect

from tests.e2e.dashboard.conftest import Sit
from tests.e2e.dashboard.test_work import client
from tests.support.processes import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="package")

LARGE, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=360, height=740)
LOOKS = {"light": ("light", LARGE), "dark": ("dark", LARGE), "phone": ("light", PHONE)}


@pytest.mark.parametrize("look", LOOKS)
async def test_axe_finds_nothing_on_any_page(cluster: Cluster, sit: Sit, look: str) -> None:
    scheme, size = LOOKS[look]
    await cluster.admin("PUT", "rules/a*", {"subscribe": "users"})
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client(cluster, f"user-{number}", number)) for number in range(3)]
        operator = await sit(cluster, color_scheme=scheme, viewport=size, reduced_motion="reduce")
        found = {}
        pages = {
            "overview": "Overview",
            "nodes": "Nodes",
            "nodes/n1": "n1",
            "links": "Links",
            "channels": "Channels",
            "channels/a:1": "a:1",
            "sessions": "Sessions",
            f"sessions/{clients[0].id}": clients[0].id,
            "rules?test=a:1": "Rules",
            "keys": "Keys",
            "audit": "Audit",
            "haproxy": "HAProxy",
            "nowhere": "No such page",
        }
        for place, title in pages.items():
            await operator.go(place, title)
            await expect(operator.page.get_by_text("Loading …")).to_have_count(0)
            found[place] = await operator.findings(), await operator.wider_than_the_window()
            assert (
                await operator.page.evaluate("document.querySelector('.page').firstElementChild.className") == "title"
            )
        for place, button in {"keys": "Make a key …", "rules": "Make a rule …"}.items():
            await operator.go(place, pages.get(place, "Rules"))
            await operator.page.get_by_role("button", name=button).click()
            found[f"dialog of {place}"] = await operator.findings(), await operator.wider_than_the_window()
            await operator.page.keyboard.press("Escape")
        await operator.page.get_by_role("button", name="Log out").click()
        await expect(operator.page.get_by_label("Admin key")).to_be_visible()
        found["login"] = await operator.findings(), await operator.wider_than_the_window()
    assert {place: what for place, what in found.items() if what != ([], 0)} == {}
    assert operator.problems == []


async def test_a_rule_is_made_without_a_mouse(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    page = operator.page
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Admin key")).to_be_focused()
    await page.keyboard.type(cluster.admin_key)
    await page.keyboard.press("Enter")
    await expect(operator.heading("Overview")).to_be_visible()

    async def tab_to(name: str) -> None:
        for _ in range(60):
            await page.keyboard.press("Tab")
            focused = await page.evaluate(
                "document.activeElement.innerText || document.activeElement.labels?.[0]?.innerText"
            )
            if focused and focused.startswith(name):
                return
        raise AssertionError(f"{name} is not reached by Tab")

    await tab_to("Rules")
    await page.keyboard.press("Enter")
    await expect(operator.heading("Rules")).to_be_focused()
    await tab_to("Make a rule")
    await page.keyboard.press("Enter")
    await expect(operator.dialog()).to_be_visible()
    await expect(operator.dialog().get_by_label("Pattern")).to_be_focused()
    await page.keyboard.type("keyboard:*")
    await tab_to("Make it")
    await page.keyboard.press("Space")
    await expect(operator.row("keyboard:*")).to_be_visible()
    await expect(page.get_by_role("button", name="Make a rule …")).to_be_focused()
    await page.get_by_role("button", name="Delete keyboard:*").focus()
    await page.keyboard.press("Enter")
    await operator.dialog().get_by_role("button", name="Delete it").focus()
    await page.keyboard.press("Enter")
    await expect(operator.row("keyboard:*")).to_have_count(0)
    await expect(operator.heading("Rules")).to_be_focused()  # what had the focus has gone
    assert operator.problems == []
