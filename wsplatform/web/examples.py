"""`/examples/chat/`: a page to start from, served where the settings ask for it (node.examples)."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import file, redirect

from wsplatform.resources import folder


def examples_blueprint() -> Blueprint:
    chat = folder("examples/chat")
    blueprint = Blueprint("examples", url_prefix="/examples")

    async def page(request: Request) -> HTTPResponse:
        return await file(chat / "index.html")

    async def to_page(request: Request) -> HTTPResponse:
        return redirect("/examples/chat/")  # the page's own links hold below it only

    blueprint.add_route(page, "/chat/", name="page", strict_slashes=True)
    blueprint.add_route(to_page, "/chat", name="to_page", strict_slashes=True)
    blueprint.static("/chat/vendor", chat / "vendor", name="vendor")
    return blueprint
