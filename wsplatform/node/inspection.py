"""What this node answers, and does, when the admin API asks it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Raw

from wsplatform.core.glob import Glob
from wsplatform.errors import INTERNAL, CommandError, Disconnect
from wsplatform.model import RESERVED_PREFIX, Instance, Publication
from wsplatform.node.gathering import PAGE_BYTES, Gathering, Listing
from wsplatform.node.session import Session
from wsplatform.node.sessions import Sessions
from wsplatform.node.subscriptions import Subscriptions
from wsplatform.wire import inspect as wire
from wsplatform.wire.questions import QuestionError

Reply = Callable[[wire.Answer], None]
_AtOnce = wire.CountSubscribers | wire.DescribeSession | wire.EndSession | wire.Drain | wire.PublishHere


class Orders(Protocol):
    """What the node does when it is told to."""

    def publish(self, channel: str, publication: Publication) -> None:
        """For the whole cluster. Raises CommandError."""

    def end(self) -> None:
        """Begin the orderly end of the process. May come again."""


class Inspection:
    """Answers for the sessions and channels of this node. `reply` is called once, at once or later."""

    def __init__(self, instance: Instance, sessions: Sessions, subscriptions: Subscriptions, orders: Orders) -> None:
        self.instance = instance
        self._sessions = sessions
        self._subscriptions = subscriptions
        self._orders = orders
        self._gathering = Gathering()

    def serve(self, question: bytes, reply: Callable[[bytes], None]) -> None:
        """The same as `ask`, for another process."""
        try:
            self.ask(wire.decode_question(question), lambda answer: reply(wire.encode(answer)))
        except QuestionError as error:
            reply(wire.encode(wire.Failed(INTERNAL.number, error.message)))

    def ask(self, question: wire.Question, reply: Reply) -> None:
        try:
            match question:
                case wire.ListChannels():
                    self._list_channels(question, reply)
                case wire.ListSessions():
                    self._list_sessions(question, reply)
                case _:
                    reply(self._answer(question))
        except CommandError as error:
            reply(wire.Failed(error.number, error.message))

    def _answer(self, question: _AtOnce) -> wire.Answer:
        match question:
            case wire.CountSubscribers():
                return wire.Subscribers(self._subscriptions.subscribers(question.channel))
            case wire.DescribeSession():
                session = self._sessions.get(question.id)
                return wire.Unknown() if session is None else _details(session)
            case wire.EndSession():
                session = self._sessions.get(question.id)
                if session is None:
                    return wire.Unknown()
                session.end(Disconnect(question.code, question.reason))
            case wire.Drain():
                if question.incarnation != self.instance.incarnation:
                    return wire.Unknown()
                self._orders.end()
            case wire.PublishHere():
                self._orders.publish(question.channel, Publication(Raw(question.data), tags=question.tags))
        return wire.Done()

    def _list_channels(self, question: wire.ListChannels, reply: Reply) -> None:
        matches = Glob(question.pattern).matches if question.pattern else None
        subscribers = self._subscriptions.subscribers

        def wanted(name: str) -> bool:
            return (
                question.contains in name
                and (matches is None or matches(name))
                and not name.startswith(RESERVED_PREFIX)
                and subscribers(name) > 0
            )

        def item(name: str) -> tuple[str, int] | None:
            count = subscribers(name)
            return (name, count) if count else None

        listing = Listing(self._subscriptions.names, wanted, item, lambda item: 10 + _bytes(item[0]))
        self._gathering.gather(
            listing, question.after, question.limit, lambda part: reply(wire.ChannelPage(part.items, part.upto))
        )

    def _list_sessions(self, question: wire.ListSessions, reply: Reply) -> None:
        get = self._sessions.get

        def names() -> Sequence[str]:
            if question.user is None:
                return self._sessions.ids()
            return [session.id for session in self._sessions.of_user(question.user)]

        def wanted(session_id: str) -> bool:
            session = get(session_id)
            return session is not None and _matches(session, question)

        def item(session_id: str) -> wire.SessionItem | None:
            session = get(session_id)
            return None if session is None else _item(session)

        self._gathering.gather(
            Listing(names, wanted, item, lambda item: 100 + _bytes(item.user)),
            question.after,
            question.limit,
            lambda part: reply(wire.SessionPage(part.items, part.upto)),
        )


def _matches(session: Session, question: wire.ListSessions) -> bool:
    part = question.contains
    return (
        (not question.slow or session.client.waiting_bytes > 0)
        and (not question.channel or session.is_on(question.channel))
        and (part in session.id or part in session.user or part in session.client.address)
    )


def _item(session: Session) -> wire.SessionItem:
    client = session.client
    return wire.SessionItem(
        session.id,
        session.user,
        client.address,
        session.connected_at,
        session.subscriptions,
        client.protocol,
        client.waiting_bytes,
    )


def _details(session: Session) -> wire.SessionDetails:
    info = session.info.conn_info
    return wire.SessionDetails(
        session=_item(session),
        channels=tuple(_first(sorted(session.channels()), PAGE_BYTES)),
        info=None if info is None else bytes(info),
        expires_at=None if session.expires_at == math.inf else session.expires_at,
    )


def _first(names: Sequence[str], room: int) -> Sequence[str]:
    """As many of them as have room (bytes)."""
    for count, name in enumerate(names):
        room -= _bytes(name)
        if room < 0:
            return names[:count]
    return names


def _bytes(text: str) -> int:
    return 5 + (len(text) if text.isascii() else 4 * len(text))
