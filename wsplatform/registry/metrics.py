"""The registry's part of metrics: takes the nodes' reports, each once, folds them, and answers questions about them.

Reports and chunks are read and reckoned with in a thread and on a connection of their own, so that neither the event
loop nor the commits of views wait for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from loguru import logger
from peewee import Database

from wsplatform.core.retention import SLIP_SECONDS, chunks_kept, oldest_kept
from wsplatform.core.rollups import CHUNK, DamagedError
from wsplatform.core.samples import SAMPLE, Accepted, accept
from wsplatform.core.series import Asked, question
from wsplatform.core.throttle import Throttle
from wsplatform.errors import RequestError
from wsplatform.model import BusyChannel, Instance, MetricReport
from wsplatform.registry import metric_rows as rows
from wsplatform.registry.records import Answer, Busiest
from wsplatform.registry.store import Store
from wsplatform.settings import MetricsTable

T = TypeVar("T")
Listener = Callable[[int], None]

ROUND_SECONDS: Final = 60.0
LATE_SECONDS: Final = 30
"""For how long a node that has just reported is waited for, before its silence is taken for its end."""

ANSWER_SECONDS: Final = 25.0
"""How long a question may wait for those before it: a page of charts asks a dozen at once."""

MAX_NUMBER: Final = 2**53
MAX_BUSY: Final = 256
_BURST, _SECONDS_EACH = 500, 5.0
_FOLD: Final = 400
_EXPIRE: Final = 50
_PAUSE: Final = 0.05
_GRACE: Final = 300
_DAY: Final = 86_400
_REPORTER_DAYS: Final = 31
_HEARD_SECONDS: Final = 60.0
_LOG_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Reporter:
    """What is known of an instance. ended: of its last report (ms); heard: when that came; allowance: of reports."""

    committed: int = 0
    ended: int = 0
    heard: float = 0.0
    allowance: float = _BURST
    allowed_at: float = 0.0
    storing: asyncio.Future[int] | None = None
    busiest: Busiest | None = None


class Metrics:
    def __init__(self, store: Store, reader: Store, keep: MetricsTable, clock: Callable[[], float]) -> None:
        """`clock`: Unix time in seconds. `reader` may be the same as `store`."""
        self._store = store
        self._reader = reader
        self._keep = keep
        self._clock = clock
        self._reporters: dict[Instance, _Reporter] = {}
        self._until = self._told = 0
        self._listeners: list[Listener] = []
        self._throttle = Throttle(_LOG_SECONDS)
        self._damaged: set[tuple[str, int]] = set()

    async def load(self) -> None:
        now = self._clock()
        await self._store.run(rows.begin_turns)
        numbers = await self._store.run(partial(rows.load_reporters, since=now - _DAY))
        self._reporters = {instance: _Reporter(number) for instance, number in numbers.items()}

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with the Unix time up to which there are values, whenever that is another one."""
        self._listeners.append(listener)

    @property
    def until(self) -> int:
        """Up to when (Unix time) every node has reported. It grows, unless the clock has been set back."""
        now = self._clock()
        bound = int(now) // 10 * 10
        if self._until > bound + SLIP_SECONDS:
            self._until = 0
        awaited = [
            reporter.ended // SAMPLE * 10
            for reporter in self._reporters.values()
            if reporter.heard > now - _HEARD_SECONDS
        ]
        self._until = max(self._until, bound - LATE_SECONDS, min(awaited, default=bound))
        return self._until

    def committed(self, instance: Instance) -> int:
        """The highest number of its reports that is committed."""
        reporter = self._reporters.get(instance)
        return 0 if reporter is None else reporter.committed

    def take(
        self, instance: Instance, reports: Sequence[MetricReport], ahead: float = 0.0
    ) -> asyncio.Future[int] | None:
        """Store what is not stored yet; done when it is committed. None: there is nothing to wait for.

        What is not taken now, because earlier ones are under way or too many have come, has to be sent again.
        ahead: seconds by which the instance's clock is ahead; the reports are counted at the times of this one's.
        """
        reporter = self._reporters.setdefault(instance, _Reporter())
        if reporter.storing is not None:
            return reporter.storing
        now = self._clock()
        new = self._allowed(instance, reporter, self._new(reporter, reports), now)
        if not new:
            return None
        accepted = [accept(report, int(now * 1000), ahead) for report in new]
        self._tell_refused(instance, accepted)
        if ahead:
            side = "ahead of" if ahead > 0 else "behind"
            self._warn(instance, f"has a clock that is {abs(ahead):.0f} s {side} the registry's: set it")
        # Durable, for the node forgets what is acknowledged: a PostgreSQL that crashes would lose its last commits.
        storing = self._store.submit(partial(rows.save_reports, instance=instance, reports=accepted, now=now))
        reporter.storing = storing
        storing.add_done_callback(partial(self._stored, reporter, accepted[-1], new[-1].busiest))
        return storing

    def forget(self, instance: Instance) -> None:
        """It has left: nobody waits for its reports. Should it come back, the database knows its number."""
        self._reporters.pop(instance, None)

    def tidy(self) -> None:
        """Delete what is known of instances that have long left, by a clock that can be believed."""
        before = self._clock() - _REPORTER_DAYS * _DAY
        self._store.submit(partial(rows.forget_reporters, before=before), durable=False)

    def busiest(self) -> dict[str, Busiest]:
        """By node id, what each told last."""
        return {
            instance.node_id: reporter.busiest
            for instance, reporter in self._reporters.items()
            if reporter.busiest is not None
        }

    async def answer(self, asked: Asked) -> Answer:
        """Raises RequestError: 400 for what cannot be asked, 500 `database_damaged`, 503 `database_unavailable`."""
        now = self._clock()
        found = question(asked, now)
        until = self.until
        oldest = int(now) - self._kept(found.level)
        answer = partial(rows.answer, asked=found, until=until, oldest=oldest)
        series, left_out = await self._reader.run(answer, patience=ANSWER_SECONDS)
        return Answer(found, until, series, left_out)

    async def run(self) -> None:
        """Fold, and delete what is too old, for ever."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            await self.round()

    async def round(self) -> None:
        """What is to be done now and then. What fails, because the database does, is done the next time."""
        try:
            await self._fold()
            await self._finish_hours()
            await self._expire()
        except RequestError as error:
            logger.debug("Metrics are folded later: {}", error)
        except rows.TakenError:
            logger.debug("Another registry has folded these metrics")

    def _new(self, reporter: _Reporter, reports: Iterable[MetricReport]) -> list[MetricReport]:
        highest = reporter.committed
        new = []
        for report in reports:
            if highest < report.number < MAX_NUMBER:
                highest = report.number
                new.append(report)
        return new

    def _allowed(
        self, instance: Instance, reporter: _Reporter, new: list[MetricReport], now: float
    ) -> list[MetricReport]:
        passed = max(now - reporter.allowed_at, 0.0)
        reporter.allowance = min(reporter.allowance + passed / _SECONDS_EACH, _BURST)
        reporter.allowed_at = now
        allowed = new[: int(reporter.allowance)]
        if len(allowed) < len(new):
            self._warn(instance, "sends metric reports faster than they can be made")
        reporter.allowance -= len(allowed)
        return allowed

    def _stored(
        self, reporter: _Reporter, newest: Accepted, busiest: Sequence[BusyChannel], storing: asyncio.Future[int]
    ) -> None:
        reporter.storing = None
        if storing.exception() is not None:
            return
        reporter.committed = max(reporter.committed, storing.result())
        reporter.ended = newest.ended
        reporter.heard = self._clock()
        seconds = (newest.ended - newest.began) / 1000
        reporter.busiest = Busiest(newest.ended / 1000, seconds, tuple(busiest[:MAX_BUSY]))
        until = self.until
        if until != self._told:
            self._told = until
            for listener in self._listeners:
                asyncio.get_running_loop().call_soon(listener, until)

    def _tell_refused(self, instance: Instance, accepted: Iterable[Accepted]) -> None:
        refused = sum(report.refused for report in accepted)
        if refused:
            self._warn(instance, f"reports {refused} values that are no metrics of this version, or no numbers")
        if any(report.misplaced for report in accepted):
            self._warn(instance, "reports metrics of a time that cannot be: set its clock")

    def _warn(self, instance: Instance, what: str) -> None:
        held_back = self._throttle.allow(f"{instance.node_id} {what[:20]}", asyncio.get_running_loop().time())
        if held_back is not None:
            more = f" ({held_back} more before)" if held_back else ""
            logger.warning("Node {} {}{}", instance.node_id, what, more)

    async def _fold(self) -> None:
        since = (int(self._clock()) - self._kept(10)) * 1000
        until = self.until * 1000
        ahead = int((self._clock() + SLIP_SECONDS) * 1000)
        while True:
            folded = await self._read(partial(rows.fold, until=until, ahead=ahead, since=since, limit=_FOLD))
            if folded.damaged:
                logger.error("{} metric reports in the database cannot be read, and are dropped", folded.damaged)
            if folded.reports:
                await self._store.run(partial(rows.save_fold, folded=folded), durable=False)
            if len(folded.reports) < _FOLD:
                return
            await asyncio.sleep(_PAUSE)

    async def _finish_hours(self) -> None:
        before = int(self._clock()) - _GRACE - rows.HOUR
        for metric, begin in await self._read(partial(rows.unfinished_hours, before=before + 1)):
            if (metric, begin) in self._damaged:
                continue
            try:
                merged = await self._read(partial(rows.merge_hour, metric=metric, begin=begin))
            except DamagedError:
                self._damaged.add((metric, begin))
                hour = datetime.fromtimestamp(begin, UTC)
                logger.error(
                    "Values of {} in the database cannot be read: those of {:%Y-%m-%d %H:00} UTC", metric, hour
                )
                continue
            await self._store.run(partial(rows.save_hour, merged=merged), durable=False)
            await asyncio.sleep(_PAUSE)

    async def _expire(self) -> None:
        now = int(self._clock())
        for step, chunk in CHUNK.items():
            keep = self._kept(step)
            newest = partial(rows.newest_begins, step=step, now=now, limit=chunks_kept(chunk, keep))
            before = oldest_kept(await self._read(newest), chunk, keep, now)
            expire = partial(rows.expire, step=step, before=before, limit=_EXPIRE)
            while True:
                expired = await self._store.run(expire, durable=False)
                if expired < _EXPIRE:
                    break
                await asyncio.sleep(_PAUSE)

    async def _read(self, operation: Callable[[Database], T]) -> T:
        """Nobody waits for it: on a machine that is busy it takes its time, and is not begun anew for ever."""
        return await self._reader.run(operation, patience=None)

    def _kept(self, step: int) -> int:
        """For how many seconds values of that step are."""
        if step == 10:
            return self._keep.keep_samples_hours * 3600
        return (self._keep.keep_minutes_days if step == 60 else self._keep.keep_hours_days) * _DAY
