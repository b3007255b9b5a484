"""One client connection that speaks the Centrifuge protocol in JSON."""

from __future__ import annotations

import math

from loguru import logger
from msgspec import UNSET, Raw

from wsplatform.core.channels import MAX_BYTES
from wsplatform.core.tokens import Claims, ExpiredToken, InvalidToken
from wsplatform.errors import (
    BAD_REQUEST,
    BAD_REQUEST_DISCONNECT,
    INVALID_TOKEN,
    METHOD_NOT_FOUND,
    NO_PONG,
    NOT_AVAILABLE,
    SLOW,
    STALE,
    TOKEN_EXPIRED,
    UNAUTHORIZED,
    CommandError,
    Disconnect,
    Unsubscribe,
)
from wsplatform.net.websocket import WebSocketConnection
from wsplatform.node.session import Session, Subscription
from wsplatform.web.face import Face
from wsplatform.wire import centrifuge as wire
from wsplatform.wire.centrifuge import Command
from wsplatform.wire.payload import check_payload, one_line
from wsplatform.wire.rfc6455 import TEXT, encode_frame

_PING_FRAME = encode_frame(TEXT, wire.PING)
PROTOCOL = "centrifuge-json"
"""As a subprotocol of the websocket, and in lists of sessions."""

_NO_CHANNEL = "a command without a channel"


class _Ended(Exception):
    """Leaves the commands of a message: the connection must end."""

    def __init__(self, why: Disconnect) -> None:
        super().__init__(why)
        self.why = why


