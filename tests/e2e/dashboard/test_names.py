"""What clients, users and operators call their things, shown to an operator: as text, whatever it is."""

from __future__ import annotations

from urllib.parse import quote

import jwt
import pytest
from playwright.async_api import expect

from tests.e2e.dashboard.conftest import Sit
from tests.support.client import Client
from tests.support.processes import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="package")

MARKUP = """"'><img src=x onerror="document.title='taken'"><script>document.title='taken'</script>&lt;"""
NAMES = [
    MARKUP,
    "__proto__",
    "constructor",
    "javascript:document.title='taken'",
    "a/../../keys",
    "\u202egnidoc",
    "%00%2f",
]


@pytest.mark.parametrize("name", NAMES)
async def test_names_are_text_on_every_page(cluster: Cluster, sit: Sit, name: str) -> None:
    pattern = f"{name}*"[:255]
    key = name if name.isprintable() else "a key must have a printable name"
    await cluster.admin("POST", "keys", {"name": key, "scopes": ["metrics"]})
    operator = await sit(cluster)
    page = operator.page
    await operator.go("rules", "Rules")
    await page.get_by_role("button", name="Make a rule").click()
    await operator.dialog().get_by_label("Pattern").fill(pattern)
    await operator.dialog().get_by_label("Who may subscribe").select_option("anyone")
    await operator.dialog().get_by_role("button", name="Make it").click()
    await expect(operator.row(pattern).first).to_be_visible()
    token = jwt.encode({"sub": name, "info": {"name": name}}, cluster.token_secret, algorithm="HS256")
    async with Client(cluster.http, cluster.nodes[0].url, token, name) as client:
        await client.subscribe(name)
        await cluster.api(cluster.nodes[1], "publish", channel=name, data={name: name}, tags={name: name})
        await operator.go("channels", "Channels")
        await expect(operator.row(name).first).to_be_visible()
        await operator.row(name).first.get_by_role("link").first.click()
        await expect(operator.heading(name)).to_be_visible()
        await page.get_by_role("button", name="Watch").click()
        await expect(page.get_by_text("Watching", exact=True)).to_be_visible()
        await cluster.api(cluster.nodes[1], "publish", channel=name, data={name: name}, tags={name: name})
        await expect(page.locator(".publications")).to_contain_text("backend")
        await operator.go("sessions", "Sessions")
        await expect(operator.row(name).first).to_be_visible()
        await operator.go(f"sessions/{client.id}", client.id)
        await expect(page.get_by_text(name).first).to_be_visible()
        await operator.go("keys", "Keys")
        await expect(operator.row(key).first).to_be_visible()
        await operator.go("audit", "Audit")
        await expect(page.get_by_text(pattern).first).to_be_visible()
        await operator.go("overview", "Overview")
    await operator.go("rules", "Rules")
    await cluster.admin("DELETE", f"rules/{quote(pattern, safe='')}")
    assert await page.locator("img, iframe, object, body script").count() == 0
    assert "taken" not in await page.title()
    assert operator.problems == []


async def test_no_page_runs_what_was_put_into_it(cluster: Cluster, sit: Sit) -> None:
    operator = await sit(cluster)
    attacks = {
        "a script in the page": "document.body.append(Object.assign(document.createElement('script'), {text: CODE}))",
        "markup": 'document.body.innerHTML = `<img src=x onerror="${CODE}">`',
        "text that is run": "setTimeout(CODE, 0)",
        "a handler": "(document.body.setAttribute('onclick', CODE), document.body.click())",
        "a script from elsewhere": (
            "document.body.append(Object.assign(document.createElement('script'), {src: 'data:,' + CODE}))"
        ),
    }
    for what, attack in attacks.items():
        code = "try { const CODE = \"document.title = 'taken'\"; " + attack + " } catch {}"
        await operator.page.evaluate(code)
        await operator.page.evaluate("new Promise((resolve) => setTimeout(resolve, 50))")
        assert "taken" not in await operator.page.title(), what
    for address in ("constructor", "__proto__", "toString/x"):
        await operator.go(address, "No such page")
