"""By how much the clock of a node is ahead of the registry's, from the times that its heartbeats were sent at."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

WRONG_SECONDS: Final = 5.0
"""A clock that is wrong by less disturbs nobody: it is neither told of nor reckoned with."""

_KEPT: Final = 8
_ENOUGH: Final = 3


class Clock:
    """Of one instance.

    Whatever is late on its way looks as if the node's clock were behind, never ahead: of the newest heartbeats, the
    quickest tells the truth. One or two may all have been late, when many come at once.
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=_KEPT)

    def heard(self, sent: float, now: float) -> None:
        """sent: Unix time by the node's clock, 0: it has not said; now: by the registry's."""
        if sent and math.isfinite(sent):
            self._seen.append(sent - now)

    @property
    def ahead(self) -> float:
        """Seconds, negative: behind. 0 for a clock that is right, as far as can be known."""
        if len(self._seen) < _ENOUGH:
            return 0.0
        ahead = max(self._seen)
        return float(round(ahead)) if abs(ahead) >= WRONG_SECONDS else 0.0
