"""A connection to a NATS server, by nats-py. One that is lost stays so: its owner makes a new one.

nats-py can connect again by itself, but then it also keeps what was published meanwhile, and sends it late. Here what
happens to a message is decided above.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nats import errors
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from wsplatform.core.silence import Silence
from wsplatform.errors import PlatformError
from wsplatform.net.tasks import Tasks
from wsplatform.settings import YEAR, NatsTable

MIN_PAYLOAD: Final = 4096
"""A server with a smaller max_payload cannot carry a handshake."""

_CONNECT_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 1.0
_BUFFER_BYTES: Final = 524_288
"""What nats-py may hold before `publish` waits."""


class NatsUnavailable(PlatformError):
    """No server could be connected to; another try may succeed."""

    def __init__(self, why: str) -> None:
        super().__init__("nats_unavailable", f"Cannot connect to NATS: {why}", temporary=True)


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the server. `tls`: None where the settings do not ask for it (the server may)."""

    settings: NatsTable
    tls: ssl.SSLContext | None
    name: str
    heartbeat: float
    dead: float


def make_tls(settings: NatsTable) -> ssl.SSLContext | None:
    """Raises OSError for a ca_file that cannot be read, or holds no certificate."""
    if not settings.ca_file and not any(url.startswith("tls:") for url in settings.urls):
        return None
    return ssl.create_default_context(cafile=settings.ca_file or None)


class NatsConnection:
    """`lost` is set when it is not connected any more, with the reason in `why`.

    warn: told what an operator should know, as a key and a line.
    """

    def __init__(self, access: Access, tasks: Tasks, warn: Callable[[str, str], None]) -> None:
        self.lost = asyncio.Event()
        self.why = ""
        self._access = access
        self._tasks = tasks
        self._warn = warn
        self._client = _Client()
        self._subscription: Subscription | None = None
        self._error: Exception | None = None
        self._pinger: asyncio.Task[None] | None = None
        self._silence = Silence(access.heartbeat, access.dead, 0.0)
        self._look_at = 0.0

    async def open(self, subject: str, receive: Callable[[str, bytes], None]) -> None:
        """Connect and subscribe; `receive(subject, payload)` gets what comes. Raises NatsUnavailable."""

        async def message(msg: Msg) -> None:
            self._silence.heard()
            receive(msg.subject, msg.data)

        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._connect()
                self._subscription = await self._client.subscribe(subject, cb=message)
        except (OSError, errors.Error) as error:
            raise NatsUnavailable(_words(self._error or error)) from error
        if self._access.tls is not None and not self._client.used_tls:
            raise NatsUnavailable("the server offers no TLS, which nats.urls or nats.ca_file asks for")
        if self.max_payload < MIN_PAYLOAD:
            raise NatsUnavailable(f"the server's max_payload is {self.max_payload}; {MIN_PAYLOAD} is the least")
        self._silence = Silence(self._access.heartbeat, self._access.dead, _now())
        self._pinger = self._tasks.start(self._ping(), name="NATS ping")

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, in bytes."""
        return self._client.max_payload

    async def publish(self, subject: str, payload: bytes) -> None:
        """Waits only while the server does not read. What goes wrong makes the connection lost."""
        if self.lost.is_set():
            return
        try:
            await self._client.publish(subject, payload)
        except (OSError, errors.Error) as error:
            self._lose(_words(error))

    def look(self, now: float) -> None:
        """Whether the server is still there; to be called often."""
        if not self._client.is_connected:
            self._lose("the connection was lost")
        if now >= self._look_at:
            self._look_at = now + 0.75 * self._access.heartbeat
            if self._silence.look(now):
                self._lose("nothing was heard of the server")

    async def close(self) -> None:
        """Send what was published, as far as the server reads it soon, and disconnect."""
        try:
            if self._client.is_connected and not self.lost.is_set():
                await self._client.flush(timeout=_CLOSE_SECONDS)  # type: ignore[arg-type]
        except (OSError, errors.Error):
            pass
        finally:
            self._lose("this node has closed the connection")
            _abort(self._client, self._subscription)
            if self._pinger is not None:  # not before: nats-py stops to read when a pong comes that nobody waits for
                self._pinger.cancel()
                await asyncio.wait({self._pinger}, timeout=_CLOSE_SECONDS)
            with contextlib.suppress(OSError, errors.Error):
                await asyncio.wait_for(self._client.close(), _CLOSE_SECONDS)

    # Inside

    async def _connect(self) -> None:
        settings = self._access.settings
        tls = self._access.tls

        def secret(text: str) -> Callable[[], str] | None:
            return (lambda: self._if_safe(text)) if text else None

        await self._client.connect(
            servers=list(settings.urls),
            name=self._access.name,
            tls=tls,
            user=secret(settings.user),
            password=secret(settings.password),
            token=secret(settings.token),
            user_credentials=RawCredentials(settings.credentials) if settings.credentials else None,
            error_cb=self._failed,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=2,
            ping_interval=YEAR,
            pending_size=_BUFFER_BYTES,
        )

    def _if_safe(self, secret: str) -> str:
        """nats-py leaves it to the server whether there is TLS: someone in between could say that there is none."""
        if self._access.tls is not None and not self._client.used_tls:
            raise errors.SecureConnWantedError
        return secret

    async def _failed(self, error: Exception) -> None:
        """nats-py tells what goes wrong beside the calls."""
        self._error = error
        if isinstance(error, errors.SlowConsumerError):
            self._warn("slow", "Messages from NATS were dropped: this process does not keep up")
        elif isinstance(error, (OSError, errors.StaleConnectionError)):
            self._lose(_words(error))
        elif self._client.is_connected:
            self._warn(f"error {error}", f"NATS says: {_words(error)}")

    async def _ping(self) -> None:
        while not self.lost.is_set():
            try:
                await self._client.flush(timeout=YEAR)
            except (OSError, errors.Error) as error:
                self._lose(_words(error))
                return
            self._silence.heard()
            await asyncio.sleep(self._access.heartbeat)

    def _lose(self, why: str) -> None:
        if not self.lost.is_set():
            self.why = why
            self.lost.set()


class _Client(Client):
    used_tls = False

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """Asked for when a connection becomes one with TLS, and only then."""
        self.used_tls = True
        return super().ssl_context


def _abort(client: Client, subscription: Subscription | None) -> None:
    """Cut the connection, so that Client.close() has nothing to wait for.

    By itself it waits until all is written, for ever where the server has stopped to read; and if that fails, it leaves
    the task of the subscription behind.
    """
    writer: asyncio.StreamWriter | None = getattr(client._transport, "_io_writer", None)  # noqa: SLF001
    if writer is not None:
        writer.transport.abort()
    if subscription is not None:
        subscription._stop_processing()  # noqa: SLF001


def _words(error: Exception) -> str:
    """For people. Neither OSError nor nats-py puts a secret into these."""
    text = str(error).removeprefix("nats: ").strip("'")
    if "authorization" in text.lower():
        return f"{text}: check nats.user and nats.password, nats.token or nats.credentials"
    return text or type(error).__name__


def _now() -> float:
    return asyncio.get_running_loop().time()
