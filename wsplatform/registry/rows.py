"""Between the tables and the registry's words. Each function is an operation of the store: it runs in a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
from peewee import Database, fn

from wsplatform.core.logins import Login
from wsplatform.core.roster import Predecessor, Roster, Seat
from wsplatform.errors import RequestError, StartError
from wsplatform.model import REGISTRY_ID, ApiKey, ChannelRule, Member, Scope
from wsplatform.registry.tables import KeyRow, LoginRow, MetaRow, NodeRow, RuleRow, ViewRow

T = TypeVar("T")

KEPT_VIEWS: Final = 1000
_CONFIG_VERSION: Final = "config_version"
_FALLBACK_RULE: Final = "fallback_rule"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the seats: those that are new or different, and ids to be forgotten.

    members: of the view to issue; None: the view stays as it is. above: a number that the new one must exceed.
    """

    seats: tuple[Seat, ...]
    forgotten: tuple[str, ...]
    members: tuple[Member, ...] | None
    above: int
    now: float


@dataclass(frozen=True, slots=True)
class StoredKey:
    key: ApiKey
    created_at: float


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """Rules by pattern and keys by age, at a version."""

    version: int
    rules: tuple[ChannelRule, ...]
    keys: tuple[StoredKey, ...]


def load_roster(database: Database) -> tuple[int, Roster]:
    """The number of the newest view, and the seats. Raises StartError `database_damaged`."""
    seats = {}
    for row in NodeRow.select().bind(database):
        member = Member(
            node_id=row.node_id,
            incarnation=row.incarnation,
            cluster_url=row.cluster_url,
            client_url=row.client_url,
            ready=row.ready,
            draining=row.draining,
            role="registry" if row.node_id == REGISTRY_ID else "node",
        )
        predecessors = _decode(row.predecessors, tuple[Predecessor, ...], f"node {row.node_id}")
        seats[row.node_id] = Seat(member, row.present, row.since, predecessors)
    return _newest_view(database), Roster(seats)


def save_roster(database: Database, change: Change) -> int:
    """Carry out `change`; the number of the newest view."""
    if change.forgotten:
        NodeRow.delete().where(NodeRow.node_id.in_(change.forgotten)).execute(database)
    for seat in change.seats:
        _save_seat(database, seat)
    newest = _newest_view(database)
    if change.members is None:
        return newest
    # Not just the next after the one in memory: another registry, or a restored backup, must not make it go back.
    number = max(newest, change.above) + 1
    ViewRow.insert(number=number, members=_text(change.members), issued_at=change.now).execute(database)
    ViewRow.delete().where(ViewRow.number <= number - KEPT_VIEWS).execute(database)
    return number


def save_readiness(database: Database, members: Iterable[Member]) -> None:
    for member in members:
        same = (NodeRow.node_id == member.node_id) & (NodeRow.incarnation == member.incarnation)
        NodeRow.update(ready=member.ready, draining=member.draining).where(same).execute(database)


def load_config(database: Database) -> StoredConfig:
    """Raises StartError `database_damaged`."""
    rules = [_decode(row.rule, ChannelRule, f"rule {row.pattern!r}") for row in RuleRow.select().bind(database)]
    keys = [_key(row) for row in KeyRow.select().bind(database)]
    # Sorted here: databases have orders of their own for text.
    rules.sort(key=lambda rule: rule.pattern)
    keys.sort(key=lambda stored: (stored.created_at, stored.key.id))
    return StoredConfig(int(_meta(database, _CONFIG_VERSION) or 0), tuple(rules), tuple(keys))


def save_fallback(database: Database, rule: ChannelRule | None) -> None:
    """A new version where the settings' rule is not the one that nodes were given."""
    text = _text(rule)
    if _meta(database, _FALLBACK_RULE) != text:
        _set_meta(database, _FALLBACK_RULE, text)
        advance(database, 0)


def set_rule(database: Database, rule: ChannelRule, limit: int, now: float) -> ChannelRule | None:
    """Make or replace a rule; the one before. Raises RequestError `too_many_rules` when there would be more than

    `limit`.
    """
    before = _rule(database, rule.pattern)
    others = RuleRow.select().where(RuleRow.pattern != rule.pattern).bind(database).count()
    if others >= limit:
        raise RequestError(409, "too_many_rules", f"There are {limit} rules already: use patterns, or delete some.")
    insert = RuleRow.insert(pattern=rule.pattern, rule=_text(rule), changed_at=now)
    insert.on_conflict(conflict_target=[RuleRow.pattern], preserve=[RuleRow.rule, RuleRow.changed_at]).execute(database)
    return before


