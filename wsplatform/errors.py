"""What can go wrong, as people and programs see it.

    PlatformError               code, sentence, temporary or not
    ├── SettingsError           a setting cannot be used: key, value, what is expected
    ├── StartError              the process cannot start: port in use, database unreadable, binary missing
    ├── CommandError            a client or backend asked for what it cannot have (numbers of the Centrifuge protocol)
    ├── RequestError            an operator or node asked for what it cannot have (HTTP status)
    ├── HandshakeError          a peer could not prove who it is or speaks another version
    └── RegistryUnavailable     the registry cannot be reached or asked right now (temporary)

`Disconnect` is not an exception: it is the word given to a client whose connection ends.
"""

from __future__ import annotations

from dataclasses import dataclass


class PlatformError(Exception):
    """Base of every error that may leave the process.

    `code` is stable and meant for programs; `message` says what to do and holds nothing internal;
    `temporary` tells that the same request may succeed later.
    """

    def __init__(self, code: str, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.temporary = temporary

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class SettingsError(PlatformError):
    """A setting cannot be used. `value` must be masked by the caller where the key names a secret."""

    def __init__(self, key: str, value: str, expected: str) -> None:
        super().__init__("invalid_setting", f"Setting {key} = {value} cannot be used: expected {expected}.")
        self.key = key
        self.value = value
        self.expected = expected


class StartError(PlatformError):
    """The process cannot start; the message says what to change."""


class RequestError(PlatformError):
    """An HTTP request that cannot be answered as asked; `status` is the HTTP status."""

    def __init__(self, status: int, code: str, message: str, *, temporary: bool = False) -> None:
        super().__init__(code, message, temporary=temporary)
        self.status = status


class HandshakeError(PlatformError):
    """A peer was refused, or refused us. `code`: wrong_secret, wrong_version, wrong_cluster, self_connection, …"""


class RegistryUnavailable(PlatformError):
    """The registry did not answer, or answered that it cannot work now."""

    def __init__(self, message: str) -> None:
        super().__init__("registry_unavailable", message, temporary=True)


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """An error of the client and server APIs: number and name as the Centrifuge protocol has them."""

    number: int
    code: str
    message: str
    temporary: bool = False


class CommandError(PlatformError):
    """A command of a client or backend cannot be carried out; `number` goes over the wire."""

    def __init__(self, kind: ErrorKind, message: str = "") -> None:
        super().__init__(kind.code, message or kind.message, temporary=kind.temporary)
        self.number = kind.number


# Numbers: centrifugal.dev, docs/server/codes.md.
INTERNAL = ErrorKind(100, "internal", "internal server error", temporary=True)
UNAUTHORIZED = ErrorKind(101, "unauthorized", "unauthorized")
UNKNOWN_CHANNEL = ErrorKind(102, "unknown_channel", "unknown channel: no channel rule admits it")
PERMISSION_DENIED = ErrorKind(103, "permission_denied", "permission denied")
METHOD_NOT_FOUND = ErrorKind(104, "method_not_found", "method not found")
ALREADY_SUBSCRIBED = ErrorKind(105, "already_subscribed", "already subscribed")
LIMIT_EXCEEDED = ErrorKind(106, "limit_exceeded", "limit exceeded")
BAD_REQUEST = ErrorKind(107, "bad_request", "bad request")
NOT_AVAILABLE = ErrorKind(108, "not_available", "not available")
TOKEN_EXPIRED = ErrorKind(109, "token_expired", "token expired")
EXPIRED = ErrorKind(110, "expired", "expired")
TOO_MANY_REQUESTS = ErrorKind(111, "too_many_requests", "too many requests", temporary=True)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Why a client's connection ends. Codes 3500–3999 and 4500–4999 tell the client not to come back."""

    code: int
    reason: str


# Numbers: centrifugal.dev, docs/server/codes.md.
SHUTDOWN = Disconnect(3001, "shutdown")
SERVER_ERROR = Disconnect(3004, "internal server error")
CONNECTION_EXPIRED = Disconnect(3005, "connection expired")
SLOW = Disconnect(3008, "slow")
FORCE_RECONNECT = Disconnect(3011, "force reconnect")
NO_PONG = Disconnect(3012, "no pong")
INVALID_TOKEN = Disconnect(3500, "invalid token")
BAD_REQUEST_DISCONNECT = Disconnect(3501, "bad request")
STALE = Disconnect(3502, "stale")
FORCE_NO_RECONNECT = Disconnect(3503, "force disconnect")
CONNECTION_LIMIT = Disconnect(3504, "connection limit")


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Why a subscription ends. Codes from 2500 tell the client to subscribe again."""

    code: int
    reason: str


CLIENT_UNSUBSCRIBED = Unsubscribe(0, "client unsubscribed")
SERVER_UNSUBSCRIBED = Unsubscribe(2000, "server unsubscribe")
SUBSCRIPTION_EXPIRED = Unsubscribe(2501, "subscription expired")
