"""Logging in to the admin API from a browser, and everything that must not be possible with it."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from http.cookies import SimpleCookie
from typing import Any

import pytest

from tests.integration.registry.support import running
from tests.integration.registry.test_store import full_disk
from tests.support.no_cluster import NO_CLUSTER
from tests.support.wait import eventually
from wsplatform.app.registry import operators_face
from wsplatform.core import logins as core
from wsplatform.core.logins import IDLE, LIFETIME, PER_KEY
from wsplatform.registry.records import Actor, Wanted
from wsplatform.registry.service import Registry
from wsplatform.web.admin.cookies import LOCAL_NAME, SECURE_NAME
from wsplatform.web.server import make_app

ADMIN = "a" * 40
NUMBERS = itertools.count()
BEHIND = ("127.0.0.1",)
HTTPS = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
SAME = {"Sec-Fetch-Site": "same-origin"}


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def registry(file, clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Registry]:
    async with running(file) as registry:
        monkeypatch.setattr(registry.logins, "_clock", clock)
        yield registry


@pytest.fixture
async def client(registry, sanic_client) -> Any:
    return await serve(sanic_client, registry, ())


@pytest.fixture
async def behind(registry, sanic_client) -> Any:
    """The same behind a proxy that is trusted."""
    return await serve(sanic_client, registry, BEHIND)


async def serve(sanic_client: Any, registry: Registry, trusted: tuple[str, ...]) -> Any:
    app = make_app(f"sessions-{next(NUMBERS)}", operators_face(registry, dict, NO_CLUSTER, trusted), 8_388_608, trusted)
    return await sanic_client(app, trust_env=False)


class Browser:
    """A page of the registry's own, with the cookies as they came."""

    def __init__(self, client: Any, more: dict[str, str] | None = None) -> None:
        self.client = client
        self.more = {**SAME, **(more or {})}
        self.cookie = ""
        self.csrf = ""

    async def log_in(self, key: str = ADMIN) -> Any:
        headers = {**self.more, **({"Cookie": self.cookie} if self.cookie else {})}
        reply = await self.client.post("/admin/v1/session", headers=headers, json={"key": key})
        if reply.status_code == 201:
            self.cookie = reply.headers["set-cookie"].partition(";")[0]
            self.csrf = reply.json()["csrf"]
        self.client.session.cookies.clear()
        return reply

    async def ask(self, method: str, path: str, more: dict[str, str] | None = None, **kwargs: Any) -> Any:
        headers = {**self.more, "Cookie": self.cookie, "X-CSRF-Token": self.csrf, **(more or {})}
        url = self.client.make_url(f"/admin/v1/{path}")
        headers = {name: value for name, value in headers.items() if value is not None}
        reply = await self.client.session.request(method, url, headers=headers, **kwargs)
        self.client.session.cookies.clear()
        return reply


def code(reply: Any) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


