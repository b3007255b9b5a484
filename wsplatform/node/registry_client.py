"""The port from a node to the registry. `registry/service.py` gives the local one, this module the one over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from ssl import SSLContext
from typing import Annotated, Any, Final, Protocol, TypeVar

import aiohttp
import msgspec

from wsplatform.core.control import MAX_REPLY_BYTES, ControlSession, Outcome, refuse
from wsplatform.core.handshake import NONCE_BYTES, Identity, Initiator, RefusedError, refusal
from wsplatform.errors import HandshakeError, RegistryUnavailable, RequestError
from wsplatform.model import Heartbeat, HeartbeatReply, Instance, Known, Member, Registration
from wsplatform.net.tls import explain
from wsplatform.wire.registry_reply import read

__all__ = ["Heartbeat", "HttpRegistryClient", "RegistryClient", "RegistryService"]

CONTENT_TYPE: Final = "application/msgpack"
_CHUNK: Final = 65_536
_MAX_REFUSAL_BYTES: Final = 4096
_MAX_SENTENCE: Final = 300

T = TypeVar("T")


class RegistryService(Protocol):
    """What a node asks of the registry.

    register() may be repeated by an instance that is registered already; it changes nothing but what it reports.
    `known`: a registry that has lost its database goes on above these numbers, so that none means two things.

    Every call ends within seconds, and raises RegistryUnavailable (temporary) when the registry cannot be asked,
    HandshakeError when it holds another secret or speaks another version, and RequestError with code `superseded` when
    a newer instance has this node's id, or `not_registered` when the registry does not know the instance (any more).
    """

    async def register(self, member: Member, known: Known = ...) -> Registration: ...

    async def heartbeat(self, beat: Heartbeat) -> HeartbeatReply: ...

    async def leave(self, instance: Instance) -> None: ...


class RegistryClient(RegistryService, Protocol):
    """A RegistryService with resources of its own."""

    async def close(self) -> None: ...


class _Refusal(msgspec.Struct):
    code: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,32}\Z")]
    message: str


class _RefusalBody(msgspec.Struct):
    error: _Refusal


class HttpRegistryClient:
    """Asks the registry at `url` (http://host:port), one call at a time, in a control session (core/control.py).

    `timeout`: seconds for one call, the handshake before it included. `tls`: what an https:// address is checked with;
    None: the system's certificates.
    """

    def __init__(self, url: str, local: Identity, timeout: float, tls: SSLContext | None = None) -> None:
        self._url = url.rstrip("/")
        self._local = local
        self._timeout = timeout
        self._tls = tls
        self._http: aiohttp.ClientSession | None = None
        self._session: ControlSession | None = None
        self._turn = asyncio.Lock()

    async def register(self, member: Member, known: Known = Known()) -> Registration:  # noqa: B008 - immutable
        return await self._call("register", (member, known), Registration)

    async def heartbeat(self, beat: Heartbeat) -> HeartbeatReply:
        return await self._call("heartbeat", beat, HeartbeatReply)

    async def leave(self, instance: Instance) -> None:
        await self._call("leave", instance, None)

    async def close(self) -> None:
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def _call(self, method: str, question: Any, kind: type[T] | None) -> T:
        payload = msgspec.msgpack.encode(question)
        try:
            async with asyncio.timeout(self._timeout), self._turn:
                outcome = await self._ask(method, payload)
        except TimeoutError as error:
            raise RegistryUnavailable(f"The registry at {self._url} has not answered in time.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise RegistryUnavailable(f"The registry at {self._url} cannot be reached: {_reason(error)}") from error
        except HandshakeError:
            self._session = None
            raise
        if outcome.code:
            raise _error(outcome)
        return _decode(outcome.result, kind)

    async def _ask(self, method: str, payload: bytes) -> Outcome:
        """One call, in a new session if the registry does not know the present one (it was restarted)."""
        if self._session is not None:
            outcome = await self._ask_in(self._session, method, payload)
            if outcome is not None:
                return outcome
        self._session = await self._open(method)
        outcome = await self._ask_in(self._session, method, payload)
        if outcome is None:
            self._session = None
            raise RegistryUnavailable(f"The registry at {self._url} has lost the session at once.")
        return outcome

    async def _ask_in(self, session: ControlSession, method: str, payload: bytes) -> Outcome | None:
        """None: the session is not known (any more)."""
        status, body = await self._post(method, session.ask(method, payload))
        if status == 200:
            return session.answered(method, body)
        if status == 401:
            return None
        raise self._refused(status, body)

    async def _open(self, method: str) -> ControlSession:
        initiator = Initiator(self._local, secrets.token_bytes(NONCE_BYTES))
        status, opening = await self._post("session", initiator.hello())
        if status != 200:
            raise self._refused(status, opening)
        try:
            return ControlSession(initiator, opening)
        except RefusedError:
            raise
        except HandshakeError as error:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self._post(method, refuse(opening, refusal(error)))  # for its log; no reply matters
            raise

    async def _post(self, method: str, body: bytes) -> tuple[int, bytes]:
        """Status and body; a reply that is not of this protocol has its body cut short."""
        async with self._client().post(f"{self._url}/cluster/{method}", data=body, allow_redirects=False) as reply:
            good = reply.status == 200 and reply.content_type == CONTENT_TYPE
            limit = MAX_REPLY_BYTES if good else _MAX_REFUSAL_BYTES
            received = bytearray()
            async for chunk in reply.content.iter_chunked(_CHUNK):
                received += chunk
                if len(received) > limit:
                    break
            return (reply.status if good or reply.status != 200 else 0), bytes(received[:limit])

    def _client(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=1, ssl=self._tls or True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"Content-Type": CONTENT_TYPE, "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._http

    def _refused(self, status: int, body: bytes) -> HandshakeError | RegistryUnavailable:
        """The error for a reply without a seal: anybody on the way may have made it up."""
        try:
            told = msgspec.json.decode(body, type=_RefusalBody).error
        except (msgspec.MsgspecError, ValueError, RecursionError):
            told = None
        if status in (400, 403) and told is not None:
            sentence = told.message[:_MAX_SENTENCE]
            return HandshakeError(told.code, f"The registry at {self._url} refused this node. {sentence}")
        return RegistryUnavailable(
            f"What answers at {self._url} is not a registry that works (status {status}): check registry.url."
        )


def _error(outcome: Outcome) -> RegistryUnavailable | RequestError:
    if outcome.status == 503:
        return RegistryUnavailable(outcome.message)
    return RequestError(outcome.status, outcome.code, outcome.message, temporary=outcome.temporary)


def _decode(result: bytes, kind: type[T] | None) -> T:
    try:
        return msgspec.msgpack.decode(result, type=kind) if kind is None else read(result, kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HandshakeError(
            "malformed", "The registry's reply cannot be read: run the same release on all hosts."
        ) from error


def _reason(error: aiohttp.ClientError | OSError) -> str:
    """A sentence."""
    explained = explain(error)
    if explained is not None:
        return str(explained)
    if isinstance(error, aiohttp.ClientResponseError):
        return "what answers does not speak HTTP; is it TLS (https://) that it wants?"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    return f"{getattr(error, 'strerror', None) or type(error).__name__}."
