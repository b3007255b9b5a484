"""Metric reports and chunks in the database. Each function is an operation of the store, or of the reader.

A report is in exactly one place: it comes with the highest number of its instance in one transaction, and leaves in
the one that stores what it was folded into. The same holds for the minutes that become hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from peewee import Database

from wsplatform.core.rollups import CHUNK, DamagedError, Fold, Grid, Place, Rollup, read_report
from wsplatform.core.samples import COVERAGE, Accepted, KeptReport, kind_of
from wsplatform.core.series import Answer, Question, Series
from wsplatform.errors import RequestError
from wsplatform.model import Instance
from wsplatform.registry.tables import ChunkRow, MetaRow, ReporterRow, ReportRow

HOUR: Final = 3600
_DAY: Final = CHUNK[HOUR]
_BATCH: Final = 500
_TURN: Final = "metric_turn"


class TakenError(Exception):
    """Another registry on this database was faster: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Folded:
    """reports: those that the chunks are made of, and those that are damaged. turn: that in which they were read."""

    reports: tuple[int, ...]
    chunks: tuple[Rollup, ...]
    damaged: int
    turn: int


@dataclass(frozen=True, slots=True)
class Merged:
    """old: the rows that the chunks are made of. turn: that in which they were read."""

    old: tuple[int, ...]
    chunks: tuple[Rollup, ...]
    turn: int


def begin_turns(database: Database) -> None:
    """Once for each database; before anything is folded."""
    MetaRow.insert(name=_TURN, value="0").on_conflict_ignore().execute(database)


def load_reporters(database: Database, since: float) -> dict[Instance, int]:
    """The highest number of each instance that was heard of since then (Unix time)."""
    query = ReporterRow.select(ReporterRow.node_id, ReporterRow.incarnation, ReporterRow.number)
    found = _tuples(database, query.where(ReporterRow.seen_at >= since))
    return {Instance(node_id, incarnation): number for node_id, incarnation, number in found}


def save_reports(database: Database, instance: Instance, reports: Sequence[Accepted], now: float) -> int:
    """Store those that are not stored yet; the highest number of the instance."""
    same = (ReporterRow.node_id == instance.node_id) & (ReporterRow.incarnation == instance.incarnation)
    highest = ReporterRow.select(ReporterRow.number).where(same).bind(database).scalar() or 0
    new = []
    for report in reports:
        if report.number > highest:
            highest = report.number
            new.append((instance.node_id, report.ended, report.data))
    if new:
        columns = (ReportRow.node_id, ReportRow.ended, ReportRow.data)
        ReportRow.insert_many(new, columns).execute(database)
        insert = ReporterRow.insert(
            node_id=instance.node_id, incarnation=instance.incarnation, number=highest, seen_at=now
        )
        insert.on_conflict(
            conflict_target=[ReporterRow.node_id, ReporterRow.incarnation],
            preserve=[ReporterRow.number, ReporterRow.seen_at],
        ).execute(database)
    return int(highest)


def fold(database: Database, until: int, ahead: int, since: int, limit: int) -> Folded:
    """What at most `limit` reports make, of those up to `until`; no cells of 10 s before `since`. Milliseconds.

    Those after `ahead` came when the clock was wrong: they do not wait until it is as late.
    """
    over = (ReportRow.ended <= until) | (ReportRow.ended > ahead)
    query = ReportRow.select(ReportRow.id, ReportRow.node_id, ReportRow.data).where(over)
    work, taken, damaged, turn = Fold(since), [], 0, _turn(database)
    for row_id, node, data in _tuples(database, query.order_by(ReportRow.id).limit(limit)):
        taken.append(row_id)
        try:
            work.add(node, read_report(bytes(data)))
        except DamagedError:
            damaged += 1
    return Folded(tuple(taken), tuple(work.chunks()), damaged, turn)


def save_fold(database: Database, folded: Folded) -> None:
    """Raises TakenError."""
    _take_turn(database, folded.turn)
    _delete(database, ReportRow, folded.reports)
    _insert(database, folded.chunks, fresh=True)


def unfinished_hours(database: Database, before: int) -> list[tuple[str, int]]:
    """Metrics and hours (seconds) with minutes that are not counted in the hours yet, of the hours before `before`."""
    query = ChunkRow.select(ChunkRow.metric, ChunkRow.begin).where(
        (ChunkRow.step == 60) & ChunkRow.fresh & (ChunkRow.begin < before)
    )
    return list(_tuples(database, query.distinct().order_by(ChunkRow.begin)))


