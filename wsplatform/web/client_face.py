"""Who is let in at `/connection/websocket`, and how all clients are asked to leave."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator

from loguru import logger

from wsplatform.core.channels import Pattern
from wsplatform.core.departure import Departure
from wsplatform.core.haproxy_sections import COOKIE
from wsplatform.core.metrics import Sample
from wsplatform.core.throttle import Throttle
from wsplatform.core.tokens import TokenVerifier
from wsplatform.core.tries import source
from wsplatform.errors import SHUTDOWN, Disconnect
from wsplatform.net.descriptors import room
from wsplatform.net.upgrade import Accept, Refuse, UpgradeRequest
from wsplatform.net.websocket import ConnectionLimits, Traffic, WebSocketConnection
from wsplatform.node.counts import ClientCounts
from wsplatform.node.session import SessionServices
from wsplatform.node.sessions import Sessions
from wsplatform.settings import ClientTable
from wsplatform.web.centrifuge_handler import PROTOCOL, CentrifugeHandler
from wsplatform.web.face import Clock, Face, Open, Timing
from wsplatform.web.proxies import Proxies
from wsplatform.wire.centrifuge import CentrifugeFormat

PATH = "/connection/websocket"
_JSON, _PROTOBUF = PROTOCOL, "centrifuge-protobuf"
_REPORT_SECONDS = 10.0  # between two log lines about one source
_POLL_SECONDS = 0.01


def token_verifier(client: ClientTable) -> TokenVerifier:
    """Raises SettingsError for a key that cannot be used."""
    return TokenVerifier(
        client.token_hmac_secrets,
        client.token_public_keys,
        issuer=client.token_issuer,
        audience=client.token_audience,
    )


class CentrifugeAcceptor:
    """The door of the client face. `trusted`: proxies whose X-Forwarded-For is believed (settings.ProxyTable).

    Made where the loop runs. Raises SettingsError for an entry of `trusted` that is no address or network.
    """

    def __init__(
        self,
        client: ClientTable,
        trusted: Iterable[str],
        services: SessionServices,
        sessions: Sessions,
        *,
        version: str,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.draining = False
        self.counts = ClientCounts()
        self.traffic = Traffic()
        self._handlers: set[Open] = set()
        self._slow: set[WebSocketConnection] = set()
        self._max_connections = min(client.max_connections or sys.maxsize, room().clients)
        self._origins = Origins(client.allowed_origins)
        self._proxies = Proxies(trusted)
        self._limits = ConnectionLimits(client.max_message_bytes, client.max_outbox_bytes, client.close_seconds)
        self._deflate = client.deflate
        self._throttle = Throttle(_REPORT_SECONDS)
        self._now = loop.time
        self._face = Face(
            services=services,
            sessions=sessions,
            plain=CentrifugeFormat(),
            deflated=CentrifugeFormat(deflate=True),
            clock=Clock(loop.time, time.time, random.random),
            timing=Timing(client.connect_seconds, client.ping_seconds, client.pong_seconds),
            allow_anonymous=client.allow_anonymous,
            version=version,
            new_id=_new_id,
            call_soon=loop.call_soon,
            report=self._report,
            handlers=self._handlers,
            slow=self._slow,
            counts=self.counts,
        )

    def accept(self, request: UpgradeRequest) -> Accept | Refuse:
        decision = self._decide(request)
        if isinstance(decision, Refuse):
            self.counts.refused[decision.code] += 1
        return decision

    def measure(self) -> Iterator[Sample]:
        """The bytes are those that did not come from the fan-out directly."""
        yield from self.counts.measure()
        yield Sample("received", self.traffic.received)
        yield Sample("connections", len(self._handlers))
        yield Sample("slow_clients", len(self._slow))
        yield Sample("client_waiting", sum(connection.buffered for connection in self._slow))

    def _decide(self, request: UpgradeRequest) -> Accept | Refuse:
        if self.draining:
            return Refuse(503, "draining", "This node is shutting down: connect to another one.", _ELSEWHERE)
        address = self._proxies.client(request.remote, request.headers.get("x-forwarded-for", ""))
        if self._max_connections <= len(self._handlers):
            self._report(address, "", f"refused: {self._max_connections} connections are open, as many as may be")
            return Refuse(503, "connection_limit", "This node has as many connections as it may: try again.", _RETRY)
        headers = request.headers
        if not self._origins.admit(headers.get("origin"), headers.get("host", "")):
            self._report(address, "", "refused: its Origin is not among client.allowed_origins")
            return Refuse(
                403, "origin_not_allowed", "Pages of this origin may not connect: see client.allowed_origins."
            )
        offered = request.subprotocols
        if _PROTOBUF in offered and _JSON not in offered:
            return Refuse(400, "protocol_not_supported", "This server speaks JSON: use the SDK's JSON client.")
        handler = CentrifugeHandler(self._face, address)
        return Accept(handler, self._limits, _JSON if _JSON in offered else "", self._deflate, self.traffic)

    def __len__(self) -> int:
        """Open connections, with or without a session."""
        return len(self._handlers)

    async def drain(self, seconds: float, why: Disconnect = SHUTDOWN) -> None:
        """Let nobody in any more; disconnect all who are, evenly over `seconds`. Returns when all are gone.

        A client that does not answer is cut off after client.close_seconds, so it ends in any case.
        """
        self.draining = True
        waiting = list(self._handlers)
        departure = Departure(len(waiting), self._now(), seconds)
        while waiting:
            count, pause = departure.next(len(waiting), self._now())
            for handler in waiting[-count:]:
                handler.disconnect(why)
            del waiting[-count:]
            await asyncio.sleep(pause)
        for handler in tuple(self._handlers):
            handler.disconnect(why)  # those who were just coming in when it began
        while True:
            if not self._handlers:
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _report(self, address: str, session: str, what: str, turn: str = "") -> None:
        held_back = self._throttle.allow(turn or source(address), self._now())
        if held_back is not None:
            more = f" ({held_back} more since the last such line)" if held_back else ""
            about = logger.bind(session=session) if session else logger
            about.info("client at {}: {}{}", address or "unknown address", what, more)


_RETRY = (("Retry-After", "1"),)
# By the load balancer's cookie, browsers would come back to this node.
_ELSEWHERE = (*_RETRY, ("Set-Cookie", f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"))


class Origins:
    """Which pages may connect. Without the header it is no browser: an app or a device, which is let in.

    Without patterns a page must come from the host that it connects to.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(Pattern(pattern.lower()) for pattern in patterns)

    def admit(self, origin: str | None, host: str) -> bool:
        if origin is None:
            return True
        origin = origin.lower()
        if self._patterns:
            return any(pattern.matches(origin) for pattern in self._patterns)
        scheme, separator, place = origin.partition("://")
        default = _DEFAULT_PORTS.get(scheme, "")
        return bool(separator) and place.removesuffix(default) == host.lower().removesuffix(default)


_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _new_id() -> str:
    """A random UUID (RFC 9562, version 4), in a third of the time that the uuid module takes."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
