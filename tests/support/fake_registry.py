"""An admin API with prepared answers, for faults that a real one does not have on demand."""

from __future__ import annotations

from typing import Any, Self

from aiohttp import web


class FakeRegistry:
    """`async with FakeRegistry() as fake`; answers: path below /admin/v1/ -> JSON, or a status to fail with."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/admin/v1/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.asked.append(f"{request.method} {path}?{request.query_string}")
        answer = self.answers.get(path, 404)
        if isinstance(answer, int):
            error = {"code": "unauthorized" if answer == 401 else "registry_unavailable", "message": "As prepared."}
            return web.json_response({"error": error}, status=answer)
        return web.json_response(answer)