class TestLogIn:
    async def test_a_session_does_what_its_key_may_until_it_is_ended(self, client, clock):
        browser = Browser(client)
        reply = await browser.log_in()
        assert reply.status_code == 201
        told = reply.json()
        assert told["key"] == {"id": "settings", "name": "registry.admin_key"}
        assert told["expires_at"] == clock.now + LIFETIME
        assert (await browser.ask("GET", "session")).json() == told
        assert (await browser.ask("GET", "nodes")).status_code == 200
        assert (await browser.ask("PUT", "rules/a", json={})).status_code == 201
        reply = await browser.ask("DELETE", "session")
        assert reply.status_code == 204
        gone = SimpleCookie(reply.headers["set-cookie"])[LOCAL_NAME]
        assert (gone.value, gone["max-age"]) == ("", "0")
        assert code(await browser.ask("GET", "session")) == (401, "session_ended")

    async def test_the_cookie_over_https(self, behind):
        reply = await Browser(behind, HTTPS).log_in()
        name, *attributes = reply.headers["set-cookie"].split("; ")
        assert name.startswith(f"{SECURE_NAME}=")
        assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Strict", "Secure"}
        assert len(name.partition("=")[2]) == 64

    async def test_the_cookie_on_the_own_host(self, client):
        reply = await Browser(client).log_in()
        name, *attributes = reply.headers["set-cookie"].split("; ")
        assert name.startswith(f"{LOCAL_NAME}=")
        assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Strict"}

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "http"},
            {"X-Forwarded-For": "198.51.100.7"},
            {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https, http"},
            {"X-Forwarded-For": "127.0.0.1, 2001:db8::1"},
            {"X-Forwarded-For": "198.51.100.7:5678"},  # cannot be read: nobody knows from where
            {"X-Forwarded-Proto": "http"},
        ],
    )
    async def test_plain_http_from_elsewhere_is_refused(self, behind, headers):
        assert code(await Browser(behind, headers).log_in()) == (403, "insecure_connection")

    @pytest.mark.parametrize("headers", [HTTPS, {"Forwarded": "for=198.51.100.7"}, {"Via": "1.1 x"}])
    async def test_a_proxy_that_is_not_trusted_is_neither_believed_nor_the_own_host(self, client, headers):
        assert code(await Browser(client, headers).log_in()) == (403, "insecure_connection")

    @pytest.mark.parametrize("body", [{}, {"key": 1}, {"key": ADMIN, "more": 1}, []])
    async def test_what_is_no_key(self, client, body):
        assert code(await client.post("/admin/v1/session", json=body)) == (400, "bad_body")

    async def test_a_key_that_does_not_open(self, client, registry):
        assert code(await Browser(client).log_in("b" * 40)) == (401, "unauthorized")
        text, _ = await registry.configuration.create_key("backend", ("api",))
        assert code(await Browser(client).log_in(text)) == (403, "forbidden")

    @pytest.mark.parametrize(
        "headers",
        [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}],
    )
    async def test_another_page_logs_nobody_in(self, client, headers):
        assert code(await Browser(client, headers).log_in()) == (403, "cross_origin")

    async def test_a_new_one_takes_the_place_of_the_old(self, client):
        browser = Browser(client)
        await browser.log_in()
        old = browser.cookie
        await browser.log_in()
        assert old != browser.cookie
        assert (await browser.ask("GET", "session")).status_code == 200
        assert code(await browser.ask("GET", "session", {"Cookie": old})) == (401, "session_ended")

    async def test_tries_are_bounded_for_each_address_by_itself(self, behind):
        def from_(address: str) -> Browser:
            return Browser(behind, {**HTTPS, "X-Forwarded-For": address})

        replies = [await from_("2001:db8::1").log_in("b" * 40) for _ in range(12)]
        assert [reply.status_code for reply in replies] == [401] * 10 + [429] * 2
        assert code(await from_("2001:db8::2").log_in()) == (429, "too_many_tries")
        assert (await from_("2001:db8:1::1").log_in()).status_code == 201
        assert (await from_("198.51.100.7").log_in()).status_code == 201