class CentrifugeHandler:
    """Handler of its connection, and Client of its session. Nothing that a client sends makes it raise.

    Deadlines are moments of the loop's time: the next ping, the pong to the last one, and the end of tokens. Replies to
    the commands of one message leave in one message; what comes between two messages leaves at once.
    """

    __slots__ = (
        "_connection",
        "_face",
        "_ping_at",
        "_pong_by",
        "_ready",
        "_refused",
        "_replies",
        "_session",
        "_waiting",
        "address",
        "format",
    )
    protocol = PROTOCOL

    def __init__(self, face: Face, address: str) -> None:
        self.format = face.plain
        self._face = face
        self.address = address
        self._connection: WebSocketConnection
        self._session: Session | None = None
        self._refused = False
        self._ping_at = math.inf
        self._pong_by = math.inf
        self._replies: list[bytes] | None = None
        # Subscribes that wait for the other nodes: channel -> (id of the command, whether it asked for recovery).
        self._waiting: dict[str, tuple[int, bool]] | None = None
        self._ready: list[tuple[str, Subscription]] | None = None

    # Handler: what the connection tells

    def opened(self, connection: WebSocketConnection) -> None:
        face = self._face
        self._connection = connection
        connection.remote = self.address
        if connection.deflate:
            self.format = face.deflated
        connection.deadline = face.clock.monotonic() + face.timing.connect
        face.handlers.add(self)

    def text(self, payload: bytes) -> None:
        replies = self._replies = []
        end: Disconnect | None = None
        try:
            for command in wire.decode(payload):
                self._run(command)
        except wire.MalformedFrame as error:
            end = self._bad(error.message).why
        except _Ended as ended:
            end = ended.why
        self._replies = None
        if replies:
            self._connection.send_text(b"\n".join(replies))
        if end is not None:
            self._end(end)

    def binary(self, payload: bytes) -> None:
        self._end(self._bad("a binary message").why)

    def pong(self, payload: bytes) -> None:
        """Of the websocket's own kind, which is not asked for: the protocol has its own."""

    def writable(self, ready: bool) -> None:
        if ready:
            self._face.slow.discard(self._connection)
        elif self._connection.open:
            self._face.slow.add(self._connection)
        if self._session is not None:
            self._session.writable(ready)

    def expired(self, now: float) -> None:
        session = self._session
        if session is None:
            self.disconnect(STALE)
            return
        if now >= self._pong_by:
            self.disconnect(NO_PONG)
            return
        end = session.expire(self._face.clock.wall())
        if end is not None:
            self.disconnect(end)
            return
        if now >= self._ping_at:
            self._ping(now)
        self._schedule(now)

    def closed(self, code: int, reason: str) -> None:
        face = self._face
        face.handlers.discard(self)
        face.slow.discard(self._connection)
        face.counts.disconnected(code)
        session = self._leave()
        if session is not None:
            if code == SLOW.code:
                who = f"user {session.user!r}" if session.user else "anonymous"
                face.report(self.address, session.id, f"{who}, disconnected with 3008: it reads too slowly")
            logger.debug("client disconnected with {}", code, session=session.id)

    # Client: what the session tells

    @property
    def outlet(self) -> WebSocketConnection:
        return self._connection

    @property
    def waiting_bytes(self) -> int:
        return self._connection.buffered

    def ready(self, channel: str, subscription: Subscription) -> None:
        if subscription.by_server:
            if self._session is not None and self._session.seat(channel, subscription):
                self._send(wire.push_subscribed(channel))
            return
        # Many become ready at once when a node answers: they are seated and answered together, in one write.
        if self._ready is None:
            self._ready = []
            self._face.call_soon(self._seat_ready)
        self._ready.append((channel, subscription))

    def unsubscribed(self, channel: str, why: Unsubscribe) -> None:
        self._answer_waiting(channel)
        self._send(wire.push_unsubscribed(channel, why))

    def disconnect(self, why: Disconnect) -> None:
        self._leave()
        self._connection.close(why.code, why.reason)

    # Commands

    def _run(self, command: Command) -> None:
        """Carry out one command and add its reply. Raises _Ended."""
        session = self._session
        if session is None or command.connect is not None:
            self._connect(command)
        elif command.id:
            try:
                reply = self._answer(session, command)
            except CommandError as error:
                reply = self._failed(command.id, error)
                # All who get the same error have one turn: after a bad release that is everybody.
                channel = _channel_of(command)
                where = f" on {channel[:MAX_BYTES]!r}" if channel else ""
                self._face.report(self.address, session.id, f"refused{where}: {error}", turn=f"error {error.code}")
            if reply is not None:
                self._send(reply)
        elif command.pong:
            self._pong()
        elif command.send is None:  # messages to the server itself have no id; they are taken, and nobody reads them
            raise self._bad("a command without an id")

    def _answer(self, session: Session, command: Command) -> bytes | None:
        """The reply; None: it comes later. Raises CommandError or _Ended."""
        if command.publish is not None:
            return self._publish(session, command.id, command.publish)
        if command.subscribe is not None:
            return self._subscribe(session, command.id, command.subscribe)
        if command.unsubscribe is not None:
            return self._unsubscribe(session, command.id, command.unsubscribe.channel)
        if command.refresh is not None:
            return self._refresh(session, command.id, command.refresh.token)
        if command.sub_refresh is not None:
            return self._sub_refresh(session, command.id, command.sub_refresh)
        if command.ping is not None:
            return wire.done(command.id, "ping")
        raise _not_served(command)

    def _connect(self, command: Command) -> None:
        face = self._face
        if command.connect is None or not command.id:
            raise self._bad("a command before connect")
        if self._session is not None or self._refused:
            raise self._bad("connect for the second time")
        now = face.clock.wall()
        try:
            claims = self._identify(command.connect.token, now)
        except CommandError as error:
            # The client hangs up on this; for one that does not, the deadline for connect still stands.
            self._refused = True
            self._send(self._failed(command.id, error))
            return
        session = self._session = Session(face.new_id(), claims, self, face.services, now)
        face.sessions.add(session)
        face.counts.connects += 1
        ping = math.ceil(face.timing.ping)
        self._send(wire.connected(command.id, session.id, face.version, ping, _ttl(session, now)))
        moment = face.clock.monotonic()
        self._ping_at = moment + face.timing.ping * face.clock.chance()
        self._schedule(moment)
        logger.debug("client connected from {}", self.address, session=session.id)

    def _identify(self, token: str | None, now: float) -> Claims:
        """Raises CommandError or _Ended."""
        face = self._face
        if not token:
            if face.allow_anonymous:
                return Claims("")
            raise CommandError(UNAUTHORIZED, "connect with a connection token")
        try:
            return face.services.tokens.connection(token, now)
        except ExpiredToken:
            raise CommandError(TOKEN_EXPIRED) from None
        except InvalidToken as error:
            face.report(self.address, "", error.message)
            raise _Ended(INVALID_TOKEN) from None

    def _pong(self) -> None:
        if self._pong_by == math.inf:
            raise self._bad("a pong that no ping asked for")
        self._pong_by = math.inf
        self._schedule(self._face.clock.monotonic())

    def _publish(self, session: Session, command: int, publish: wire.Publish) -> bytes:
        if not publish.channel:
            raise self._bad(_NO_CHANNEL)
        if publish.data is UNSET:
            raise CommandError(BAD_REQUEST, "data: missing; any JSON will do")
        data = bytes(publish.data)
        check_payload(data)
        session.publish(publish.channel, Raw(one_line(data)))
        return wire.published(command)

    def _subscribe(self, session: Session, command: int, subscribe: wire.Subscribe) -> bytes | None:
        channel = subscribe.channel
        self._check_channel(channel)
        now = self._face.clock.wall()
        subscription = session.subscribe(channel, subscribe.token or "", now)
        if subscription.expires_at != math.inf:
            self._schedule(self._face.clock.monotonic())
        if subscription.seat is not None:
            return wire.subscribed(command, _ttl(subscription, now), recovering=subscribe.recover)
        if self._waiting is None:
            self._waiting = {}
        self._waiting[channel] = (command, subscribe.recover)
        return None

    def _unsubscribe(self, session: Session, command: int, channel: str) -> bytes:
        self._check_channel(channel)
        self._answer_waiting(channel)
        session.unsubscribe(channel)
        return wire.done(command, "unsubscribe")

    def _refresh(self, session: Session, command: int, token: str | None) -> bytes:
        if not token:
            raise self._bad("a refresh without a token")
        now = self._face.clock.wall()
        end = session.refresh(token, now)
        if end is INVALID_TOKEN:
            self._face.report(self.address, session.id, "a refresh with a token that is not valid for this session")
        if end is not None:
            raise _Ended(end)
        self._schedule(self._face.clock.monotonic())
        return wire.refreshed(command, session.id, self._face.version, _ttl(session, now))

    def _sub_refresh(self, session: Session, command: int, refresh: wire.SubRefresh) -> bytes:
        self._check_channel(refresh.channel)
        if not refresh.token:
            raise CommandError(BAD_REQUEST, "token: missing")
        now = self._face.clock.wall()
        subscription = session.sub_refresh(refresh.channel, refresh.token, now)
        self._schedule(self._face.clock.monotonic())
        return wire.sub_refreshed(command, _ttl(subscription, now))

    # Helpers

    def _failed(self, command: int, error: CommandError) -> bytes:
        self._face.counts.errors[error.code] += 1
        return wire.failed(command, error)

    def _answer_waiting(self, channel: str) -> None:
        """A subscribe that still waits ends before it began: the client hears that it was on, then that it is off."""
        waiting = self._waiting.pop(channel, None) if self._waiting else None
        if waiting is not None:
            self._send(wire.subscribed(waiting[0], recovering=waiting[1]))

    def _seat_ready(self) -> None:
        ready, self._ready = self._ready, None
        session = self._session
        if session is None or ready is None:
            return
        now = self._face.clock.wall()
        lines = []
        for channel, subscription in ready:
            if session.seat(channel, subscription) and self._waiting and channel in self._waiting:
                command, recovering = self._waiting.pop(channel)
                lines.append(wire.subscribed(command, _ttl(subscription, now), recovering=recovering))
        if lines:
            self._connection.send_text(b"\n".join(lines))

    def _send(self, line: bytes) -> None:
        if self._replies is not None:
            self._replies.append(line)
        else:
            self._connection.send_text(line)

    def _ping(self, now: float) -> None:
        timing = self._face.timing
        if self._pong_by == math.inf:
            self._connection.send_frame(_PING_FRAME)
            self._pong_by = now + timing.pong
        self._ping_at = now + timing.ping

    def _schedule(self, now: float) -> None:
        if not self._connection.open:
            return
        moment = min(self._ping_at, self._pong_by)
        session = self._session
        if session is not None and (end := session.deadline) != math.inf:
            moment = min(moment, now + end - self._face.clock.wall())
        self._connection.deadline = moment

    def _check_channel(self, channel: str) -> None:
        if not channel:
            raise self._bad(_NO_CHANNEL)

    def _end(self, why: Disconnect) -> None:
        """The answer to what the client has sent."""
        self._face.counts.errors[why.reason.replace(" ", "_")] += 1
        self.disconnect(why)

    def _bad(self, why: str) -> _Ended:
        self._face.report(self.address, "" if self._session is None else self._session.id, why)
        return _Ended(BAD_REQUEST_DISCONNECT)

    def _leave(self) -> Session | None:
        session, self._session = self._session, None
        if session is not None:
            self._face.sessions.remove(session)
            session.close()
        self._waiting = None
        return session


def _ttl(expiring: Session | Subscription, now: float) -> int | None:
    """Whole seconds until a new token is wanted; None: never."""
    return None if expiring.expires_at == math.inf else int(expiring.expires_at - now)


def _channel_of(command: Command) -> str:
    for part in (command.subscribe, command.publish, command.unsubscribe, command.sub_refresh):
        if part is not None:
            return part.channel
    return ""


def _not_served(command: Command) -> CommandError:
    if command.history is not None:
        return CommandError(NOT_AVAILABLE, "channels keep no history")
    if command.presence is not None or command.presence_stats is not None:
        return CommandError(NOT_AVAILABLE, "who is on a channel is not kept")
    return CommandError(METHOD_NOT_FOUND)
