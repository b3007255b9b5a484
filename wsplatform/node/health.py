"""Whether a process works (live) and whether it should get clients (ready), from facts asked at the moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wsplatform.node.process import RECENT_SECONDS


@dataclass(frozen=True, slots=True)
class Readiness:
    """`reasons`: why it is not ready, one sentence each, fit for anybody's eyes; empty: it is."""

    draining: bool = False
    reasons: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        return not self.draining and not self.reasons


class Health:
    """Live is who answers: the event loop turns. Ready is who has no reason not to be.

    checks: each gives its reasons, as Membership.reasons does. draining: whether the process is on its way out, which
    a load balancer must take for a wish and not for a fault. lag: by how many seconds the loop was late not long ago.
    """

    def __init__(
        self, checks: Iterable[Callable[[], Iterable[str]]], draining: Callable[[], bool], lag: Callable[[], float]
    ) -> None:
        self._checks = tuple(checks)
        self._draining = draining
        self._lag = lag

    def liveness(self) -> str:
        """What the answer itself proves, in a sentence. There is no opposite: who hangs says nothing."""
        return f"the event loop turns; in the last {RECENT_SECONDS:.0f} s it was late by {self._lag():.3f} s at most"

    def readiness(self) -> Readiness:
        reasons = tuple(reason for check in self._checks for reason in check())
        return Readiness(self._draining(), reasons)
