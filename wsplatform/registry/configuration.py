"""Channel rules and API keys: what every node is told, at a version that only grows."""

from __future__ import annotations

import asyncio
import secrets
import time
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Final

from peewee import Database

from wsplatform.core.channels import check_pattern
from wsplatform.core.keys import RANDOM_BYTES, KeyRing, new_key, settings_key
from wsplatform.errors import PlatformError, RequestError, SettingsError
from wsplatform.model import ChannelRule, ClusterConfig, Scope
from wsplatform.registry import rows
from wsplatform.registry.records import KeyRecord
from wsplatform.registry.store import Store, settled
from wsplatform.settings import RegistryTable

MAX_RULES: Final = 1_000
"""Nodes look at every pattern for a channel that is new to them."""

MAX_BYTES: Final = 2**31 - 1
MAX_KEYS: Final = 10_000
MAX_KEY_NAME: Final = 100
MAX_KEY_CHANNELS: Final = 100


class Configuration:
    """Reads are from memory; every change is committed before it is answered and before nodes hear of it.

    Changes raise RequestError: 400 for what cannot be used, 404 `unknown_rule`/`unknown_key`, 409 for too many,
    503 `database_unavailable`.
    """

    def __init__(self, store: Store, settings: RegistryTable, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since 1970. Raises SettingsError when registry.fallback_rule cannot be used."""
        self._store = store
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

    def rules(self) -> tuple[ChannelRule, ...]:
        """The rules that were set, by pattern; the fallback rule of the settings is not one of them."""
        return self._stored.rules

    def keys(self) -> tuple[KeyRecord, ...]:
        """The keys that were created, oldest first."""
        return tuple(_record(stored) for stored in self._stored.keys)

    async def set_rule(self, rule: ChannelRule) -> bool:
        """Make or replace the rule for a pattern; whether it is a new one."""
        check_rule(rule)
        new = all(rule.pattern != other.pattern for other in self._stored.rules)
        await self._change(partial(rows.set_rule, rule=rule, limit=MAX_RULES, now=self._clock()))
        return new

    async def delete_rule(self, pattern: str) -> None:
        await self._change(partial(rows.delete_rule, pattern=pattern))

    async def create_key(
        self, name: str, scopes: tuple[Scope, ...], channels: tuple[str, ...] = ()
    ) -> tuple[str, KeyRecord]:
        """A new key: its text, which is told this once, and how it is listed."""
        _check_key(name, scopes, channels)
        text, key = new_key(secrets.token_bytes(RANDOM_BYTES), name, scopes, channels)
        now = self._clock()
        await self._change(partial(rows.add_key, key=key, limit=MAX_KEYS, now=now))
        return text, _record(rows.StoredKey(key, now))

    async def revoke_key(self, key_id: str) -> None:
        await self._change(partial(rows.delete_key, key_id=key_id))

    def exceed(self, version: int) -> asyncio.Future[rows.StoredConfig] | None:
        """Go beyond `version`, which a node has from a registry whose database is lost. None: not needed."""
        if version <= max(self._stored.version, self._least):
            return None
        self._least = version
        return self._submit(partial(rows.advance, above=version))

    async def _change(self, operation: Callable[[Database], None]) -> None:
        await settled(self._submit(partial(_advanced, operation)))

    def _submit(self, operation: Callable[[Database], None]) -> asyncio.Future[rows.StoredConfig]:
        future = self._store.submit(partial(_changed, operation))
        future.add_done_callback(self._answered)  # not after an await: it counts even when nobody waits any more
        return future

    def _answered(self, future: asyncio.Future[rows.StoredConfig]) -> None:
        if future.exception() is None:
            self._take(future.result())
        else:
            self._least = 0

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
        raise RequestError(400, "invalid_key", "A key needs at least one scope, and each once: admin, api.")
    if channels and "api" not in scopes:
        raise RequestError(400, "invalid_key", "Channel patterns restrict the scope api, which this key does not have.")
    if len(channels) > MAX_KEY_CHANNELS:
        raise RequestError(400, "invalid_key", f"A key may have at most {MAX_KEY_CHANNELS} channel patterns.")
    for pattern in channels:
        try:
            check_pattern(pattern)
        except PlatformError as error:
            raise RequestError(400, "invalid_key", error.message) from error


def _advanced(operation: Callable[[Database], None], database: Database) -> None:
    operation(database)
    rows.advance(database, 0)


def _changed(operation: Callable[[Database], None], database: Database) -> rows.StoredConfig:
    operation(database)
    return rows.load_config(database)


def _record(stored: rows.StoredKey) -> KeyRecord:
    key = stored.key
    return KeyRecord(id=key.id, name=key.name, scopes=key.scopes, channels=key.channels, created_at=stored.created_at)
