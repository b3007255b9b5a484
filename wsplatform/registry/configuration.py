"""Channel rules and API keys: what every node is told, at a version that only grows."""

from __future__ import annotations

import asyncio
import secrets
import time
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from peewee import Database

from wsplatform.core.channels import check_pattern
from wsplatform.core.keys import RANDOM_BYTES, KeyRing, new_key, settings_key
from wsplatform.errors import PlatformError, RequestError, SettingsError
from wsplatform.model import ApiKey, ChannelRule, ClusterConfig, Scope
from wsplatform.registry import rows
from wsplatform.registry.audit import Audit
from wsplatform.registry.records import Actor, Deed, Entry, KeyRecord
from wsplatform.registry.store import Store, settled
from wsplatform.settings import RegistryTable

MAX_RULES: Final = 1_000
"""Nodes look at every pattern for a channel that is new to them."""

MAX_BYTES: Final = 2**31 - 1
MAX_KEYS: Final = 10_000
MAX_KEY_NAME: Final = 100
MAX_KEY_CHANNELS: Final = 100
NOBODY: Final = Actor()


class Configuration:
    """Reads are from memory; every change is committed before it is answered and before nodes hear of it.

    Changes raise RequestError: 400 for what cannot be used, 404 `unknown_rule`/`unknown_key`, 409 for too many,
    503 `database_unavailable`.
    """

    def __init__(
        self, store: Store, settings: RegistryTable, audit: Audit, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock`: seconds since 1970. Raises SettingsError when registry.fallback_rule cannot be used."""
        self._store = store
        self._audit = audit
        self._clock = clock
        self._fallback = settings.fallback_rule
        self._settings_keys = (settings_key(settings.admin_key),) if settings.admin_key else ()
        self._stored = rows.StoredConfig(0, (), ())
        self._least = 0
        self._config = ClusterConfig(0)
        self._ring = KeyRing(self._settings_keys)
        if self._fallback is not None:
            _check_fallback(self._fallback)

    async def load(self) -> None:
        self._take(await self._store.run(partial(_changed, partial(rows.save_fallback, rule=self._fallback))))

    @property
    def config(self) -> ClusterConfig:
        """What nodes get: with the fallback rule of the settings, without the key of the settings."""
        return self._config

    @property
    def ring(self) -> KeyRing:
        """All keys, the one of the settings among them."""
        return self._ring

    @property
    def loaded(self) -> bool:
        """Its keys are known: from the start on."""
        return True

    def key(self, text: str) -> ApiKey | None:
        """The API key whose text this is."""
        return self._ring.find(text)

    def rules(self) -> tuple[ChannelRule, ...]:
        """The rules that were set, by pattern; the fallback rule of the settings is not one of them."""
        return self._stored.rules

    def keys(self) -> tuple[KeyRecord, ...]:
        """The keys that were created, oldest first."""
        return tuple(_record(stored) for stored in self._stored.keys)

    async def set_rule(self, rule: ChannelRule, by: Actor = NOBODY) -> bool:
        """Make or replace the rule for a pattern; whether it is a new one."""
        check_rule(rule)
        now = self._clock()

        def change(database: Database) -> Deed:
            before = rows.set_rule(database, rule, MAX_RULES, now)
            return Deed(by, "rule.set", rule.pattern, _object(before), _object(rule))

        return (await self._change(change)).before is None

    async def delete_rule(self, pattern: str, by: Actor = NOBODY) -> None:
        def change(database: Database) -> Deed:
            return Deed(by, "rule.delete", pattern, _object(rows.delete_rule(database, pattern)))

        await self._change(change)

    async def create_key(
        self, name: str, scopes: tuple[Scope, ...], channels: tuple[str, ...] = (), by: Actor = NOBODY
    ) -> tuple[str, KeyRecord]:
        """A new key: its text, which is told this once, and how it is listed."""
        _check_key(name, scopes, channels)
        text, key = new_key(secrets.token_bytes(RANDOM_BYTES), name, scopes, channels)
        now = self._clock()

        def change(database: Database) -> Deed:
            rows.add_key(database, key, MAX_KEYS, now)
            return Deed(by, "key.create", key.id, None, _key_object(key))

        await self._change(change)
        return text, _record(rows.StoredKey(key, now))

    async def revoke_key(self, key_id: str, by: Actor = NOBODY) -> None:
        def change(database: Database) -> Deed:
            return Deed(by, "key.revoke", key_id, _key_object(rows.delete_key(database, key_id)))

        await self._change(change)

    def exceed(self, version: int) -> asyncio.Future[rows.StoredConfig] | None:
        """Go beyond `version`, which a node has from a registry whose database is lost. None: not needed."""
        if version <= max(self._stored.version, self._least):
            return None
        self._least = version
        future = self._store.submit(partial(_changed, partial(rows.advance, above=version)))
        future.add_done_callback(self._exceeded)
        return future

    def _exceeded(self, future: asyncio.Future[rows.StoredConfig]) -> None:
        if future.exception() is None:
            self._take(future.result())
        else:
            self._least = 0

    async def _change(self, operation: Callable[[Database], Deed]) -> Deed:
        """Carry it out as the next version, with its entry in the audit log, in one transaction."""

        def whole(database: Database) -> tuple[rows.StoredConfig, Entry]:
            entry = self._audit.write(database, operation(database))
            rows.advance(database, 0)
            return rows.load_config(database), entry

        future = self._store.submit(whole)
        future.add_done_callback(self._committed)  # not after an await: it counts even when nobody waits any more
        _, entry = await settled(future)
        return entry.deed

    def _committed(self, future: asyncio.Future[tuple[rows.StoredConfig, Entry]]) -> None:
        if future.exception() is None:
            stored, entry = future.result()
            self._take(stored)
            self._audit.committed(entry)

    def _take(self, stored: rows.StoredConfig) -> None:
        fallback = self._fallback
        replaced = fallback is None or any(rule.pattern == fallback.pattern for rule in stored.rules)
        rules = stored.rules if fallback is None or replaced else (fallback, *stored.rules)
        keys = tuple(kept.key for kept in stored.keys)
        self._stored = stored
        self._config = ClusterConfig(stored.version, rules, keys)
        self._ring = KeyRing((*keys, *self._settings_keys))


def check_rule(rule: ChannelRule) -> None:
    """Raises RequestError `invalid_rule` for a rule that no channel could have."""
    try:
        check_pattern(rule.pattern)
    except PlatformError as error:
        raise RequestError(400, "invalid_rule", error.message) from error
    if not 0 <= rule.max_bytes <= MAX_BYTES:
        raise RequestError(400, "invalid_rule", f"max_bytes is from 0 (no limit of the rule's own) to {MAX_BYTES}.")


def _check_fallback(rule: ChannelRule) -> None:
    try:
        check_rule(rule)
    except RequestError as error:
        raise SettingsError("registry.fallback_rule", repr(rule.pattern), "a rule that can be used") from error


def _check_key(name: str, scopes: tuple[Scope, ...], channels: tuple[str, ...]) -> None:
    printable = all(unicodedata.category(character)[0] != "C" for character in name)
    if not name.strip() or len(name) > MAX_KEY_NAME or not printable:
        raise RequestError(400, "invalid_key", f"A key needs a name of 1 to {MAX_KEY_NAME} printable characters.")
    if not scopes or len(set(scopes)) != len(scopes):
        raise RequestError(400, "invalid_key", "A key needs at least one scope, and each once: admin, api, metrics.")
    if channels and "api" not in scopes:
        raise RequestError(400, "invalid_key", "Channel patterns restrict the scope api, which this key does not have.")
    if len(channels) > MAX_KEY_CHANNELS:
        raise RequestError(400, "invalid_key", f"A key may have at most {MAX_KEY_CHANNELS} channel patterns.")
    for pattern in channels:
        try:
            check_pattern(pattern)
        except PlatformError as error:
            raise RequestError(400, "invalid_key", error.message) from error


def _changed(operation: Callable[[Database], None], database: Database) -> rows.StoredConfig:
    operation(database)
    return rows.load_config(database)


def _record(stored: rows.StoredKey) -> KeyRecord:
    key = stored.key
    return KeyRecord(id=key.id, name=key.name, scopes=key.scopes, channels=key.channels, created_at=stored.created_at)


def _key_object(key: ApiKey) -> dict[str, Any]:
    return {"name": key.name, "scopes": list(key.scopes), "channels": list(key.channels)}


def _object(rule: ChannelRule | None) -> dict[str, Any] | None:
    return None if rule is None else msgspec.structs.asdict(rule)
