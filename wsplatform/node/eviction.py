"""After a change of the rules: ends the subscriptions that are not admitted any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from wsplatform.node.policy import Policy
from wsplatform.node.session import Session
from wsplatform.node.sessions import Sessions

AT_ONCE = 200
"""Sessions looked at in one turn of the loop."""


class Eviction:
    """Goes through all sessions, some each turn. One that connects meanwhile is held to the new rules anyway."""

    def __init__(self, policy: Policy, sessions: Sessions, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._sessions = sessions
        self._call_soon = call_soon
        self._left: Iterator[Session] = iter(())
        self._busy = False
        policy.listen(self._begin)

    def _begin(self) -> None:
        self._left = iter(self._sessions)
        if not self._busy:
            self._busy = True
            self._call_soon(self._turn)

    def _turn(self) -> None:
        batch = tuple(islice(self._left, AT_ONCE))
        for session in batch:
            session.recheck()
        self._busy = bool(batch)
        if batch:
            self._call_soon(self._turn)