class TestEnd:
    async def test_with_its_key(self, client, registry):
        text, record = await registry.configuration.create_key("ops", ("admin",))
        browser = Browser(client)
        await browser.log_in(text)
        assert (await browser.ask("GET", "session")).json()["key"] == {"id": record.id, "name": "ops"}
        await registry.configuration.revoke_key(record.id)
        assert code(await browser.ask("GET", "nodes")) == (401, "session_ended")

    async def test_without_use_and_in_any_case(self, client, clock):
        browser = Browser(client)
        await browser.log_in()
        began = clock.now
        while clock.now + IDLE / 2 < began + LIFETIME:
            clock.now += IDLE / 2
            assert (await browser.ask("GET", "nodes")).status_code == 200
        clock.now = began + LIFETIME
        assert code(await browser.ask("GET", "nodes")) == (401, "session_ended")
        await browser.log_in()
        clock.now += IDLE
        assert code(await browser.ask("GET", "nodes")) == (401, "session_ended")

    async def test_not_with_the_registry(self, client, registry, file, clock, sanic_client):
        kept, ended = Browser(client), Browser(client)
        await kept.log_in()
        await ended.log_in()
        await ended.ask("DELETE", "session")
        clock.now += IDLE * 0.9
        assert (await kept.ask("GET", "nodes")).status_code == 200
        await registry.close()
        again = Registry(registry._settings, clock=clock)
        await again.start()
        clock.now += IDLE * 0.9
        kept.client = ended.client = await serve(sanic_client, again, ())
        assert (await kept.ask("PUT", "rules/a", json={})).status_code == 201
        assert code(await ended.ask("GET", "nodes")) == (401, "session_ended")
        await again.close()

    async def test_when_the_key_of_the_settings_is_another_one(self, client, registry, file, clock, sanic_client):
        browser = Browser(client)
        await browser.log_in()
        await registry.close()
        async with running(file, admin_key="b" * 40) as again:
            again.logins._clock = clock
            browser.client = await serve(sanic_client, again, ())
            assert code(await browser.ask("GET", "nodes")) == (401, "session_ended")

    async def test_nothing_in_the_database_opens_anything(self, client, registry, file):
        browser = Browser(client)
        await browser.log_in()
        with closing(sqlite3.connect(file)) as database:
            kept = "\n".join(database.iterdump())
        assert browser.cookie.partition("=")[2] not in kept
        assert browser.csrf not in kept
        assert ADMIN not in kept
        (row,) = [line for line in kept.splitlines() if 'INTO "logins"' in line]
        for text in {part for part in row.split("'") if len(part) == 64}:
            assert code(await browser.ask("GET", "nodes", {"Cookie": f"{LOCAL_NAME}={text}"}))[0] == 401

    async def test_a_key_has_so_many_and_the_oldest_makes_room(self, client, registry, clock, monkeypatch):
        monkeypatch.setattr(core.surplus, "__kwdefaults__", {"per_key": 3, "at_once": 100})
        browsers = [Browser(client) for _ in range(4)]
        for browser in browsers:
            clock.now += 1
            await browser.log_in()
        seen = [(await browser.ask("GET", "nodes")).status_code for browser in browsers]
        assert seen == [401, 200, 200, 200]
        assert PER_KEY >= 3
        registry.logins.tidy()
        await eventually(lambda: stored(registry._settings.database) == 3)

    async def test_a_key_has_no_more_when_many_log_in_at_once(self, client, registry):
        browsers = [Browser(client) for _ in range(100)]
        assert {reply.status_code for reply in await asyncio.gather(*(one.log_in() for one in browsers))} == {201}
        seen = [(await browser.ask("GET", "nodes")).status_code for browser in browsers]
        assert (seen.count(200), seen.count(401)) == (PER_KEY, 100 - PER_KEY)
        registry.logins.tidy()
        await eventually(lambda: stored(registry._settings.database) == PER_KEY)

    async def test_one_that_a_clock_years_ahead_has_made_ends_with_its_error(self, client, clock):
        browser = Browser(client)
        clock.now += 3 * 365 * 86_400
        await browser.log_in()
        assert (await browser.ask("GET", "nodes")).status_code == 200
        clock.now -= 3 * 365 * 86_400
        assert code(await browser.ask("GET", "nodes")) == (401, "session_ended")

    async def test_a_log_in_that_cannot_be_written_changes_nothing(self, client, registry, file, clock, monkeypatch):
        monkeypatch.setattr(core.surplus, "__kwdefaults__", {"per_key": 2, "at_once": 100})
        browsers = [Browser(client) for _ in range(2)]
        for browser in browsers:
            clock.now += 1
            await browser.log_in()
        before, entries = browsers[1].cookie, await registry.audit.find(Wanted(limit=9))
        with full_disk(file.with_name(f"{file.name}-wal").stat().st_size):
            assert code(await browsers[1].log_in()) == (503, "database_unavailable")
            assert code(await Browser(client).log_in()) == (503, "database_unavailable")
        assert browsers[1].cookie == before
        for browser in browsers:
            assert (await browser.ask("GET", "nodes")).status_code == 200
        assert stored(registry._settings.database) == 2
        assert await registry.audit.find(Wanted(limit=9)) == entries


def stored(url: str) -> int:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        return database.execute("SELECT COUNT(*) FROM logins").fetchone()[0]


