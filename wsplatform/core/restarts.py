"""When a process that has ended is started again, and when there is no sense in it any more. Pure: times are given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from wsplatform.core.backoff import Backoff

STABLE_SECONDS: Final = 10.0
"""A run that lasted so long was not a failed start."""

HOPELESS_STARTS: Final = 5
"""So many failed starts in a row, and one does not expect the next to work."""

_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 15.0


@dataclass(slots=True)
class _Record:
    backoff: Backoff = field(default_factory=lambda: Backoff(_FIRST_WAIT, _LONGEST_WAIT))
    failures: int = 0
    began: float | None = None  # None: it is not running
    retired: bool = False


class Restarts:
    """Keeps the account of processes that are known by `names`. All times in seconds of one monotonic clock.

    forever: no failure counts against them, for others can do without them.

    A process that fails alone is tried for ever, ever more slowly: the others serve. When none is left that has not
    failed again and again, the fault is not with one of them.
    """

    def __init__(self, names: Iterable[str], *, forever: bool = False) -> None:
        self._forever = forever
        self._records = {name: _Record() for name in names}

    def began(self, name: str, now: float) -> None:
        self._records[name].began = now

    def ended(self, name: str, now: float, chance: float) -> float:
        """It has ended; how many seconds to wait before it is started again. `chance`: from 0 to 1."""
        record = self._records[name]
        if record.began is not None and now - record.began >= STABLE_SECONDS:
            record.failures = 0
            record.backoff.reset()
        record.failures += 1
        record.began = None
        return record.backoff.next(chance)

    def retire(self, name: str) -> None:
        """It has ended and will not be started again."""
        record = self._records[name]
        record.began = None
        record.retired = True

    def hopeless(self, now: float) -> bool:
        """Whether none of them serves or can be expected to."""
        return not self._forever and all(_hopeless(record, now) for record in self._records.values())


def _hopeless(record: _Record, now: float) -> bool:
    if record.retired:
        return True
    if record.began is not None and now - record.began >= STABLE_SECONDS:
        return False
    return record.failures >= HOPELESS_STARTS
