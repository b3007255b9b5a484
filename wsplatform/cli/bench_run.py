"""One run of `wsplatform bench`, from the first connection to the last."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Coroutine
from typing import Any

from wsplatform.cli.bench_book import Book, Plan
from wsplatform.cli.bench_crowd import Crowd
from wsplatform.cli.bench_meter import Meter
from wsplatform.cli.bench_publish import ApiPublisher, ClientPublisher, Due, Publisher, Writer
from wsplatform.cli.bench_report import Report, Times, report
from wsplatform.cli.progress import Display
from wsplatform.core.pace import Pace
from wsplatform.net.tasks import Tasks

ANSWER_SECONDS = 5.0
"""How long the last publications may wait for their answers."""

QUIET_SECONDS = 5.0
"""What is missing when nothing has arrived for so long is lost."""

DRAIN_SECONDS = 30.0
"""The same, whatever still arrives."""

SETTLE_SECONDS = 0.2
"""For what comes twice, when everything has come once."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS = 0.02
_SHORTEST_SLEEP = 0.001  # uvloop's timers know no less, and would be asked again and again


class Bench:
    def __init__(self, plan: Plan, display: Display) -> None:
        self._plan = plan
        self._book = Book(plan)
        self._display = display
        self._tasks = Tasks()
        self._epoch = time.monotonic_ns()
        self._crowd = Crowd(plan, self._book, self._epoch)
        self._meter = Meter()
        self._times = Times()
        self._interrupted = False
        self._phase: asyncio.Timeout | None = None  # the one that an interrupt ends

    async def run(self) -> Report:
        """SIGINT or SIGTERM ends it early, with a report; a second one at once. Raises PlatformError."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._interrupt)
        if self._display.interval:
            self._tasks.start(self._show(), name="show")
        try:
            return await self._run()
        finally:
            await self._tasks.close()
            await self._crowd.leave()
            self._release_signals()
            gc.unfreeze()

    async def _run(self) -> Report:
        publisher = self._publisher()
        await self._interruptible(self._connect(publisher))
        gc.collect()
        gc.freeze()  # thousands of clients that stay: looking at them again and again would delay what is measured
        meter = self._tasks.start(self._meter.run(), name="meter")
        await self._interruptible(self._publish(publisher))
        meter.cancel()
        if self._interrupted:
            await self._drain(publisher)
        else:
            await self._interruptible(self._drain(publisher))
        return report(self._plan, self._book, self._meter, self._times, interrupted=self._interrupted)

    def _publisher(self) -> Publisher:
        writer = Writer(self._plan, self._book)
        if self._plan.through == "api":
            return ApiPublisher(writer, self._tasks)
        return ClientPublisher(writer, self._crowd.members)

    async def _connect(self, publisher: Publisher) -> None:
        start = time.monotonic()
        try:
            await self._crowd.first()
            if self._plan.rate:
                await publisher.try_out()
            await self._crowd.others()
        finally:
            self._times.connecting = time.monotonic() - start

    async def _publish(self, publisher: Publisher) -> None:
        pace = Pace(self._plan.rate, self._plan.seconds)
        book = self._book
        start = time.monotonic()
        self._times.began = (time.monotonic_ns() - self._epoch) / 1e9
        try:
            while book.due < pace.total:
                due = pace.due(time.monotonic() - start)
                at = (time.monotonic_ns() - self._epoch) // 1000
                for number in range(book.due, due):
                    publisher.put(self._due(number, at))
                publisher.flush()
                book.due = due
                await asyncio.sleep(max(start + pace.moment(due) - time.monotonic(), _SHORTEST_SLEEP))
            await asyncio.sleep(max(start + self._plan.seconds - time.monotonic(), 0))
        finally:
            self._times.publishing = time.monotonic() - start

    def _due(self, number: int, at: int) -> Due:
        """Channels in turn, and for each channel its publishers in turn."""
        turn, index = divmod(number, len(self._plan.channels))
        channel = self._plan.channels[index]
        return Due(channel, turn % len(self._book.streams[channel]), at)

    async def _drain(self, publisher: Publisher) -> None:
        """Until everything has been answered and has arrived, or will not."""
        start = time.monotonic()
        for _ in range(round(ANSWER_SECONDS / _POLL_SECONDS)):
            if publisher.idle:
                break
            await asyncio.sleep(_POLL_SECONDS)
        publisher.give_up()
        arrived, since = -1, start
        while (now := time.monotonic()) < start + DRAIN_SECONDS and now < since + QUIET_SECONDS:
            if self._book.arrived != arrived:
                arrived, since = self._book.arrived, now
            elif not self._book.lost().connected:  # what was missed while away does not come any more
                break
            await asyncio.sleep(_POLL_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)

    async def _interruptible(self, work: Coroutine[Any, Any, None]) -> None:
        if self._interrupted:
            work.close()
            return
        try:
            async with asyncio.timeout(None) as self._phase:
                await work
        except TimeoutError:
            if not self._interrupted:
                raise
        finally:
            self._phase = None

    def _interrupt(self) -> None:
        self._release_signals()
        self._interrupted = True
        if self._phase is not None:
            self._phase.reschedule(asyncio.get_running_loop().time())

    def _release_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(self._display.interval)
            self._display.show(self._line())

    def _line(self) -> str:
        book, plan = self._book, self._plan
        if not self._times.began:
            failed = f", {book.failed.total():,} failed" if book.failed else ""
            return f"connecting: {book.made:,} of {plan.clients:,}{failed}"
        seconds = time.monotonic() - self._epoch / 1e9 - self._times.began
        away = book.disconnects.total() - book.reconnects
        refused = (book.refused + book.unanswered + book.unsent).total()
        parts = [
            f"{min(seconds, plan.seconds):.0f} of {plan.seconds:.0f} s: {book.accepted:,} publications",
            *([f"{refused:,} failed"] if refused else []),
            f"{book.arrived:,} deliveries",
            *([f"{away:,} clients away"] if away else []),
            f"p50 {book.latency.quantile(0.5) / 1000:.1f} p99 {book.latency.quantile(0.99) / 1000:.1f} ms",
            f"CPU {self._meter.cpu:.0%}",
        ]
        return ", ".join(parts)
