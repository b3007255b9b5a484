"""From an accepted publication to everybody who is subscribed, here and on other nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from wsplatform.core.metrics import Sample
from wsplatform.errors import INTERNAL, CommandError
from wsplatform.model import Publication
from wsplatform.node.fanout import Fanout


class Forwarder(Protocol):
    """Sends a publication to the nodes that want its channel (node/relay.py)."""

    def publish(self, channel: str, publication: Publication) -> None: ...


class Publisher:
    """Publishes on any channel; whether the caller may is the caller's to check."""

    def __init__(self, fanout: Fanout, forwarder: Forwarder) -> None:
        self.publications = 0
        self._of_clients = 0
        self._refusal = ""
        self._fanout = fanout
        self._forwarder = forwarder

    def refuse(self, why: str) -> None:
        """Take no publication from now on: it might not reach everybody. `why`: a sentence that says what to do."""
        self._refusal = why

    def accept(self) -> None:
        self._refusal = ""

    def publish(self, channel: str, publication: Publication) -> None:
        """Raises CommandError, a temporary one, while publications are refused."""
        if self._refusal:
            raise CommandError(INTERNAL, self._refusal)
        self.publications += 1
        if publication.info is not None:
            self._of_clients += 1
        self._fanout.deliver(channel, publication)
        self._forwarder.publish(channel, publication)

    def measure(self) -> Iterator[Sample]:
        yield Sample("publications", self._of_clients, "client")
        yield Sample("publications", self.publications - self._of_clients, "backend")
