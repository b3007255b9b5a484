"""From an accepted publication to everybody who is subscribed, here and on other nodes."""

from __future__ import annotations

from typing import Protocol

from wsplatform.model import Publication
from wsplatform.node.fanout import Fanout


class Forwarder(Protocol):
    """Sends a publication to the nodes that want its channel (node/relay.py)."""

    def publish(self, channel: str, publication: Publication) -> None: ...


class Publisher:
    """Publishes on any channel; whether the caller may is the caller's to check."""

    def __init__(self, fanout: Fanout, forwarder: Forwarder) -> None:
        self.publications = 0
        self._fanout = fanout
        self._forwarder = forwarder

    def publish(self, channel: str, publication: Publication) -> None:
        self.publications += 1
        self._fanout.deliver(channel, publication)
        self._forwarder.publish(channel, publication)
