"""Between the table of the audit log and its records. Each function is an operation of the store."""

from __future__ import annotations

from typing import Any, cast, get_args

import msgspec
from peewee import Database, fn

from wsplatform.registry.records import Action, Actor, Deed, Entry, Wanted
from wsplatform.registry.tables import EntryRow

_MAX_ADDRESS = 64


def add(database: Database, deed: Deed, now: float) -> Entry:
    row = EntryRow.insert(
        at=now,
        key_id=deed.actor.key_id,
        key_name=deed.actor.key_name,
        address=deed.actor.address[:_MAX_ADDRESS],
        action=deed.action,
        target=deed.target,
        before=_text(deed.before),
        after=_text(deed.after),
    ).execute(database)
    return Entry(id=int(row), at=now, deed=deed)


def find(database: Database, wanted: Wanted) -> list[Entry]:
    query = EntryRow.select().order_by(EntryRow.id.desc()).limit(wanted.limit)
    if wanted.before is not None:
        query = query.where(EntryRow.id < wanted.before)
    if wanted.actor:
        query = query.where((EntryRow.key_id == wanted.actor) | (EntryRow.key_name == wanted.actor))
    if wanted.action:
        query = query.where(EntryRow.action == wanted.action)
    if wanted.contains:
        query = query.where(fn.REPLACE(EntryRow.target, wanted.contains, "") != EntryRow.target)
    if wanted.since is not None:
        query = query.where(EntryRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(EntryRow.at < wanted.until)
    return [_entry(row) for row in query.bind(database)]


def forget(database: Database, *, before: float, at_most: int) -> int:
    """Delete entries from before then, the oldest first; how many that were."""
    return _delete(database, EntryRow.select(EntryRow.id).where(EntryRow.at < before), at_most)


def prune(database: Database, *, per_action: int, at_most: int) -> int:
    """Delete all but the newest `per_action` entries of each action; how many that were.

    No more than `at_most` of each at once: whoever waits for the database is not to notice.
    """
    deleted = 0
    for action in get_args(Action):
        kept = EntryRow.select(EntryRow.id).where(EntryRow.action == action)
        last = kept.order_by(EntryRow.id.desc()).offset(per_action).limit(1).bind(database).scalar()
        if last is not None:
            deleted += _delete(database, kept.where(EntryRow.id <= last), at_most)
    return deleted


def _delete(database: Database, chosen: Any, at_most: int) -> int:
    ids = [row.id for row in chosen.order_by(EntryRow.id).limit(at_most).bind(database)]
    return int(EntryRow.delete().where(EntryRow.id.in_(ids)).execute(database)) if ids else 0


def _entry(row: EntryRow) -> Entry:
    actor = Actor(row.key_id, row.key_name, row.address)
    return Entry(
        id=row.id,
        at=row.at,
        deed=Deed(actor, cast("Action", row.action), row.target, _object(row.before), _object(row.after)),
    )


def _text(value: dict[str, Any] | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _object(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])
