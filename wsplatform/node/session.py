"""One client that was let in: who it is, what it is subscribed to, and what it may do. It knows no wire format."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from msgspec import Raw

from wsplatform.core.tokens import Claims, ExpiredToken, InvalidToken, TokenVerifier
from wsplatform.errors import (
    ALREADY_SUBSCRIBED,
    CONNECTION_EXPIRED,
    EXPIRED,
    INVALID_TOKEN,
    LIMIT_EXCEEDED,
    PERMISSION_DENIED,
    SERVER_UNSUBSCRIBED,
    SUBSCRIPTION_EXPIRED,
    TOKEN_EXPIRED,
    CommandError,
    Disconnect,
    Unsubscribe,
)
from wsplatform.model import ChannelRule, ClientInfo, Publication
from wsplatform.node.fanout import Format, Outlet, Seat
from wsplatform.node.policy import Policy
from wsplatform.node.publisher import Publisher
from wsplatform.node.subscriptions import Subscriptions

GRACE = 25.0
"""Seconds that a connection or subscription outlives its token, for the client to come with a new one."""


class Client(Protocol):
    """What a session tells whoever speaks the client's protocol. None of these may raise."""

    @property
    def outlet(self) -> Outlet: ...
    @property
    def format(self) -> Format: ...
    @property
    def address(self) -> str:
        """Where the client connects from."""
        ...

    @property
    def protocol(self) -> str:
        """What it speaks, in a word."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """How much it has not read yet, on this side of the kernel."""
        ...

    def ready(self, channel: str, subscription: Subscription) -> None:
        """A subscription that had to wait can be seated: call `Session.seat`, and tell the client in the same turn."""
        ...

    def unsubscribed(self, channel: str, why: Unsubscribe) -> None:
        """The server ended a subscription."""
        ...

    def disconnect(self, why: Disconnect) -> None:
        """End the connection; `Session.close` is called in return."""
        ...


@dataclass(frozen=True, slots=True)
class SessionServices:
    """What all sessions of a node share. max_channels: subscriptions of one session."""

    policy: Policy
    subscriptions: Subscriptions
    publisher: Publisher
    tokens: TokenVerifier
    max_channels: int
    grace: float = GRACE


class Subscription:
    """One session on one channel. seat: None while the other nodes get to know that the channel is wanted here.

    by_token, by_server: who admitted it, if not the channel's rule. expires_at: unix seconds.
    """

    __slots__ = ("by_server", "by_token", "expires_at", "info", "seat")

    def __init__(self) -> None:
        self.seat: Seat | None = None
        self.by_token = False
        self.by_server = False
        self.info: Raw | None = None
        self.expires_at = math.inf


class Session:
    """From the accepted connect command to the end of the connection. All times are unix seconds, passed in.

    id: given by the node, never used again. user: "" is anonymous. info: as other clients see it. connected_at: when it
    was let in.
    """

    __slots__ = ("_expiry", "_services", "_subscriptions", "client", "connected_at", "expires_at", "id", "info", "user")

    def __init__(self, session_id: str, claims: Claims, client: Client, services: SessionServices, now: float) -> None:
        self.id = session_id
        self.user = claims.user
        self.connected_at = now
        self.expires_at = _moment(claims)
        self.client = client
        self._services = services
        self.info = ClientInfo(claims.user, session_id, claims.info)
        self._subscriptions: dict[str, Subscription] = {}
        self._expiry = math.inf  # of subscriptions: none expires earlier

    # What the client asks for

    def subscribe(self, channel: str, token: str, now: float) -> Subscription:
        """Take a subscription; it may be without a seat yet (see Client.ready). Raises CommandError."""
        if channel in self._subscriptions:
            raise CommandError(ALREADY_SUBSCRIBED)
        rule = self._services.policy.rule(channel)
        subscription = Subscription()
        if token and rule.subscribe != "nobody":
            self._take_token(subscription, channel, token, now)
        if not _admits(rule, self.user, subscription):
            raise CommandError(PERMISSION_DENIED, _REFUSALS[rule.subscribe])
        if len(self._subscriptions) >= self._services.max_channels:
            raise CommandError(LIMIT_EXCEEDED, f"at most {self._services.max_channels} channels for one connection")
        if self._hold(channel, subscription):
            self.seat(channel, subscription)
        return subscription

    def unsubscribe(self, channel: str) -> bool:
        """Whether there was a subscription, with or without a seat."""
        subscription = self._subscriptions.pop(channel, None)
        if subscription is None:
            return False
        self._leave(channel, subscription)
        return True

    def publish(self, channel: str, data: Raw) -> None:
        """`data`: JSON as wire/payload.py wants it. Raises CommandError."""
        rule = self._services.policy.rule(channel)
        if rule.publish != "anyone" and not self._may_publish(channel, rule):
            raise CommandError(PERMISSION_DENIED, f"who may publish on this channel: {rule.publish}")
        if 0 < rule.max_bytes < (size := len(memoryview(data))):
            raise CommandError(LIMIT_EXCEEDED, f"data: {size} bytes, the channel's rule accepts {rule.max_bytes}")
        info = self._info_on(channel) if self._subscriptions else self.info
        self._services.publisher.publish(channel, Publication(data, info))

    def refresh(self, token: str, now: float) -> Disconnect | None:
        """Live on with a new token; or why the connection must end."""
        try:
            claims = self._services.tokens.connection(token, now)
        except ExpiredToken:
            return CONNECTION_EXPIRED
        except InvalidToken:
            return INVALID_TOKEN
        if claims.user != self.user:
            return INVALID_TOKEN
        self.expires_at = _moment(claims)
        self.info = ClientInfo(self.user, self.id, claims.info)
        return None

    def sub_refresh(self, channel: str, token: str, now: float) -> Subscription:
        """The subscription lives on with a new token. Raises CommandError."""
        subscription = self._subscriptions.get(channel)
        if subscription is None:
            raise CommandError(PERMISSION_DENIED, "not subscribed to this channel")
        try:
            self._take_token(subscription, channel, token, now)
        except CommandError as error:
            # SDKs ask for a new token once more when a subscribe is answered with TOKEN_EXPIRED; here they give up.
            raise CommandError(EXPIRED) if error.number == TOKEN_EXPIRED.number else error from None
        return subscription

    # What the node does

    def subscribe_by_server(self, channel: str) -> None:
        """Subscribe the client, whatever the rule says of clients; it is told once it receives. No more than once.

        Raises CommandError when no rule admits the channel, or the session is on too many.
        """
        if channel in self._subscriptions:
            return
        self._services.policy.rule(channel)
        if len(self._subscriptions) >= self._services.max_channels:
            raise CommandError(LIMIT_EXCEEDED, f"at most {self._services.max_channels} channels for one connection")
        subscription = Subscription()
        subscription.by_server = True
        if self._hold(channel, subscription):
            self.client.ready(channel, subscription)

    def unsubscribe_by_server(self, channel: str, why: Unsubscribe = SERVER_UNSUBSCRIBED) -> bool:
        """The same as `unsubscribe`, and the client is told."""
        found = self.unsubscribe(channel)
        if found:
            self.client.unsubscribed(channel, why)
        return found

    def end(self, why: Disconnect) -> None:
        self.client.disconnect(why)

    def seat(self, channel: str, subscription: Subscription) -> bool:
        """Start to receive, from this turn of the loop on. False: the subscription is over."""
        if self._subscriptions.get(channel) is not subscription:
            return False
        if subscription.seat is None:
            client = self.client
            subscription.seat = self._services.subscriptions.sit(channel, client.outlet, client.format)
        return True

    def writable(self, ready: bool) -> None:
        """See net/websocket.py Handler.writable."""
        for subscription in self._subscriptions.values():
            seat = subscription.seat
            if seat is None:
                continue
            if ready:
                seat.group.speed_up(seat)
            else:
                seat.group.slow_down(seat)

    def recheck(self) -> None:
        """After a change of the rules: end what they do not admit any more."""
        for channel, subscription in tuple(self._subscriptions.items()):
            try:
                rule = self._services.policy.rule(channel)
            except CommandError:
                admitted = False
            else:
                admitted = _admits(rule, self.user, subscription)
            if not admitted:
                self.unsubscribe_by_server(channel)

    @property
    def deadline(self) -> float:
        """When `expire` has to be called next."""
        return min(self.expires_at, self._expiry) + self._services.grace

    def expire(self, now: float) -> Disconnect | None:
        """End subscriptions whose time is over; says why the connection must end when its own is."""
        late = now - self._services.grace
        if self.expires_at <= late:
            return CONNECTION_EXPIRED
        if self._expiry <= late:
            for channel, subscription in tuple(self._subscriptions.items()):
                if subscription.expires_at <= late:
                    self.unsubscribe_by_server(channel, SUBSCRIPTION_EXPIRED)
            self._expiry = min((one.expires_at for one in self._subscriptions.values()), default=math.inf)
        return None

    def close(self) -> None:
        """Leave all channels. Idempotent."""
        while self._subscriptions:
            self._leave(*self._subscriptions.popitem())

    def channels(self) -> Iterator[str]:
        """Those that the session receives, or is about to."""
        return iter(tuple(self._subscriptions))

    def is_on(self, channel: str) -> bool:
        """The session receives this channel, or is about to."""
        return channel in self._subscriptions

    @property
    def subscriptions(self) -> int:
        """How many channels those are."""
        return len(self._subscriptions)

    def _hold(self, channel: str, subscription: Subscription) -> bool:
        """Whether it can be seated already; else the client hears of it when it can."""
        self._subscriptions[channel] = subscription
        return self._services.subscriptions.hold(channel, partial(self._known, channel, subscription))

    def _known(self, channel: str, subscription: Subscription) -> None:
        if self._subscriptions.get(channel) is subscription:
            self.client.ready(channel, subscription)

    def _leave(self, channel: str, subscription: Subscription) -> None:
        if subscription.seat is not None:
            self._services.subscriptions.stand(channel, subscription.seat)
        self._services.subscriptions.release(channel)

    def _take_token(self, subscription: Subscription, channel: str, token: str, now: float) -> None:
        try:
            claims = self._services.tokens.subscription(token, now)
        except ExpiredToken:
            raise CommandError(TOKEN_EXPIRED) from None
        except InvalidToken:
            raise CommandError(PERMISSION_DENIED, "the subscription token is not valid") from None
        if claims.channel != channel or claims.user != self.user:
            raise CommandError(PERMISSION_DENIED, "the subscription token is for another user or channel")
        subscription.by_token = True
        subscription.info = claims.info
        subscription.expires_at = _moment(claims)
        self._expiry = min(self._expiry, subscription.expires_at)

    def _may_publish(self, channel: str, rule: ChannelRule) -> bool:
        if rule.publish == "users":
            return bool(self.user)
        subscription = self._subscriptions.get(channel)
        return rule.publish == "subscribers" and subscription is not None and subscription.seat is not None

    def _info_on(self, channel: str) -> ClientInfo:
        subscription = self._subscriptions.get(channel)
        if subscription is None or subscription.info is None:
            return self.info
        return ClientInfo(self.user, self.id, self.info.conn_info, subscription.info)


_REFUSALS = {
    "users": "this channel is for users: connect with a token that names one",
    "token": "this channel needs a subscription token",
    "nobody": "clients cannot subscribe to this channel",
}


def _admits(rule: ChannelRule, user: str, subscription: Subscription) -> bool:
    right = rule.subscribe
    if right == "anyone" or subscription.by_server:
        return True
    if right == "nobody":
        return False
    return subscription.by_token or (right == "users" and bool(user))


def _moment(claims: Claims) -> float:
    return math.inf if claims.expires_at is None else claims.expires_at
