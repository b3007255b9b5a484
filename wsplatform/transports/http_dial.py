"""The side of an exchange that calls (transports/http_exchange.py), with aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from io import BytesIO
from ssl import SSLContext
from typing import Final

import aiohttp
import msgspec

from wsplatform.core.handshake import MAX_MESSAGE_BYTES, Initiator, RefusedError, refusal
from wsplatform.errors import HandshakeError
from wsplatform.model import Instance
from wsplatform.net.tasks import Tasks
from wsplatform.net.tls import explain
from wsplatform.transports.http_exchange import (
    BAD_SEAL,
    GOING_AWAY,
    HANDSHAKE_SECONDS,
    ID_BYTES,
    LOST,
    MALFORMED,
    PATH,
    REFUSED,
    TOO_SLOW,
    UNKNOWN_INSTANCE,
    Exchange,
    Owner,
    Terms,
)
from wsplatform.wire.cluster import EnvelopeError
from wsplatform.wire.exchange import Said

_CHUNK: Final = 65_536
_MAX_ANSWER: Final = 4096
_LARGE: Final = 1_048_576  # aiohttp warns of larger bodies that are bytes, takes them as files
_HEADERS: Final = {"Content-Type": "application/octet-stream", "Accept-Encoding": "identity"}


class AnswerError(Exception):
    """An HTTP answer that a peer in a good state does not give. The text is for the operator."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call: this very instance, at this http:// or https:// address.

    tls: what the latter is checked with, and shown; None: the system's certificates.
    """

    instance: Instance
    url: str
    tls: SSLContext | None = None


class DialledExchange(Exchange):
    """`run` is the whole of it. `over`: set when it has ended and, if it has left, nothing is left to say."""

    def __init__(self, owner: Owner, terms: Terms, initiator: Initiator, target: Target, tasks: Tasks) -> None:
        super().__init__(owner, terms, target.url)
        self._initiator = initiator
        self._target = target
        self._tasks = tasks
        self._running: list[asyncio.Task[None]] = []
        self.over = asyncio.Event()
        self._query = ""
        self._http: aiohttp.ClientSession

    async def run(self) -> None:
        """Returns when the exchange has ended, and everything of it is closed. Raises nothing but CancelledError."""
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=2, ssl=self._target.tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers=_HEADERS,
            auto_decompress=False,
        )
        try:
            self._begin(self._open_exchange())
            await self.over.wait()
        finally:
            self.end(GOING_AWAY)
            try:
                for task in self._running:
                    task.cancel()
                await asyncio.gather(*self._running, return_exceptions=True)
            finally:  # whoever cancels may do so twice
                await self._http.close()

    # Inside

    def _begin(self, part: Coroutine[None, None, None]) -> None:
        self._running.append(self._tasks.start(self._guarded(part), name=f"calls of {self._target.instance.node_id}"))

    async def _guarded(self, part: Coroutine[None, None, None]) -> None:
        try:
            await part
        except EnvelopeError:
            self.end(MALFORMED)
        except HandshakeError as error:
            self.end(REFUSED if self._seals is None else BAD_SEAL, str(error))
        except TimeoutError:
            self.end(TOO_SLOW)
        except AnswerError as error:
            self.end(LOST, str(error))
        except (aiohttp.ClientError, OSError) as error:
            self.end(LOST, f"the connection failed: {_cause(error)}")

    async def _open_exchange(self) -> None:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            said = await self._shake()
        while said.word == "wait" and not self.ended:
            said = await self._ask("pull", Said("carry"))
        if said.envelopes:
            raise EnvelopeError
        self._deliver(said)
        if not self.ended:
            self._go_up()
        if not self.ended:
            self._begin(self._push())
            self._begin(self._pull())

    async def _shake(self) -> Said:
        status, opening = await self._post("open", self._initiator.hello(), ID_BYTES + 2 * MAX_MESSAGE_BYTES)
        if status == 403:
            self._refused(opening)
        if status != 200 or len(opening) <= ID_BYTES:
            raise _strange(status, opening)
        self._query = f"?{opening[:ID_BYTES].hex()}"
        proof = await self._challenged(opening[ID_BYTES:])
        self._prove(self._initiator.peer, self._initiator.keys)
        if self.peer != self._target.instance:
            self.end(UNKNOWN_INSTANCE)
            return Said("wait")
        status, answer = await self._post("prove", proof, _MAX_ANSWER)
        if status == 403:
            self._refused(answer)
        return self._opened("proved", status, answer)

    async def _challenged(self, challenge: bytes) -> bytes:
        try:
            return self._initiator.challenged(challenge)
        except RefusedError:
            raise
        except HandshakeError as error:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self._post("prove", refusal(error), _MAX_ANSWER)  # for its log; no answer matters
            raise

    def _refused(self, message: bytes) -> None:
        """Raises the HandshakeError of a refusal; returns if it is none."""
        try:
            self._initiator.challenged(message)
        except RefusedError:
            raise
        except HandshakeError:
            return

    async def _push(self) -> None:
        try:
            word = answered = "carry"
            while word == answered == "carry":
                await self._something_to_say()
                said = self._take()
                answer = await self._ask("push", said)
                self._arrived()
                self._deliver(answer)
                word, answered = said.word, answer.word
        finally:
            if self.leaving:
                self.over.set()

    async def _something_to_say(self) -> None:
        """Wait for it, for a heartbeat at most."""
        if self._waiting or self.leaving:
            return
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._terms.heartbeat):
                await self._wake.wait()

    async def _pull(self) -> None:
        while not self.ended:
            self._deliver(await self._ask("pull", Said("carry")))

    async def _ask(self, name: str, said: Said) -> Said:
        assert self._seals is not None
        status, body = await self._post(name, self._seals.seal(name.encode(), said), self._terms.body)
        return self._opened(f"{name}ed", status, body)

    def _opened(self, row: str, status: int, body: bytes) -> Said:
        assert self._seals is not None
        if status != 200:
            raise _strange(status, body)
        said = self._seals.open(row.encode(), body)
        self._heard()
        return said

    async def _post(self, name: str, body: bytes, limit: int) -> tuple[int, bytes]:
        """Status and body of the answer; of one that is not of this protocol a beginning."""
        data = body if len(body) < _LARGE else BytesIO(body)
        url = f"{self._target.url}{PATH}/{name}{self._query}"
        async with self._http.post(url, data=data, allow_redirects=False) as reply:
            limit = limit if reply.status == 200 else _MAX_ANSWER
            answer = bytearray()
            async for chunk in reply.content.iter_chunked(_CHUNK):
                self._heard()
                answer += chunk
                if len(answer) > limit:
                    raise AnswerError("the answer was too large")
            return reply.status, bytes(answer)

    def _stop(self, reason: str, why: str) -> None:
        super()._stop(reason, why)
        if not self.leaving:
            self.over.set()


class _Told(msgspec.Struct):
    code: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Told


def _strange(status: int, body: bytes) -> AnswerError:
    """Anybody on the way may have made it up."""
    try:
        code = msgspec.json.decode(body, type=_ErrorBody).error.code
    except (msgspec.MsgspecError, ValueError, RecursionError):
        code = ""
    told = f", {code}" if code.isidentifier() and len(code) <= 32 else ""
    return AnswerError(f"the answer was no node's (status {status}{told})")


def _cause(error: aiohttp.ClientError | OSError) -> str:
    explained = explain(error)
    if explained is not None:
        return str(explained)
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    return getattr(error, "strerror", None) or type(error).__name__
