"""What an operator does in a day, in Chromium against a real cluster, with nothing for the browser to complain of."""

from __future__ import annotations

import re

import jwt
import pytest
from playwright.async_api import expect

from tests.e2e.dashboard.conftest import Sit
from tests.e2e.dashboard.operators import Operator
from tests.support.client import Client, Refused
from tests.support.processes import Cluster
from tests.support.wait import eventually

pytestmark = pytest.mark.asyncio(loop_scope="package")


def client(cluster: Cluster, user: str, node: int = 0) -> Client:
    token = jwt.encode({"sub": user}, cluster.token_secret, algorithm="HS256")
    return Client(cluster.http, cluster.nodes[node].url, token)


async def test_a_wrong_key_is_refused_with_a_sentence(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    await operator.page.get_by_role("button", name="Log out").click()
    await expect(operator.page.get_by_text("You are logged out.")).to_be_visible()
    assert operator.problems == []
    await operator.page.get_by_label("Admin key").fill("f" * 64)
    await operator.page.keyboard.press("Enter")
    await expect(operator.page.get_by_role("alert").get_by_text("not known")).to_be_visible()


async def test_a_session_outlives_a_reload(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    await operator.go("nodes", "Nodes")
    await operator.page.reload()
    await expect(operator.heading("Nodes")).to_be_visible()
    await expect(operator.row("n1")).to_be_visible()
    assert operator.problems == []


async def test_a_second_page_may_log_in_anew(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    second = Operator(await operator.page.context.new_page(), operator.page.url)
    await second.arrive()
    await second.page.get_by_role("button", name="Log out").click()
    await second.log_in(cluster.admin_key)
    await operator.go("channels/a", "a")
    await operator.page.get_by_role("button", name="Publish").click()
    await expect(operator.page.get_by_text("Published at")).to_be_visible()
    assert second.problems == []


async def test_numbers_move_while_clients_connect(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    before = await operator.figure("Sessions")
    async with client(cluster, "ann"), client(cluster, "bob", 1), client(cluster, "cat", 2):
        sessions = operator.page.locator(".figure").filter(has_text="Sessions").locator("dd")
        await expect(sessions).to_have_text(str(int(before) + 3))
        for number in (1, 2, 3):
            await expect(operator.page.locator("a.box").filter(has_text=f"n{number}")).to_contain_text("1 session")
    await expect(sessions).to_have_text(before)
    assert operator.problems == []
    assert all(address.startswith((cluster.registry.url, "data:")) for address in operator.asked)


async def test_a_rule_is_made_tried_changed_and_deleted(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    page, dialog = operator.page, operator.dialog()
    await operator.go("rules", "Rules")
    await page.get_by_role("button", name="Make a rule").click()
    await dialog.get_by_label("Pattern").fill("x/*")
    await dialog.get_by_label("Who may subscribe").select_option("anyone")
    await dialog.get_by_role("button", name="Make it").click()
    await expect(operator.row("x/*")).to_contain_text("anonymous clients too")
    await page.get_by_label("Channel", exact=True).fill("x/y")
    await expect(page.get_by_role("status").filter(has_text="x/*").first).to_contain_text("only backends")
    await page.get_by_role("button", name="Edit x/*").click()
    await dialog.get_by_label("Largest publication").fill("many")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("whole number")
    await dialog.get_by_label("Largest publication").fill("2048")
    await dialog.get_by_role("button", name="Save").click()
    await expect(operator.row("x/*")).to_contain_text("2 KiB")
    await page.get_by_role("button", name="Delete x/*").click()
    await dialog.get_by_role("button", name="Delete it").click()
    await expect(operator.row("x/*")).to_have_count(0)
    assert operator.problems == []


async def test_a_message_is_published_and_seen_to_arrive(cluster: Cluster, sit: Sit) -> None:
    name = "odd/<b>&\"'?#%41:é"
    await cluster.admin("PUT", "rules/odd*", {"subscribe": "users", "publish": "subscribers"})
    operator = await sit(cluster)
    page = operator.page
    async with client(cluster, "<i>ann</i>", 1) as ann:
        await eventually(lambda: subscribed(ann, name))
        await operator.go("channels", "Channels")
        await page.get_by_role("link", name=name).first.click()
        await expect(operator.heading(name)).to_be_visible()
        await expect(page.get_by_role("heading", name="1 subscriber")).to_be_visible()
        await page.get_by_role("button", name="Watch").click()
        await expect(page.get_by_text("Watching")).to_be_visible()
        await page.get_by_label("Data, as JSON").fill("{")
        await page.get_by_role("button", name="Publish").click()
        await expect(page.get_by_text("This is not JSON")).to_be_visible()
        await page.get_by_label("Data, as JSON").fill('{"text": "<img src=x onerror=alert(1)>"}')
        await page.get_by_role("button", name="Publish").click()
        await eventually(lambda: ann.publications[name] == [{"text": "<img src=x onerror=alert(1)>"}])
        seen = page.get_by_role("region", name="Publications, newest first").get_by_role("listitem")
        await expect(seen.first).to_contain_text('{"text":"<img src=x onerror=alert(1)>"}')
        await ann.publish(name, "from a client")
        await expect(seen.first).to_contain_text("<i>ann</i>")
        await expect(seen).to_have_count(2)
    assert operator.problems == []


async def subscribed(client: Client, channel: str) -> bool:
    try:
        await client.subscribe(channel)
    except Refused:  # the rule is not there yet
        return False
    return True


async def test_a_session_is_found_and_disconnected(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    page = operator.page
    async with client(cluster, "dora", 2) as dora, client(cluster, "emil"):
        await operator.go("sessions", "Sessions")
        await page.get_by_role("button", name="Slow readers").click()
        await expect(page.get_by_text("No client reads slowly")).to_be_visible()
        await page.get_by_role("group", name="Which sessions").get_by_role("button", name="All").click()
        await page.get_by_label("User", exact=True).fill("dora")
        await expect(operator.row("n3")).to_contain_text("dora")
        await expect(operator.row("emil")).to_have_count(0)
        await page.get_by_role("link", name=dora.id).click()
        await expect(operator.heading(dora.id)).to_be_visible()
        await page.get_by_role("button", name="Disconnect").click()
        await operator.dialog().get_by_role("button", name="Disconnect").click()
        await eventually(lambda: dora.close_code is not None)
        await expect(page.get_by_text("This session has ended")).to_be_visible()
    # Chromium logs the answer 404, which is how the page knows.
    assert [problem for problem in operator.problems if "404" not in problem] == []


async def test_a_key_is_made_shown_once_used_and_revoked(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster, permissions=["clipboard-read", "clipboard-write"])
    page, dialog = operator.page, operator.dialog()
    await operator.go("keys", "Keys")
    await page.get_by_role("button", name="Make a key").click()
    await dialog.get_by_label("Name").fill("shop")
    await dialog.get_by_label("Only these channels").fill("orders:*\nstock")
    await dialog.get_by_role("button", name="Make it").click()
    await expect(dialog.get_by_text("shown this once")).to_be_visible()
    await dialog.get_by_role("button", name="Copy").click()
    await expect(dialog.get_by_role("status")).to_have_text("Copied.")
    key = await dialog.get_by_label("Key").input_value()
    assert await page.evaluate("navigator.clipboard.readText()") == key
    await dialog.get_by_role("button", name="I have it").click()
    await expect(operator.row("shop")).to_contain_text("orders:* stock")
    assert key not in await page.content()
    await eventually(lambda: accepted(cluster, key))
    await page.get_by_role("button", name="Revoke shop").click()
    await dialog.get_by_role("button", name="Revoke it").click()
    await expect(operator.row("shop")).to_have_count(0)
    await eventually(lambda: refused(cluster, key))
    await operator.go("audit", "Audit")
    await expect(operator.row("made the key").first).to_be_visible()
    await expect(operator.row("revoked the key").first).to_be_visible()
    assert operator.problems == []


async def accepted(cluster: Cluster, key: str) -> bool:
    async with cluster.http.post(
        f"{cluster.nodes[0].url}/api/publish", json={"channel": "stock", "data": 1}, headers={"X-API-Key": key}
    ) as response:
        return response.status == 200 and "result" in await response.json()


async def refused(cluster: Cluster, key: str) -> bool:
    return not await accepted(cluster, key)


async def test_slash_finds_a_node_and_the_theme_is_kept(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    page = operator.page
    await page.keyboard.press("/")
    await page.keyboard.type("n2")
    await expect(page.get_by_role("option").first).to_contain_text("n2")
    await page.keyboard.press("Enter")
    await expect(operator.heading("n2")).to_be_visible()
    await page.get_by_role("button", name=re.compile("Colours")).click()
    await page.get_by_role("button", name=re.compile("Colours")).click()
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert operator.problems == []


async def test_charts_show_what_was_counted_as_a_picture_and_as_a_table(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    page = operator.page
    async with client(cluster, "fay"):
        await operator.go("nodes/n1", "n1")
        sessions = page.get_by_role("img", name=re.compile("^Sessions, last 15 min. last 1,"))
        await expect(sessions).to_be_visible(timeout=30_000)
        assert await sessions.locator("canvas").count() == 1
        await page.get_by_role("button", name="Table of Sessions").click()
        await expect(page.get_by_role("region", name="Sessions, as a table").get_by_role("row").nth(1)).to_contain_text(
            "1"
        )
        await page.get_by_role("button", name="30 d").click()
        await expect(page.get_by_text("Loading …")).to_have_count(0)
        await page.get_by_role("button", name="Table of Sessions").click()
        await expect(page.get_by_role("img", name=re.compile("^Sessions, last 30 d"))).to_be_visible()
    assert operator.problems == []
