"""What a server says to the clients of `wsplatform bench`, and what it means when it says nothing of the kind."""

from __future__ import annotations

import errno
from ssl import SSLCertVerificationError, SSLError
from typing import Annotated, Any

import msgspec

from wsplatform.cli.http import unreachable, wrong_place
from wsplatform.core.numbered import Numbered
from wsplatform.errors import PlatformError
from wsplatform.net.connect import ConnectRefused


class Pub(msgspec.Struct, gc=False):
    data: Numbered


class Unsubscribe(msgspec.Struct, gc=False):
    code: int = 0


class Push(msgspec.Struct, gc=False):
    channel: str = ""
    pub: Pub | None = None
    unsubscribe: Unsubscribe | None = None


class Connected(msgspec.Struct, gc=False):
    ping: float = 0


class Message(msgspec.Struct, gc=False):
    """A reply (with an id), a push, or neither: a ping."""

    id: Annotated[int, msgspec.Meta(ge=0)] = 0
    error: dict[str, Any] | None = None
    connect: Connected | None = None
    push: Push | None = None


class _StrangePush(msgspec.Struct, gc=False):
    channel: str
    pub: dict[str, msgspec.Raw]


class _Strange(msgspec.Struct, gc=False):
    """A publication whose data is nothing that `bench` publishes."""

    push: _StrangePush


_decode_lines = msgspec.json.Decoder(Message).decode_lines
_decode_line = msgspec.json.Decoder(Message).decode
_decode_strange = msgspec.json.Decoder(_Strange).decode


def decode(payload: bytes) -> list[Message]:
    """Everything in one text message but the publications of others. Raises PlatformError `malformed_reply`."""
    try:
        if messages := _decode_lines(payload):
            return messages
    except (msgspec.DecodeError, RecursionError):
        pass  # not all of it is ours
    messages = []
    try:
        for line in payload.split(b"\n"):
            try:
                messages.append(_decode_line(line))
            except msgspec.ValidationError:
                _decode_strange(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed() from error
    return messages


def malformed() -> PlatformError:
    return PlatformError("malformed_reply", "The server sent what is not the Centrifuge protocol in JSON.")


def not_connected(url: str, failure: OSError | ValueError) -> PlatformError:
    """Why there is no connection. `failure`: as net/connect.py raises it."""
    if isinstance(failure, ConnectRefused):
        return _no_websocket(url, failure)
    if isinstance(failure, (ConnectionResetError, BrokenPipeError)):
        return PlatformError("reset", f"{url} hung up.")
    if isinstance(failure, TimeoutError):
        return PlatformError("timeout", unreachable(url, failure).message)
    return _no_connection(url, failure)


def _no_connection(url: str, failure: OSError | ValueError) -> PlatformError:
    if isinstance(failure, ValueError) and not isinstance(failure, OSError):
        return PlatformError("invalid_address", f"{url} cannot be connected to: {failure}.")
    if isinstance(failure, SSLCertVerificationError):
        return PlatformError("untrusted", f"{url} has no certificate that is trusted here ({failure.verify_message}).")
    if isinstance(failure, SSLError):
        return PlatformError("no_tls", f"{url} does not speak TLS as this machine does: https:// may be wrong.")
    if failure.errno == errno.EADDRNOTAVAIL:
        return PlatformError("no_free_port", f"No port is left here for a connection to {url}: use fewer clients.")
    return unreachable(url, failure)


def _no_websocket(url: str, failure: ConnectRefused) -> PlatformError:
    if failure.status in (404, 405):
        return wrong_place(url, "node")
    if failure.status < 200:
        return PlatformError("not_websocket", f"{url} is no node and no load balancer: {failure}.")
    return PlatformError(f"http_{failure.status}", f"{url} did not let this client in: {failure}.")
