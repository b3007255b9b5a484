"""What this node answers, and does, when the server API asks all nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wsplatform import __version__
from wsplatform.core.glob import Glob
from wsplatform.errors import INTERNAL, CommandError, Disconnect
from wsplatform.model import Instance
from wsplatform.node.gathering import Gathering
from wsplatform.node.session import Session
from wsplatform.node.sessions import Sessions
from wsplatform.node.subscriptions import Subscriptions
from wsplatform.wire import directory as wire
from wsplatform.wire.questions import QuestionError
from wsplatform.wire.server_api import NodeInfo

_AtOnce = wire.DescribeNode | wire.EndSessions | wire.EndSubscriptions


@dataclass(frozen=True, slots=True)
class LocalNode:
    """`uptime`: seconds since the start."""

    instance: Instance
    uptime: Callable[[], float]


class LocalDirectory:
    """Answers for the sessions and channels of this node. `reply` is called once, at once or later."""

    def __init__(self, node: LocalNode, sessions: Sessions, subscriptions: Subscriptions) -> None:
        self._node = node
        self._sessions = sessions
        self._subscriptions = subscriptions
        self._gathering = Gathering()

    @property
    def node_id(self) -> str:
        return self._node.instance.node_id

    def serve(self, question: bytes, reply: Callable[[bytes], None]) -> None:
        """The same as `ask`, for another node."""
        try:
            self.ask(wire.decode_question(question), lambda answer: reply(wire.encode(answer)))
        except QuestionError as error:
            reply(wire.encode(wire.Failed(INTERNAL.number, error.message)))

    def ask(self, question: wire.Question, reply: Callable[[wire.Answer], None]) -> None:
        try:
            match question:
                case wire.ListChannels():
                    self._channels(question.pattern, reply)
                case wire.Subscribe():
                    self._subscribe(question, reply)
                case _:
                    reply(self._answer(question))
        except CommandError as error:
            reply(wire.Failed(error.number, error.message))

    def _answer(self, question: _AtOnce) -> wire.Answer:
        match question:
            case wire.DescribeNode():
                return wire.Description(self._describe())
            case wire.EndSessions():
                self._end(question)
            case wire.EndSubscriptions():
                for session in self._whose(question.user, question.client):
                    session.unsubscribe_by_server(question.channel)
        return wire.Done()

    def _channels(self, pattern: str, reply: Callable[[wire.Answer], None]) -> None:
        matches = Glob(pattern).matches if pattern else None
        subscribers = self._subscriptions.subscribers
        counts: dict[str, int] = {}

        def look(names: Sequence[str]) -> None:
            for name in names if matches is None else filter(matches, names):
                if count := subscribers(name):
                    counts[name] = count

        self._gathering.go_through(self._subscriptions.names, look, lambda: reply(wire.ChannelList(counts)))

    def _describe(self) -> NodeInfo:
        return NodeInfo(
            uid=self._node.instance.incarnation,
            name=self._node.instance.node_id,
            version=__version__,
            num_clients=len(self._sessions),
            num_users=self._sessions.users,
            num_subs=self._subscriptions.seats,
            num_channels=len(self._subscriptions),
            uptime=int(self._node.uptime()),
        )

    def _end(self, order: wire.EndSessions) -> None:
        why = Disconnect(order.code, order.reason)
        for session in self._whose(order.user, order.client):
            if session.id not in order.keep:
                session.end(why)

    def _subscribe(self, order: wire.Subscribe, reply: Callable[[wire.Answer], None]) -> None:
        """Replies once the sessions receive: what is published after that, on any node, reaches them."""
        if not self._whose(order.user, order.client):
            reply(wire.Done())
            return

        def known() -> None:
            answer = self._subscribe_now(order)
            self._subscriptions.release(order.channel)
            reply(answer)

        if self._subscriptions.hold(order.channel, known):
            known()

    def _subscribe_now(self, order: wire.Subscribe) -> wire.Answer:
        sessions = self._whose(order.user, order.client)
        errors = [error for session in sessions if (error := _subscribe(session, order.channel)) is not None]
        if errors:
            return wire.Failed(errors[0].number, f"{len(errors)} of {len(sessions)} sessions: {errors[0].message}")
        return wire.Done()

    def _whose(self, user: str, client: str) -> tuple[Session, ...]:
        if not client:
            return self._sessions.of_user(user)
        session = self._sessions.get(client)
        return (session,) if session is not None and session.user == user else ()


def _subscribe(session: Session, channel: str) -> CommandError | None:
    try:
        session.subscribe_by_server(channel)
    except CommandError as error:
        return error
    return None
