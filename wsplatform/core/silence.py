"""When a peer that says nothing is given up."""

from __future__ import annotations


class Silence:
    """Counts the seconds in which nothing was heard of a peer that speaks every `heartbeat` seconds.

    To be looked at about once in a heartbeat. While our own loop stood still nothing could be heard, whatever the peer
    did: each look counts for two heartbeats at most, so that a pause of ours is no alarm.
    """

    __slots__ = ("_checked", "_heard", "_heartbeat", "_limit", "_silent")

    def __init__(self, heartbeat: float, dead: float, now: float) -> None:
        self._heartbeat = heartbeat
        self._limit = dead - heartbeat / 2
        self._heard = True
        self._checked = now
        self._silent = 0.0

    def heard(self) -> None:
        self._heard = True

    def look(self, now: float) -> bool:
        """Whether it has lasted too long: `dead` seconds, of which half a heartbeat is kept for the look itself."""
        passed = min(now - self._checked, 2 * self._heartbeat)
        self._checked = now
        self._silent = 0.0 if self._heard else self._silent + passed
        self._heard = False
        return self._silent > self._limit
