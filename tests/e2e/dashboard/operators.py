"""Somebody who works with the dashboard, and what the browser complains about meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import ConsoleMessage, Locator, Page, Request, expect
from playwright.async_api import Error as PlaywrightError

from tests.support.wait import eventually

AXE = Path(__file__).parents[1] / "sdk" / "node_modules" / "axe-core" / "axe.min.js"
_LISTEN = """addEventListener("securitypolicyviolation", (event) =>
    console.error(`refused by the policy: ${event.violatedDirective} ${event.blockedURI}`))"""
_NETWORK = "net::ERR_NETWORK_CHANGED"
"""Another test has made or removed an interface of this machine: Chromium gives up all that is under way."""

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_FINDINGS = """axe.run(document, {runOnly: RULES, resultTypes: ["violations"]}).then(({violations}) => violations.map(
    ({id, nodes}) => `${id}: ${nodes.map((node) => node.html).join(" ")}`))"""


class Operator:
    """problems: errors and warnings of the console, exceptions, refusals of the policy, failed requests."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.problems: list[str] = []
        self.asked: list[str] = []
        self._url = url
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("requestfailed", self._failed)

    async def arrive(self) -> None:
        await self.page.add_init_script(_LISTEN)
        await eventually(self._opened, within=60, why="the page does not open")

    async def log_in(self, key: str) -> None:
        await self.page.get_by_label("Admin key").fill(key)
        await self.page.get_by_role("button", name="Log in").click()
        await expect(self.heading("Overview")).to_be_visible()
        await expect(self.state("Live")).to_be_visible()

    async def go(self, place: str, title: str) -> None:
        await self.page.evaluate("(place) => { location.hash = place }", f"#/{place}")
        await expect(self.heading(title)).to_be_visible()

    def heading(self, title: str) -> Locator:
        return self.page.get_by_role("heading", name=title, exact=True, level=1)

    def shown(self, text: str) -> Locator:
        """Where it can be seen; what only screen readers are told may say the same."""
        return self.page.get_by_text(text).and_(self.page.locator(":not(.unseen)"))

    def state(self, word: str) -> Locator:
        """Live, Stale or Connecting."""
        return self.page.locator("header").get_by_text(word, exact=True)

    def row(self, text: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=text)

    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    async def figure(self, name: str) -> str:
        """The number under `name` in the row of figures."""
        found = self.page.locator(".figure").filter(has=self.page.get_by_text(name, exact=True)).locator("dd")
        return (await found.inner_text()).strip()

    async def findings(self) -> list[str]:
        """What axe has against the page as it is now."""
        session = await self.page.context.new_cdp_session(self.page)
        await session.send("Runtime.evaluate", {"expression": AXE.read_text()})
        expression = _FINDINGS.replace("RULES", str(_RULES))
        answer: dict[str, Any] = await session.send(
            "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
        )
        await session.detach()
        findings: list[str] = answer["result"]["value"]
        return findings

    async def wider_than_the_window(self) -> int:
        """By how many pixels the page is."""
        wider: int = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return max(wider, 0)

    async def _opened(self) -> bool:
        try:
            await self.page.goto(self._url)
            await self.page.locator("main").wait_for(timeout=10_000)
        except PlaywrightError:
            return False
        return True

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and _NETWORK not in message.text:
            self.problems.append(f"{message.text} {message.location.get('url', '')}")

    def _failed(self, request: Request) -> None:
        if request.failure not in ("net::ERR_ABORTED", _NETWORK):  # the page itself ends its streams
            self.problems.append(f"{request.url}: {request.failure}")
