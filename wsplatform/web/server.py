"""A Sanic app on one listening socket, without Sanic's process management: several live in one process and one loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from ssl import SSLContext
from typing import Any

from loguru import logger
from sanic import Blueprint, HTTPResponse, Request, Sanic
from sanic.compat import Header
from sanic.constants import HTTP_METHODS
from sanic.exceptions import PayloadTooLarge, SanicException
from sanic.response import json
from sanic_ext import Extend
from sanic_ext.extensions.http.extension import HTTPExtension
from sanic_routing.exceptions import NoMethod, NotFound

from wsplatform.errors import PlatformError, RequestError
from wsplatform.net.listen import BACKLOG
from wsplatform.web.proxies import Proxies
from wsplatform.web.security import SecurityHeaders

SanicApp = Sanic[Any, Any]
HANDSHAKE_SECONDS = 10.0
"""How long a TLS handshake may take."""

HEAD_BYTES = 16_384
"""The largest head that Sanic reads, the default of client.head_bytes; it cannot read more."""

_NAMES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    503: "unavailable",
}


def make_app(
    name: str, blueprints: Sequence[Blueprint], max_request_bytes: int, trusted: Iterable[str] = ()
) -> SanicApp:
    """A Sanic app; errors are `{"error": {"code", "message"}}` whatever the request. `name`: unique in the process.

    `trusted`: proxies, as settings.ProxyTable. What the operators' paths answer has headers for browsers' security.
    HEAD is answered wherever GET is, OPTIONS with the methods of a path, unless a blueprint answers them itself.
    """
    # env_prefix: settings have one way in, not SANIC_… too
    app: SanicApp = Sanic(name, configure_logging=False, env_prefix="", request_class=_Request)
    app.config.FALLBACK_ERROR_FORMAT = "json"
    app.config.REQUEST_MAX_SIZE = max_request_bytes
    app.config.REQUEST_MAX_HEADER_SIZE = HEAD_BYTES
    app.config.ACCESS_LOG = False
    app.config.AUTO_EXTEND = False
    app.config.TOUCHUP = False  # it rewrites Sanic's classes at each start, and fails at the second in a process
    app.config.GRACEFUL_SHUTDOWN_TIMEOUT = 1.0
    for blueprint in blueprints:
        app.blueprint(blueprint)
    app.error_handler.add(Exception, _answer_error)
    app.register_middleware(SecurityHeaders(Proxies(trusted)), "response")
    _complete_methods(app)
    return app


def _complete_methods(app: SanicApp) -> None:
    """Add HEAD and OPTIONS when the app starts. A HEAD goes through the GET's handler, and so through its gate."""
    config = {"http_auto_head": True, "http_auto_options": True, "http_all_methods": False, "cors": False}
    Extend(app, built_in_extensions=False, extensions=[HTTPExtension], config=config)


class _Request(Request[Any, Any]):
    """Sanic answers what it could not read through a stand-in with the same target.

    A target that cannot be read would fail there once more, and nobody would be answered.
    """

    def __init__(self, url_bytes: bytes, headers: Header, version: str, method: str, **others: Any) -> None:
        super().__init__(b"*" if method == "NONE" else url_bytes, headers, version, method, **others)

    async def receive_body(self) -> None:
        """Sanic calls this before a handler that does not stream, and would keep what none of those here looks at:

        some connections with a body for /health/live, and there is no memory left.
        """
        if hasattr(self.route.handler, "is_stream"):  # type: ignore[union-attr]  # there is a route by now
            await super().receive_body()  # type: ignore[no-untyped-call]
        else:
            stream: Any = self.stream  # typed as the base of Sanic's HTTP/1 and HTTP/3 streams
            async for _ in stream:
                pass


class WebServer:
    """Serves `app` on `listener`, each connection first looked at by `protocol` (web/upgrade.py)."""

    def __init__(
        self,
        app: SanicApp,
        listener: socket.socket,
        protocol: Callable[..., asyncio.Protocol],
        tls: SSLContext | None = None,
    ) -> None:
        self._app = app
        self._listener = listener
        self._protocol = protocol
        self._tls = tls
        self._server: Any = None  # sanic.server.async_server.AsyncioServer, which has no types

    async def start(self) -> None:
        await self.prepare()
        await self.serve()

    async def prepare(self) -> None:
        """All of the start but the last: connections wait at the listener."""
        options: dict[str, Any] = {"start_serving": False}  # no request before the routes are final
        if self._tls is not None:
            options["ssl_handshake_timeout"] = HANDSHAKE_SECONDS
        server: Any = await self._app.create_server(
            sock=self._listener,
            ssl=self._tls,
            protocol=self._protocol,  # type: ignore[arg-type]  # Sanic calls it, any callable will do
            backlog=BACKLOG,
            access_log=False,
            return_asyncio_server=True,
            asyncio_server_kwargs=options,
        )
        await server.startup()
        await server.before_start()
        self._server = server

    async def serve(self) -> None:
        await self._server.start_serving()
        await self._server.after_start()

    async def stop(self, grace: float = 1.0) -> None:
        """Stop to listen, let requests under way end within `grace` seconds, close the rest. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        await server.before_stop()
        server.server.close()
        deadline = asyncio.get_running_loop().time() + grace
        while server.connections:
            for connection in tuple(server.connections):
                connection.close_if_idle()
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.02)
        for connection in tuple(server.connections):
            connection.abort()
        await server.after_stop()
        self._app.shutdown_tasks(0)
        Sanic.unregister_app(self._app)


async def _answer_error(request: Request, error: Exception) -> HTTPResponse:
    if isinstance(error, RequestError):
        return _error(error.status, error.code, error.message)
    if isinstance(error, PlatformError):
        return _error(503 if error.temporary else 400, error.code, error.message)
    if isinstance(error, PayloadTooLarge) and request.method == "NONE":  # Sanic has no status of its own for a head
        return _error(431, "head_too_large", "Send less in the headers of the request.")
    if isinstance(error, SanicException):
        code = _NAMES.get(error.status_code, "bad_request")
        headers = _allow(request) if error.status_code == 405 else error.headers
        return _error(error.status_code, code, str(error) or code, headers)
    logger.opt(exception=error).error("Request {} {} failed", request.method, request.path)
    return _error(500, "internal", "The request failed inside the server; its log has the reason.")


def _allow(request: Request) -> dict[str, str]:
    """Sanic forgets which methods there are where a path has parameters."""
    return {"allow": ", ".join(method for method in sorted(HTTP_METHODS) if _answers(request, method))}


def _answers(request: Request, method: str) -> bool:
    try:
        request.app.router.resolve(path=request.path, method=method)
    except (NotFound, NoMethod):
        return False
    return True


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
    return json({"error": {"code": code, "message": message}}, status=status, headers=dict(headers or {}))