class TestOthers:
    """What must not be done with somebody's cookie."""

    @pytest.fixture
    async def browser(self, client) -> Browser:
        browser = Browser(client)
        await browser.log_in()
        return browser

    @pytest.mark.parametrize("token", [None, "", "0" * 64, "ключ"])
    async def test_a_change_needs_the_token(self, browser, registry, token):
        more = {"X-CSRF-Token": token if token is None else token.encode()}
        assert code(await browser.ask("PUT", "rules/a", more, json={})) == (403, "csrf")
        assert code(await browser.ask("DELETE", "session", more)) == (403, "csrf")
        assert registry.configuration.rules() == ()
        assert (await browser.ask("GET", "rules", more)).status_code == 200

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "SAME-ORIGIN", ""])
    async def test_a_change_must_come_from_the_same_origin(self, browser, site):
        assert code(await browser.ask("PUT", "rules/a", {"Sec-Fetch-Site": site}, json={})) == (403, "cross_origin")

    async def test_of_a_browser_without_fetch_metadata_the_origin_counts(self, browser):
        host = browser.client.make_url("").rstrip("/")
        for origin, status in (
            (host, 201),
            (host.replace("127.0.0.1", "localhost"), 403),
            (host.rpartition(":")[0] + ":1", 403),
            (host.replace("http", "https"), 403),
            ("null", 403),
            (None, 403),
        ):
            more = {"Sec-Fetch-Site": None, "Origin": origin}
            reply = await browser.ask("PUT", f"rules/{status}", more, json={})
            assert reply.status_code == status, origin

    async def test_behind_a_proxy_the_origin_is_the_one_that_it_serves(self, behind):
        browser = Browser(behind, HTTPS)
        await browser.log_in()
        for origin, status in (("https://ops.example", 201), ("http://ops.example", 403), ("https://x.example", 403)):
            more = {"Sec-Fetch-Site": None, "Origin": origin, "Host": "ops.example:443"}
            assert (await browser.ask("PUT", f"rules/{status}", more, json={})).status_code == status

    @pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403), ("none", 200)])
    async def test_reading_from_elsewhere_is_refused_too(self, browser, site, status):
        assert (await browser.ask("GET", "nodes", {"Sec-Fetch-Site": site})).status_code == status

    async def test_a_page_of_another_name_that_leads_here_has_no_cookie(self, browser):
        more = {"Host": "evil.example", "Cookie": "", "X-CSRF-Token": browser.csrf}
        assert code(await browser.ask("PUT", "rules/a", more, json={})) == (401, "unauthorized")

    async def test_the_name_without_the_prefix_counts_on_the_own_host_only(self, browser, behind):
        away = Browser(behind, HTTPS)
        away.cookie, away.csrf = browser.cookie, browser.csrf
        assert code(await away.ask("GET", "nodes")) == (401, "unauthorized")
        away.cookie = browser.cookie.replace(LOCAL_NAME, SECURE_NAME)
        assert (await away.ask("GET", "nodes")).status_code == 200
        plain = {"X-Forwarded-Proto": "http"}
        assert code(await away.ask("GET", "nodes", plain)) == (401, "unauthorized")

    async def test_two_cookies_of_the_name_count_as_none(self, browser):
        more = {"Cookie": f"{browser.cookie}; {LOCAL_NAME}={'0' * 64}"}
        assert code(await browser.ask("GET", "nodes", more)) == (401, "unauthorized")
        more = {"Cookie": f"a=b; {browser.cookie};c"}
        assert (await browser.ask("GET", "nodes", more)).status_code == 200

    @pytest.mark.parametrize("blank", ["\u2000", "\u3000", "\x85", "\xa0", "\x1c"])
    async def test_a_name_with_odd_white_space_is_another_name(self, browser, behind, blank):
        """Browsers let sub-domains and plain http set it, as it does not begin with the prefix."""
        away = Browser(behind, HTTPS)
        await away.log_in()
        odd = f"{blank}{SECURE_NAME}={'0' * 64}"
        for cookies in (f"{away.cookie}; {odd}", f"{odd}; {away.cookie}"):
            assert (await away.ask("GET", "nodes", {"Cookie": cookies.encode()})).status_code == 200
        for cookies in (f"{blank}{away.cookie}", f"a=b; {blank}{away.cookie}"):
            reply = await away.ask("GET", "nodes", {"Cookie": cookies.encode()})
            assert code(reply) == (401, "unauthorized")

    @pytest.mark.parametrize("text", ["", "0" * 64, "x", "0" * 10_000, "ключ"])
    async def test_a_cookie_of_ones_own(self, client, text):
        reply = await client.get("/admin/v1/nodes", headers={"Cookie": f"{LOCAL_NAME}={text}".encode()})
        assert reply.status_code == 401

    async def test_the_key_counts_where_there_are_both(self, browser, registry):
        backend, _ = await registry.configuration.create_key("backend", ("api",))
        assert code(await browser.ask("GET", "nodes", {"X-API-Key": backend})) == (403, "forbidden")
        more = {"X-API-Key": ADMIN, "X-CSRF-Token": "", "Sec-Fetch-Site": "cross-site"}
        assert (await browser.ask("PUT", "rules/a", more, json={})).status_code == 201
        assert code(await browser.ask("GET", "session", more)) == (401, "no_session")