def merge_hour(database: Database, metric: str, begin: int) -> Merged:
    """The minutes of an hour as one, and the hours of its day with those that were fresh. Raises DamagedError."""
    kind, turn = kind_of(metric), _turn(database)
    old = []
    if kind is None:  # of another version
        return Merged(tuple(row_id for row_id, _, _ in _chunks(database, metric, 60, begin)), (), turn)
    minutes, hours = Grid(kind), Grid(kind)
    for row_id, fresh, data in _chunks(database, metric, 60, begin):
        old.append(row_id)
        minutes.add(data, Place(begin // 60))
        if fresh:
            hours.add(data, Place(begin // 60, HOUR // 60))
    day = begin // _DAY * _DAY
    for row_id, _, data in _chunks(database, metric, HOUR, day):
        old.append(row_id)
        hours.add(data, Place(day // HOUR, 1, _DAY // HOUR))
    chunks = [Rollup(60, metric, number * HOUR, data) for number, data in minutes.chunks(HOUR // 60)]
    chunks += [Rollup(HOUR, metric, number * _DAY, data) for number, data in hours.chunks(_DAY // HOUR)]
    return Merged(tuple(old), tuple(chunks), turn)


def save_hour(database: Database, merged: Merged) -> None:
    """Raises TakenError."""
    _take_turn(database, merged.turn)
    _delete(database, ChunkRow, merged.old)
    _insert(database, merged.chunks, fresh=False)


def newest_begins(database: Database, step: int, now: int, limit: int) -> list[int]:
    """When the newest chunks of that step begin, each time once, without those of the future.

    Those of COVERAGE tell: every report has it.
    """
    same = (ChunkRow.metric == COVERAGE) & (ChunkRow.step == step) & (ChunkRow.begin <= now)
    query = ChunkRow.select(ChunkRow.begin).where(same).distinct().order_by(ChunkRow.begin.desc())
    return [begin for (begin,) in _tuples(database, query.limit(limit))]


def expire(database: Database, step: int, before: int, limit: int) -> int:
    """Delete at most `limit` chunks that begin before then (seconds); how many there were. Raises TakenError."""
    old = ChunkRow.select(ChunkRow.id).where(
        (ChunkRow.step == step) & ChunkRow.fresh.in_((False, True)) & (ChunkRow.begin < before)
    )
    gone = int(ChunkRow.delete().where(ChunkRow.id.in_(old.limit(limit))).execute(database))
    if gone:
        _take_turn(database, _turn(database))
    return gone


def forget_reporters(database: Database, before: float) -> None:
    ReporterRow.delete().where(ReporterRow.seen_at < before).execute(database)


def answer(database: Database, asked: Question, until: int, oldest: int) -> tuple[list[Series], int]:
    """The series and how many are left out, nothing from before `oldest` (seconds). Raises RequestError."""
    found = Answer(asked, until, list(_waiting(database)))
    begin = max(asked.begin, oldest)
    query = ChunkRow.select(ChunkRow.metric, ChunkRow.step, ChunkRow.begin, ChunkRow.data).where(
        ChunkRow.metric.in_((COVERAGE, asked.metric.name)) & _wanted(asked, begin)
    )
    for metric, step, start, data in _tuples(database, query.order_by(ChunkRow.begin, ChunkRow.id)):
        try:
            found.chunk(metric, step, start, bytes(data))
        except DamagedError:
            raise damaged(asked.metric.name) from None
    return found.series()


def damaged(metric: str) -> RequestError:
    return RequestError(
        500,
        "database_damaged",
        f"The registry's database holds values of {metric} that cannot be read: ask for another time, "
        "or put a backup in its place.",
    )


def _wanted(asked: Question, begin: int) -> Any:
    """Chunks that overlap the time asked for. Of minutes that are not counted in hours yet, those."""
    level = asked.level
    wanted = _overlap(level, begin, asked.end) & ChunkRow.fresh.in_((False, True))
    if level == HOUR:
        wanted |= _overlap(60, begin, asked.end) & ChunkRow.fresh
    return wanted


def _overlap(step: int, begin: int, end: int) -> Any:
    return (ChunkRow.step == step) & (ChunkRow.begin > begin - CHUNK[step]) & (ChunkRow.begin < end)


def _waiting(database: Database) -> Iterator[tuple[str, KeptReport]]:
    """Reports that are not folded yet, without those that are damaged: folding tells of them."""
    query = ReportRow.select(ReportRow.node_id, ReportRow.data).order_by(ReportRow.id)
    for node, data in _tuples(database, query):
        try:
            yield node, read_report(bytes(data))
        except DamagedError:
            continue


def _chunks(database: Database, metric: str, step: int, begin: int) -> Iterator[tuple[int, bool, bytes]]:
    """In the order in which they were made: of what came late, the last value is last."""
    same = (ChunkRow.metric == metric) & (ChunkRow.step == step) & (ChunkRow.begin == begin)
    query = ChunkRow.select(ChunkRow.id, ChunkRow.fresh, ChunkRow.data).where(same).order_by(ChunkRow.id)
    for row_id, fresh, data in _tuples(database, query):
        yield row_id, fresh, bytes(data)


def _turn(database: Database) -> int:
    return int(MetaRow.select(MetaRow.value).where(MetaRow.name == _TURN).bind(database).scalar())


def _take_turn(database: Database, turn: int) -> None:
    """For who deletes what was read in this turn: nobody else has deleted anything since. Raises TakenError.

    By ids that does not show: SQLite gives those of rows that were deleted to new ones.
    """
    same = (MetaRow.name == _TURN) & (MetaRow.value == str(turn))
    if not MetaRow.update(value=str(turn + 1)).where(same).execute(database):
        raise TakenError


def _delete(database: Database, table: type[ReportRow] | type[ChunkRow], ids: Sequence[int]) -> None:
    for first in range(0, len(ids), _BATCH):
        table.delete().where(table.id.in_(ids[first : first + _BATCH])).execute(database)


def _insert(database: Database, chunks: Sequence[Rollup], *, fresh: bool) -> None:
    columns = (ChunkRow.metric, ChunkRow.step, ChunkRow.begin, ChunkRow.fresh, ChunkRow.data)
    for first in range(0, len(chunks), _BATCH):
        rows = [
            (chunk.metric, chunk.step, chunk.begin, fresh and chunk.step == 60, chunk.data)
            for chunk in chunks[first : first + _BATCH]
        ]
        ChunkRow.insert_many(rows, columns).execute(database)


def _tuples(database: Database, query: Any) -> Iterator[Any]:
    """One row after the other, without keeping them."""
    rows: Iterator[Any] = query.bind(database).tuples().iterator()
    return rows
