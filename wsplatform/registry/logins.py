"""Logins of people with an admin key: in memory for every request, in the database for the next run of the registry."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
from peewee import Database

from wsplatform.core.keys import KeyRing
from wsplatform.core.logins import RANDOM_BYTES, Login, digest, new_login, opens, surplus
from wsplatform.model import ApiKey
from wsplatform.registry import rows
from wsplatform.registry.audit import Audit
from wsplatform.registry.records import Actor, Deed, Entry
from wsplatform.registry.store import Store, settled

TIDY_SECONDS: Final = 60.0
"""How often uses and ends are written down; a registry that is killed forgets no more of a login's use."""


@dataclass(frozen=True, slots=True)
class _Change:
    """In one transaction."""

    begun: Login | None
    ended: tuple[Login, ...]


class Logins:
    def __init__(self, store: Store, audit: Audit, ring: Callable[[], KeyRing], clock: Callable[[], float] = time.time):
        """`ring`: all keys as they are now. `clock`: seconds since 1970."""
        self._store = store
        self._audit = audit
        self._ring = ring
        self._clock = clock
        self._logins: dict[str, Login] = {}
        self._used: set[str] = set()
        self._gone: set[str] = set()
        self._tidying: asyncio.Future[None] | None = None

    async def load(self) -> None:
        now = self._clock()
        for login in await self._store.run(rows.load_logins):
            if login.lasts(now):
                self._logins[login.digest] = login
            else:
                self._gone.add(login.digest)

    async def begin(self, key: ApiKey, actor: Actor, before: Login | None = None) -> tuple[str, Login]:
        """A new login by `key`: the text for the cookie, and what is known of it. It takes the place of `before`.

        Raises RequestError `database_unavailable`: then all is as it was.
        """
        text, login = new_login(secrets.token_bytes(RANDOM_BYTES), key, self._clock())
        ended = () if before is None else (before,)
        change = _Change(login, ended)
        deeds = (Deed(actor, "login", key.id), *(Deed(actor, "logout", one.key_id) for one in ended))
        await self._submit(change, deeds)
        return text, login

    async def end(self, login: Login, actor: Actor) -> None:
        """Of effect at once. Raises RequestError `database_unavailable`: then it is written down later."""
        self._forget((login.digest,))
        await self._submit(_Change(None, (login,)), (Deed(actor, "logout", login.key_id),))

    def find(self, text: str) -> tuple[Login, ApiKey] | None:
        """The login that a cookie's text stands for, while it lasts, with its key. It counts as used now."""
        # Looked up by a digest of 256 random bits: how long that takes tells nothing about the text.
        login = self._logins.get(digest(text))
        if login is None:
            return None
        key = self._ring().get(login.key_id)
        now = self._clock()
        if key is None or not login.lasts(now) or not opens(text, login, key):
            self._forget((login.digest,))
            return None
        login = msgspec.structs.replace(login, used_at=now)
        self._logins[login.digest] = login
        self._used.add(login.digest)
        return login, key

    def tidy(self) -> None:
        """Drop what does not last, and hand over to the database what it does not know."""
        now, ring = self._clock(), self._ring()
        self._forget(
            [one.digest for one in self._logins.values() if not one.lasts(now) or ring.get(one.key_id) is None]
        )
        if (self._tidying is not None and not self._tidying.done()) or not (self._used or self._gone):
            return
        used = tuple(self._logins[one] for one in self._used)
        gone = tuple(self._gone)
        self._tidying = self._store.submit(partial(rows.tidy_logins, used=used, gone=gone), durable=False)
        self._tidying.add_done_callback(partial(self._tidied, self._used, self._gone))
        self._used, self._gone = set(), set()

    def _tidied(self, used: set[str], gone: set[str], future: asyncio.Future[None]) -> None:
        if future.exception() is not None:
            self._gone |= gone
            self._used |= used & self._logins.keys()

    def _forget(self, digests: Iterable[str]) -> None:
        for one in digests:
            if self._logins.pop(one, None) is not None:
                self._gone.add(one)
                self._used.discard(one)

    async def _submit(self, change: _Change, deeds: Sequence[Deed]) -> None:
        def whole(database: Database) -> list[Entry]:
            if change.begun is not None:
                rows.add_login(database, change.begun)
            rows.delete_logins(database, (login.digest for login in change.ended))
            return [self._audit.write(database, deed) for deed in deeds]

        future = self._store.submit(whole)
        future.add_done_callback(partial(self._committed, change))
        await settled(future)

    def _committed(self, change: _Change, future: asyncio.Future[list[Entry]]) -> None:
        """Not after an await: it counts even when nobody waits any more, and no other one comes in between."""
        if future.exception() is not None:
            return
        for entry in future.result():
            self._audit.committed(entry)
        self._forget(login.digest for login in change.ended)
        login = change.begun
        if login is not None:
            # Only now: of many that begin at once, none knew of the others before.
            self._forget(surplus(self._logins.values(), login.key_id))
            self._logins[login.digest] = login
