"""All database work, in one thread that takes batches: what waits together is committed together.

An operation is a function of the database, run inside a transaction; it may read, write and raise. Those that wait when
the thread becomes free share one transaction. If one of them fails, all are rolled back and run again one by one, so a
failing operation fails alone; operations must therefore have no effect outside the database. An answer is given only
after the commit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from loguru import logger
from peewee import Database

from wsplatform.errors import RequestError
from wsplatform.registry.database import BUSY_SECONDS, Place, create_file, execute, not_startable, unavailable
from wsplatform.registry.worker import Operation, Outcome, Worker

T = TypeVar("T")

MAX_BATCH: Final = 512
MAX_WAITING: Final = 10_000
"""How many operations may wait for a database that hangs; more are refused at once."""

PATIENCE: Final = 2 * BUSY_SECONDS
_CLOSE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation
    future: asyncio.Future[Any]
    durable: bool


class Store:
    """A database and the thread that works on it. Belongs to the event loop that opened it."""

    def __init__(self, place: Place, *, reads: bool = False) -> None:
        """reads: for operations that only read."""
        self._place = place
        self._reads = reads
        self._worker = Worker(place, reads=reads)
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._ended: asyncio.Future[None] | None = None
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Operations that are not done, those under way among them."""
        return self._waiting

    @property
    def works(self) -> bool:
        """The database could be used the last time it was tried."""
        return not self._worker.trouble

    async def open(self) -> None:
        """Start the thread and connect. Raises StartError."""
        create_file(self._place)
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        thread = threading.Thread(target=self._work, args=(loop, self._ended), name="registry-store", daemon=True)
        thread.start()
        try:
            await self.run(lambda database: execute(database, "SELECT 1").fetchone(), patience=None)
        except RequestError as error:
            await self.close()
            raise not_startable(self._place, self._worker.trouble) from error

    def submit(self, operation: Callable[[Database], T], *, durable: bool = True) -> asyncio.Future[T]:
        """Queue `operation`; the future gets its result or error after the commit, whether or not somebody waits.

        durable: it must survive a loss of power; without that it survives the end of the process only.
        The error is RequestError `database_unavailable` when the database cannot be used, else what `operation` raised.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        future.add_done_callback(look_at_error)
        if self._ended is None:
            future.set_exception(unavailable("it is closed"))
        elif self._waiting >= MAX_WAITING:
            future.set_exception(unavailable("too much waits for it already: see what keeps it busy"))
        else:
            self._waiting += 1
            self._queue.put(_Job(operation, future, durable))
        return future

    async def run(
        self, operation: Callable[[Database], T], *, durable: bool = True, patience: float | None = PATIENCE
    ) -> T:
        """`submit` and `settled` in one."""
        future = self.submit(operation, durable=durable)
        try:
            return await settled(future, patience, unsure=not self._reads)
        finally:
            if self._reads:
                future.cancel()  # of no effect when it is done; who asked has gone, and nobody needs the answer

    async def close(self) -> None:
        """Finish what was submitted, then disconnect. Idempotent. A database that hangs is left behind after 10 s."""
        ended, self._ended = self._ended, None
        if ended is None:
            return
        self._queue.put(None)
        await asyncio.wait((ended,), timeout=_CLOSE_SECONDS)
        if not ended.done():
            logger.error("The registry's database hangs: changes that were not answered yet may be lost")

    def _work(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        """The thread."""
        # What reads is answered one after the other: a short question does not wait for the end of long ones.
        most = 1 if self._reads else MAX_BATCH
        while batch := _take(self._queue, most):
            if batch[0].future.cancelled() and self._reads:
                _tell(loop, self._deliver, batch, [Outcome()])
                continue
            durable = any(job.durable for job in batch)
            outcomes = self._worker.perform([job.operation for job in batch], durable=durable)
            _tell(loop, self._deliver, batch, outcomes)
        self._worker.disconnect()
        _tell(loop, _end, ended)

    def _deliver(self, batch: Sequence[_Job], outcomes: Sequence[Outcome]) -> None:
        self._waiting -= len(batch)
        for job, outcome in zip(batch, outcomes, strict=True):
            if job.future.done():
                continue
            if outcome.error is not None:
                job.future.set_exception(outcome.error)
            else:
                job.future.set_result(outcome.result)


async def settled(future: asyncio.Future[T], patience: float | None = PATIENCE, *, unsure: bool = True) -> T:
    """The result of `future`, which goes on when `patience` seconds were not enough (None: wait for ever).

    unsure: it may change something. Raises RequestError `database_unavailable` then, and when the database cannot be
    used.
    """
    await asyncio.wait((future,), timeout=patience)
    if not future.done():
        raise unavailable("it takes too long to answer: see what keeps it busy", unsure=unsure)
    return future.result()


def _take(queue: SimpleQueue[_Job | None], most: int) -> list[_Job]:
    """What waits, from one job to `most`; empty: the end."""
    batch: list[_Job] = []
    while len(batch) < most:
        try:
            job = queue.get(block=not batch)
        except Empty:
            break
        if job is None:
            if batch:
                queue.put(None)
            break
        batch.append(job)
    return batch


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *values: object) -> None:
    try:
        loop.call_soon_threadsafe(callback, *values)
    except RuntimeError:  # the loop is closed: whoever asked is gone with it
        logger.warning("The registry's database answered after the end of the process's event loop")


def look_at_error(future: asyncio.Future[Any]) -> None:
    """Nobody may be waiting any more, which is no reason for asyncio to complain."""
    if not future.cancelled():
        future.exception()


def _end(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