class TestAudit:
    async def entries(self, browser: Browser, query: str = "") -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            reply = await browser.ask("GET", f"audit?limit=2&cursor={cursor}{query}")
            assert reply.status_code == 200
            items += reply.json()["items"]
            cursor = reply.json()["next"]
        return items

    async def test_says_who_did_what_and_from_where(self, behind, registry):
        browser = Browser(behind, HTTPS)
        await browser.log_in()
        await browser.ask("PUT", "rules/chat%3A%2A", json={"subscribe": "anyone"})
        await browser.ask("PUT", "rules/chat%3A%2A", json={"subscribe": "nobody"})
        await browser.ask("DELETE", "rules/chat%3A%2A")
        made = (await browser.ask("POST", "keys", json={"name": "ops", "scopes": ["admin"]})).json()
        with_key = {"X-API-Key": made["key"], "Cookie": "", "X-Forwarded-For": "2001:db8::7"}
        assert (await browser.ask("DELETE", f"keys/{made['id']}", with_key)).status_code == 204
        await browser.ask("DELETE", "session")
        await browser.log_in()
        items = await self.entries(browser)
        assert [(item["action"], item["target"]) for item in reversed(items)] == [
            ("login", "settings"),
            ("rule.set", "chat:*"),
            ("rule.set", "chat:*"),
            ("rule.delete", "chat:*"),
            ("key.create", made["id"]),
            ("key.revoke", made["id"]),
            ("logout", "settings"),
            ("login", "settings"),
        ]
        assert [item["id"] for item in items] == sorted((item["id"] for item in items), reverse=True)
        first, second, deleted = reversed(items[-4:-1])
        assert (first["before"], first["after"]["subscribe"]) == (None, "anyone")
        assert (second["before"], second["after"]["subscribe"]) == (first["after"], "nobody")
        assert (deleted["before"], deleted["after"]) == (second["after"], None)
        assert first["actor"] == {"key": "settings", "name": "registry.admin_key"}
        assert first["address"] == "198.51.100.7"
        revoked = items[2]
        assert (revoked["actor"], revoked["address"]) == ({"key": made["id"], "name": "ops"}, "2001:db8::7")
        assert revoked["before"] == {"name": "ops", "scopes": ["admin"], "channels": []}
        everything = str(items)
        for secret in (ADMIN, made["key"], browser.csrf, browser.cookie.partition("=")[2]):
            assert secret not in everything

    async def test_is_filtered(self, client, registry, clock):
        registry.audit._clock = clock
        browser = Browser(client)
        await browser.log_in()
        for number in range(3):
            clock.now += 10
            await browser.ask("PUT", f"rules/a{number}%25_b", json={})
        text, record = await registry.configuration.create_key("ops", ("admin",))
        await browser.ask("DELETE", "rules/a1%25_b", {"X-API-Key": text})
        now = clock.now
        for query, targets in (
            ("&action=rule.delete", ["a1%_b"]),
            ("&contains=1%25_", ["a1%_b"] * 2),
            ("&contains=A1", []),
            ("&contains=a__", []),
            (f"&actor={record.id}", ["a1%_b"]),
            ("&actor=ops", ["a1%_b"]),
            (f"&from={now - 10}&to={now}", ["a1%_b"]),
            (f"&from={now}&action=rule.set", ["a2%_b"]),
            (f"&to={now - 20}", ["settings"]),
        ):
            assert [item["target"] for item in await self.entries(browser, query)] == targets, query
        for query in ("contains=%00", "action=other", "from=x", "since=1"):
            assert code(await browser.ask("GET", f"audit?{query}")) == (400, "bad_query")

    async def test_a_change_that_fails_has_no_entry(self, client, registry):
        browser = Browser(client)
        await browser.log_in()
        assert (await browser.ask("DELETE", "rules/none")).status_code == 404
        assert (await browser.ask("DELETE", "keys/none")).status_code == 404
        assert [item["action"] for item in await self.entries(browser)] == ["login"]

    async def test_refused_logins_are_told_once_in_a_while(self, client):
        browser = Browser(client)
        for _ in range(15):
            await browser.log_in("wrong" * 8)
        browser = Browser(client)
        items = await self.entries_by_key(client, "&action=login.refused")
        (item,) = items
        assert (item["address"], item["actor"], item["target"]) == ("127.0.0.1", {"key": "", "name": ""}, "")
        assert "wrong" not in str(items)

    async def test_of_one_network_refused_logins_are_told_once_in_a_while(self, behind):
        for number in range(15):
            await Browser(behind, {**HTTPS, "X-Forwarded-For": f"2001:db8::{number}"}).log_in("wrong" * 8)
        assert len(await self.entries_by_key(behind, "&action=login.refused")) == 1

    async def entries_by_key(self, client: Any, query: str) -> list[dict[str, Any]]:
        reply = await client.get(f"/admin/v1/audit?limit=100{query}", headers={"X-API-Key": ADMIN})
        return reply.json()["items"]

    async def test_keeps_so_many_of_each_kind(self, client, registry, monkeypatch):
        monkeypatch.setattr("wsplatform.registry.audit.MAX_OF_ACTION", 5)
        monkeypatch.setattr("wsplatform.registry.audit.PRUNE_EVERY", 10)
        await registry.configuration.create_key("kept", ("api",))
        for number in range(20):
            await registry.audit.record(actor(), "publish", f"c{number}", after={"bytes": 5})
        assert [item["action"] for item in await self.entries_by_key(client, "")].count("publish") < 15
        assert [item["action"] for item in await self.entries_by_key(client, "&action=key.create")] == ["key.create"]

    async def test_what_is_too_old_goes_and_not_because_a_registry_starts_with_a_wrong_clock(
        self, registry, file, clock
    ):
        await registry.audit.record(actor(), "publish", "old")
        await registry.close()
        clock.now += 3 * 365 * 86_400
        again = Registry(registry._settings, clock=clock)
        await again.start()
        await again.audit.record(actor(), "publish", "new")
        everything = Wanted(limit=9)
        assert [entry.deed.target for entry in await again.audit.find(everything)] == ["new", "old"]
        again.audit.forget()  # the clock has run evenly for a day
        await again.audit.record(actor(), "publish", "newer")
        assert [entry.deed.target for entry in await again.audit.find(everything)] == ["newer", "new"]
        await again.close()


def actor() -> Actor:
    return Actor("k", "name", "unknown")


class TestHeaders:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/admin/v1/nodes"),
            ("GET", "/admin/v1/nothing"),
            ("POST", "/admin/v1/nodes"),
            ("OPTIONS", "/admin/v1/nodes"),
            ("GET", "/admin/docs"),
            ("GET", "/admin/openapi.json"),
            ("GET", "/dashboard/nothing"),
        ],
    )
    async def test_every_answer_has_them(self, client, behind, method, path):
        url = client.make_url(path)
        plain = (await client.session.request(method, url)).headers
        assert plain["x-content-type-options"] == "nosniff"
        assert plain["referrer-policy"] == "no-referrer"
        assert plain["cross-origin-opener-policy"] == plain["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in plain["permissions-policy"]
        policy = plain["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "strict-transport-security" not in plain
        secure = (await behind.session.request(method, behind.make_url(path), headers=HTTPS)).headers
        assert secure["strict-transport-security"].startswith("max-age=")
