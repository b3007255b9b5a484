"""`/admin/openapi.json`, and `/admin/docs`: Swagger UI, served from here and closed to everywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from wsplatform.web.security import SWAGGER

_FOLDER: Final = Path(__file__).parent / "static" / "swagger-ui"
_FILES: Final = {
    "swagger-ui.css": (_FOLDER / "vendor" / "swagger-ui.css", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": (_FOLDER / "vendor" / "swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "start.js": (_FOLDER / "start.js", "text/javascript; charset=utf-8"),
}
_HEADERS: Final = {"content-security-policy": SWAGGER}


def docs_blueprint(document: Mapping[str, Any]) -> Blueprint:
    """`document`: OpenAPI (web/openapi.py). It tells nothing that needs a key."""
    content = msgspec.json.encode(document)
    page = (_FOLDER / "index.html").read_bytes()
    files = {name: (path.read_bytes(), kind) for name, (path, kind) in _FILES.items()}
    blueprint = Blueprint("docs", url_prefix="/admin")

    async def openapi(request: Request) -> HTTPResponse:
        return HTTPResponse(content, headers={"cache-control": "no-cache"}, content_type="application/json")

    async def docs(request: Request) -> HTTPResponse:
        return HTTPResponse(page, headers=_HEADERS, content_type="text/html; charset=utf-8")

    blueprint.add_route(openapi, "/openapi.json", name="openapi")
    blueprint.add_route(docs, "/docs", name="page", strict_slashes=True)  # its links hold below /admin/ only
    for name, (body, kind) in files.items():
        blueprint.add_route(_file(body, kind), f"/docs/{name}", name=name.replace(".", "_").replace("-", "_"))
    return blueprint


def _file(body: bytes, kind: str) -> Any:
    async def serve(request: Request) -> HTTPResponse:
        return HTTPResponse(body, headers={**_HEADERS, "cache-control": "max-age=3600"}, content_type=kind)

    return serve
