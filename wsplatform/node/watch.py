"""Seeing the publications of a channel without being subscribed to it: on a node, and in a process without clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wsplatform.model import Publication
from wsplatform.node.fanout import Group
from wsplatform.node.subscriptions import Subscriptions

Listener = Callable[[Publication], None]


class LocalWatch:
    """On a node: the listener stands where a format would, in a group without subscribers. Others pay nothing."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions

    def watch(self, channel: str, listener: Listener, known: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` with every publication, until the function that is returned is called, once.

        known: called once, when what any node publishes from now on comes; also when that takes too long.
        """
        subscriptions = self._subscriptions
        group = Group(_Ear(listener))
        at_once = subscriptions.hold(channel, known)
        subscriptions.listen(channel, group)

        def stop() -> None:
            subscriptions.unlisten(channel, group)
            subscriptions.release(channel)

        if at_once:
            known()
        return stop


class _Ear:
    """fanout.Format."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def publication(self, channel: str, publication: Publication) -> bytes:
        self._listener(publication)
        return b""


class Mesh(Protocol):
    """What it needs of node/relay.py."""

    def want(self, channel: str, done: Callable[[], None]) -> bool: ...
    def unwant(self, channel: str) -> None: ...


class RemoteWatch:
    """In a process without clients; it gets what the relay delivers."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    def watch(self, mesh: Mesh, channel: str, listener: Listener, known: Callable[[], None]) -> Callable[[], None]:
        """As LocalWatch."""
        listeners = self._listeners.setdefault(channel, [])
        listeners.append(listener)

        def stop() -> None:
            listeners.remove(listener)
            if not listeners:
                del self._listeners[channel]
                mesh.unwant(channel)

        if mesh.want(channel, known):
            known()
        return stop

    def deliver(self, channel: str, publication: Publication) -> None:
        for listener in tuple(self._listeners.get(channel, ())):
            listener(publication)
