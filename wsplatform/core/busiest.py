"""Which names were counted most often, in memory that does not grow with the number of names.

Misra and Gries, "Finding repeated elements" (1982), by the merge of Agarwal et al., "Mergeable summaries" (2012), who
also show that it is as exact as SpaceSaving (Metwally et al., 2005). To count costs one access to a dict: what gathers
there is merged into the summary when it holds many different names.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest
from operator import itemgetter
from typing import Final

KEPT: Final = 1024
"""Names in the summary. A name is counted too low by at most the total divided by one more than this."""

GATHERED: Final = 8192
"""Different names until they are merged; as long as there are no more, counts are exact."""

_count = itemgetter(1)


def highest(counts: Mapping[str, int], limit: int) -> list[tuple[str, int]]:
    """Those with the highest counts, highest first."""
    return nlargest(limit, counts.items(), key=_count)


class Busiest(dict[str, int]):
    """`busiest[name] += 1` counts. The counts since the last `take` are never too high, and exact for few names."""

    __slots__ = ("_kept", "_most", "_summary")

    def __init__(self, kept: int = KEPT, gathered: int = GATHERED) -> None:
        super().__init__()
        self._kept = kept
        self._most = gathered
        self._summary: dict[str, int] = {}

    def __missing__(self, name: str) -> int:
        if len(self) >= self._most:
            self._summary = self._reduced()
            self.clear()
        return 0

    def take(self) -> dict[str, int]:
        """The counts, and begin anew."""
        merged = self._merged()
        self.clear()
        self._summary = {}
        return merged

    @property
    def held(self) -> int:
        """Names in memory."""
        return len(self) + len(self._summary)

    def _merged(self) -> dict[str, int]:
        merged = dict(self)
        for name, count in self._summary.items():
            merged[name] = merged.get(name, 0) + count
        return merged

    def _reduced(self) -> dict[str, int]:
        """All counts less the highest that has no place: of each unit taken away, as many are as names are kept."""
        merged = self._merged()
        if len(merged) <= self._kept:
            return merged
        least = nlargest(self._kept + 1, merged.values())[-1]
        return {name: count - least for name, count in merged.items() if count > least}
