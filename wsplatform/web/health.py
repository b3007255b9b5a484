"""`/health/live` and `/health/ready`: open to anybody, for load balancers and supervisors."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import json

from wsplatform.node.health import Health

_HEADERS = {"cache-control": "no-store"}


def health_blueprint(health: Health) -> Blueprint:
    """live: 200 as long as the process can answer; else there is no answer, so whoever asks sets a timeout.
    ready: 200; 404 while draining; 503 with the reasons before.

    To HAProxy (`http-check disable-on-404`) 404 means: no new clients, those who are there stay.
    """

    async def live(_request: Request) -> HTTPResponse:
        return json({"live": True, "reasons": [health.liveness()]}, headers=_HEADERS)

    async def ready(_request: Request) -> HTTPResponse:
        readiness = health.readiness()
        body = {"ready": readiness.ready, "draining": readiness.draining, "reasons": list(readiness.reasons)}
        status = 404 if readiness.draining else 200 if readiness.ready else 503
        return json(body, status=status, headers=_HEADERS)

    blueprint = Blueprint("health", url_prefix="/health")
    for name, handler in (("live", live), ("ready", ready)):
        blueprint.add_route(handler, f"/{name}", methods=["GET", "HEAD"], name=name)
    return blueprint
