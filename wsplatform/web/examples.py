"""`/examples/chat/`: a page to start from, served where the settings ask for it (node.examples)."""

from __future__ import annotations

from sanic import Blueprint

from wsplatform.resources import folder


def examples_blueprint() -> Blueprint:
    blueprint = Blueprint("examples", url_prefix="/examples")
    blueprint.static("/chat/", folder("examples/chat"), name="chat", index="index.html")
    return blueprint
