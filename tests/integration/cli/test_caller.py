"""Requests of commands."""

from __future__ import annotations

from aiohttp import web

from wsplatform.cli.http import Caller
from wsplatform.cli.options import Server


async def test_requests_of_one_caller_stay_on_the_node_that_the_balancer_chose() -> None:
    """Else the lines of `wsplatform publish news -` would be accepted by several nodes, and overtake each other."""
    nodes: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        nodes.append(request.cookies.get("WSNODE"))
        response = web.json_response({"result": {}})
        if nodes[-1] is None:
            response.set_cookie("WSNODE", "n2", path="/", httponly=True, samesite="Lax")
        return response

    app = web.Application()
    app.router.add_post("/api/publish", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Caller(Server(f"http://127.0.0.1:{runner.addresses[0][1]}", "k"), "node") as caller:
        for number in range(3):
            await caller.ask("POST", "/api/publish", {"channel": "news", "data": number})
    await runner.cleanup()
    assert nodes == [None, "n2", "n2"]