def delete_rule(database: Database, pattern: str) -> ChannelRule:
    """The rule that it was. Raises RequestError `unknown_rule`."""
    before = _rule(database, pattern)
    if before is None:
        raise RequestError(404, "unknown_rule", "There is no rule with this pattern: list the rules to see them.")
    RuleRow.delete().where(RuleRow.pattern == pattern).execute(database)
    return before


def add_key(database: Database, key: ApiKey, limit: int, now: float) -> None:
    """Raises RequestError `too_many_keys` when there are `limit` already."""
    if KeyRow.select().bind(database).count() >= limit:
        raise RequestError(409, "too_many_keys", f"There are {limit} keys already: revoke some.")
    KeyRow.insert(
        id=key.id,
        name=key.name,
        digest=key.digest,
        scopes=_text(key.scopes),
        channels=_text(key.channels),
        created_at=now,
    ).execute(database)


def delete_key(database: Database, key_id: str) -> ApiKey:
    """The key that it was. Raises RequestError `unknown_key`."""
    row = KeyRow.select().where(KeyRow.id == key_id).bind(database).first()
    if row is None:
        raise RequestError(404, "unknown_key", "There is no key with this id: list the keys to see them.")
    KeyRow.delete().where(KeyRow.id == key_id).execute(database)
    return _key(row).key


def advance(database: Database, above: int) -> None:
    """The next version of the configuration, which exceeds `above` too."""
    version = max(int(_meta(database, _CONFIG_VERSION) or 0), above) + 1
    _set_meta(database, _CONFIG_VERSION, str(version))


def load_logins(database: Database) -> list[Login]:
    return [
        Login(
            digest=row.digest,
            key_id=row.key_id,
            binding=row.binding,
            created_at=row.created_at,
            used_at=row.used_at,
        )
        for row in LoginRow.select().bind(database)
    ]


def add_login(database: Database, login: Login) -> None:
    LoginRow.insert(msgspec.structs.asdict(login)).execute(database)


def delete_logins(database: Database, digests: Iterable[str]) -> None:
    LoginRow.delete().where(LoginRow.digest.in_(tuple(digests))).execute(database)


def tidy_logins(database: Database, used: Iterable[Login], gone: Iterable[str]) -> None:
    for login in used:
        LoginRow.update(used_at=login.used_at).where(LoginRow.digest == login.digest).execute(database)
    delete_logins(database, gone)


def _rule(database: Database, pattern: str) -> ChannelRule | None:
    row = RuleRow.select().where(RuleRow.pattern == pattern).bind(database).first()
    return None if row is None else _decode(row.rule, ChannelRule, f"rule {pattern!r}")


def _save_seat(database: Database, seat: Seat) -> None:
    member = seat.holder
    row = {
        NodeRow.incarnation: member.incarnation,
        NodeRow.cluster_url: member.cluster_url,
        NodeRow.client_url: member.client_url,
        NodeRow.ready: member.ready,
        NodeRow.draining: member.draining,
        NodeRow.present: seat.present,
        NodeRow.since: seat.since,
        NodeRow.predecessors: _text(seat.predecessors),
    }
    insert = NodeRow.insert({NodeRow.node_id: member.node_id, **row})
    insert.on_conflict(conflict_target=[NodeRow.node_id], update=row).execute(database)


def _newest_view(database: Database) -> int:
    return int(ViewRow.select(fn.MAX(ViewRow.number)).bind(database).scalar() or 0)


def _key(row: KeyRow) -> StoredKey:
    what = f"key {row.id}"
    key = ApiKey(
        id=row.id,
        name=row.name,
        digest=row.digest,
        scopes=_decode(row.scopes, tuple[Scope, ...], what),
        channels=_decode(row.channels, tuple[str, ...], what),
    )
    return StoredKey(key, row.created_at)


def _meta(database: Database, name: str) -> str | None:
    row = MetaRow.select().where(MetaRow.name == name).bind(database).first()
    return None if row is None else row.value


def _set_meta(database: Database, name: str, value: str) -> None:
    insert = MetaRow.insert(name=name, value=value)
    insert.on_conflict(conflict_target=[MetaRow.name], preserve=[MetaRow.value]).execute(database)


def _text(value: object) -> str:
    return _encode(value).decode()


def _decode(text: str, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise StartError(
            "database_damaged",
            f"The registry's database holds {what} in a form that this version does not know: "
            "start the version that wrote it, or delete that row.",
        ) from error
