"""Rules and keys: a version that only grows, nothing that does not work, and no key text but once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from tests.integration.registry.support import Node, running, settings
from wsplatform.core.channels import RuleBook
from wsplatform.errors import RequestError, SettingsError
from wsplatform.model import ChannelRule
from wsplatform.registry import configuration as limits
from wsplatform.registry.service import Registry

FALLBACK = ChannelRule(pattern="*", subscribe="anyone", publish="anyone")
CHAT = ChannelRule(pattern="chat:*", subscribe="users", max_bytes=100)


class TestRules:
    async def test_each_change_is_a_new_version_that_nodes_hear_of(self, file):
        async with running(file) as registry:
            configuration, node = registry.configuration, Node("a")
            await node.register(registry)
            assert await configuration.set_rule(CHAT)
            reply = await node.beat(registry)
            assert reply.config == configuration.config
            assert configuration.config.rules == (CHAT,)
            first = configuration.config.version
            assert not await configuration.set_rule(ChannelRule(pattern="chat:*"))
            await configuration.set_rule(ChannelRule(pattern="a"))
            await configuration.delete_rule("chat:*")
            assert configuration.config.version == first + 3
            assert configuration.rules() == (ChannelRule(pattern="a"),)
            assert (await node.beat(registry)).config == configuration.config
            assert (await node.beat(registry)).config is None
            kept = configuration.config
        async with running(file) as registry:
            assert registry.configuration.config == kept

    async def test_many_changes_at_once_all_count(self, file):
        async with running(file) as registry:
            configuration = registry.configuration
            before = configuration.config.version
            await asyncio.gather(*(configuration.set_rule(ChannelRule(pattern=f"c{n}")) for n in range(100)))
            assert len(configuration.rules()) == 100
            assert configuration.config.version == before + 100

    async def test_the_settings_rule_is_below_all_others(self, file):
        async with running(file, fallback_rule=FALLBACK) as registry:
            configuration = registry.configuration
            await configuration.set_rule(CHAT)
            book = RuleBook(configuration.config.rules)
            assert (book.match("chat:1"), book.match("other")) == (CHAT, FALLBACK)
            assert configuration.rules() == (CHAT,)
            closed = ChannelRule(pattern="*", subscribe="nobody")
            await configuration.set_rule(closed)
            assert RuleBook(configuration.config.rules).match("other") == closed
            await configuration.delete_rule("*")
            assert RuleBook(configuration.config.rules).match("other") == FALLBACK

    async def test_a_change_of_the_settings_is_a_new_version_too(self, file):
        async with running(file, fallback_rule=FALLBACK) as registry:
            first = registry.configuration.config
        async with running(file, fallback_rule=FALLBACK) as registry:
            assert registry.configuration.config == first
        async with running(file) as registry:
            assert registry.configuration.config.version == first.version + 1
            assert registry.configuration.config.rules == ()

    @pytest.mark.parametrize(
        "rule",
        [
            ChannelRule(pattern=""),
            ChannelRule(pattern="$platform"),
            ChannelRule(pattern="a**b"),
            ChannelRule(pattern="line\nbreak"),
            ChannelRule(pattern="x" * 256),
            ChannelRule(pattern="a", max_bytes=-1),
            ChannelRule(pattern="a", max_bytes=2**70),
        ],
    )
    async def test_what_cannot_work_is_refused(self, rule):
        async with running() as registry:
            before = registry.configuration.config
            with pytest.raises(RequestError) as caught:
                await registry.configuration.set_rule(rule)
            assert (caught.value.status, caught.value.code) == (400, "invalid_rule")
            assert registry.configuration.config == before
        with pytest.raises(SettingsError, match=r"registry\.fallback_rule"):
            Registry(settings(fallback_rule=rule))

    async def test_what_is_not_there_cannot_be_deleted(self):
        async with running() as registry:
            before = registry.configuration.config
            with pytest.raises(RequestError, match="unknown_rule"):
                await registry.configuration.delete_rule("chat:*")
            with pytest.raises(RequestError, match="unknown_key"):
                await registry.configuration.revoke_key("nothing")
            assert registry.configuration.config == before

    async def test_there_is_an_end_to_their_number(self, monkeypatch):
        monkeypatch.setattr(limits, "MAX_RULES", 2)
        monkeypatch.setattr(limits, "MAX_KEYS", 1)
        async with running() as registry:
            configuration = registry.configuration
            await configuration.set_rule(ChannelRule(pattern="a"))
            await configuration.set_rule(ChannelRule(pattern="b"))
            await configuration.set_rule(ChannelRule(pattern="b", max_bytes=1))
            with pytest.raises(RequestError, match="too_many_rules"):
                await configuration.set_rule(ChannelRule(pattern="c"))
            await configuration.create_key("one", ("api",))
            with pytest.raises(RequestError, match="too_many_keys"):
                await configuration.create_key("two", ("api",))

    async def test_who_gives_up_waiting_may_find_it_done(self, file, monkeypatch):
        async with running(file) as registry:
            configuration = registry.configuration
            setting = asyncio.ensure_future(configuration.set_rule(CHAT))
            await asyncio.sleep(0)
            setting.cancel()
            await configuration.set_rule(ChannelRule(pattern="other"))
            assert {rule.pattern for rule in configuration.config.rules} == {"chat:*", "other"}


class TestKeys:
    async def test_a_key_opens_until_it_is_revoked(self, file):
        async with running(file) as registry:
            text, record = await registry.configuration.create_key("backend", ("api",), ("chat:*",))
            assert registry.configuration.keys() == (record,)
        assert text.encode() not in file.read_bytes()
        async with running(file) as registry:
            configuration = registry.configuration
            found = configuration.ring.find(text)
            assert found is not None
            assert (found.id, found.scopes, found.channels) == (record.id, ("api",), ("chat:*",))
            assert [key.id for key in configuration.config.keys] == [record.id]
            assert text not in repr(configuration.config)
            before = configuration.config.version
            await configuration.revoke_key(record.id)
            assert configuration.ring.find(text) is None
            assert configuration.config.keys == ()
            assert configuration.config.version == before + 1

    async def test_the_settings_key_is_for_admins_and_is_not_handed_to_nodes(self):
        async with running() as registry:
            found = registry.configuration.ring.find("a" * 40)
            assert found is not None
            assert found.scopes == ("admin",)
            assert registry.configuration.config.keys == ()
            assert registry.configuration.keys() == ()

    async def test_no_settings_key_no_admin(self):
        async with running(admin_key="") as registry:
            assert registry.configuration.ring.find("") is None

    @pytest.mark.parametrize(
        ("name", "scopes", "channels"),
        [
            ("", ("api",), ()),
            (" ", ("api",), ()),
            ("x" * 101, ("api",), ()),
            ("line\nbreak", ("api",), ()),
            ("nul\x00", ("api",), ()),
            ("half\ud800", ("api",), ()),
            ("a", (), ()),
            ("a", ("api", "api"), ()),
            ("a", ("admin",), ("chat:*",)),
            ("a", ("api",), ("",)),
            ("a", ("api",), ("$x",)),
            ("a", ("api",), ("x",) * 101),
        ],
    )
    async def test_what_cannot_work_is_refused(self, name, scopes, channels):
        async with running() as registry:
            with pytest.raises(RequestError) as caught:
                await registry.configuration.create_key(name, scopes, channels)
            assert (caught.value.status, caught.value.code) == (400, "invalid_key")


async def test_no_database_no_change(file, impatient):
    async with running(file) as registry:
        before = registry.configuration.config
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RequestError) as caught:
                await registry.configuration.set_rule(CHAT)
            assert (caught.value.status, caught.value.code) == (503, "database_unavailable")
            assert registry.configuration.config == before
            other.execute("ROLLBACK")
        await registry.configuration.set_rule(CHAT)
        assert registry.configuration.config.rules == (CHAT,)
