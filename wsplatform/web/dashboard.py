"""`/dashboard/`: the operators' pages, static files that hold no data. What they show comes from the admin API."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from sanic import Blueprint, HTTPResponse, Request
from sanic.exceptions import NotFound
from sanic.response import redirect

from wsplatform.web.security import PAGE

_FOLDER: Final = Path(__file__).parent / "static" / "dashboard"
_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PLACE: Final = b"ASSETS"
"""Stands in index.html for the folder of the files, whose name changes with any of them."""

_HEADERS: Final = {"content-security-policy": PAGE, "vary": "accept-encoding"}


@dataclass(frozen=True)
class _File:
    body: bytes
    kind: str

    @cached_property
    def packed(self) -> bytes:
        return gzip.compress(self.body, mtime=0)


def dashboard_blueprint() -> Blueprint:
    """The page is asked for anew each time. Its files lie in a folder named by their digest, and may be kept for ever:

    a page and modules of two versions never meet.
    """
    files = {
        path.relative_to(_FOLDER).as_posix(): _File(path.read_bytes(), _KINDS[path.suffix])
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _KINDS
    }
    folder = _digest(files)
    page = _File((_FOLDER / "index.html").read_bytes().replace(_PLACE, folder.encode()), "text/html; charset=utf-8")
    tag = f'"{hashlib.sha256(page.body).hexdigest()[:16]}"'
    blueprint = Blueprint("dashboard", url_prefix="/dashboard")

    async def to_page(request: Request) -> HTTPResponse:
        return redirect("/dashboard/")  # the page's links hold below it only

    async def serve_page(request: Request) -> HTTPResponse:
        headers = {"cache-control": "no-cache", "etag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return HTTPResponse(status=304, headers={**_HEADERS, **headers})
        return _reply(request, page, headers)

    async def serve_file(request: Request, asked: str, name: str) -> HTTPResponse:
        found = files.get(name) if asked == folder else None
        if found is None:
            raise NotFound("The dashboard has no such file; load the page again.")
        return _reply(request, found, {"cache-control": "public, max-age=31536000, immutable"})

    blueprint.add_route(to_page, "", name="to_page", strict_slashes=True)
    blueprint.add_route(serve_page, "/", name="page", strict_slashes=True)
    blueprint.add_route(serve_file, "/<asked:str>/<name:path>", name="file")
    return blueprint


def _reply(request: Request, file: _File, headers: dict[str, str]) -> HTTPResponse:
    told = {**_HEADERS, **headers}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return HTTPResponse(file.packed, headers={**told, "content-encoding": "gzip"}, content_type=file.kind)
    return HTTPResponse(file.body, headers=told, content_type=file.kind)


def _digest(files: dict[str, _File]) -> str:
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(f"{name} {len(file.body)} ".encode() + file.body)
    return digest.hexdigest()[:16]
