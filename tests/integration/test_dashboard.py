"""`/dashboard/` as it is served: a page that is asked for anew, and files that may be kept."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from sanic.server.protocols.http_protocol import HttpProtocol

from wsplatform.net.listen import bind
from wsplatform.web import dashboard
from wsplatform.web.server import WebServer, make_app

FOLDER = Path(dashboard.__file__).parent / "static" / "dashboard"
OWN = [path for path in FOLDER.rglob("*.js") if "vendor" not in path.parts]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    with bind("127.0.0.1", 0) as listener:
        app = make_app("dashboard", [dashboard.dashboard_blueprint()], 1_000_000)
        server = WebServer(app, listener, HttpProtocol)
        await server.start()
        host, port = listener.getsockname()
        yield f"http://{host}:{port}"
        await server.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_the_short_address_leads_to_the_page(url: str, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{url}/dashboard") as response:
        assert response.status == 200
        assert response.url.path == "/dashboard/"
        assert response.content_type == "text/html"


async def test_the_page_is_asked_for_anew_and_its_files_are_kept(url: str, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{url}/dashboard/") as response:
        page = await response.text()
        assert response.headers["cache-control"] == "no-cache"
        tag = response.headers["etag"]
    async with http.get(f"{url}/dashboard/", headers={"if-none-match": tag}) as response:
        assert response.status == 304
        assert await response.read() == b""
    names = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(names) == 7
    for name in names:
        async with http.get(f"{url}/dashboard/{name}") as response:
            assert response.status == 200, name
            assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert response.headers["content-encoding"] == "gzip"


async def test_files_of_another_version_are_not_there(url: str, http: aiohttp.ClientSession) -> None:
    for name in ("0123456789abcdef/main.js", "0123456789abcdef/../../dashboard.py", "x", "x/"):
        async with http.get(f"{url}/dashboard/{name}") as response:
            assert response.status == 404, name


async def test_the_policy_admits_nothing_but_own_files(url: str, http: aiohttp.ClientSession) -> None:
    async with http.head(f"{url}/dashboard/") as response:
        assert response.status == 200
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_without_gzip_the_same_comes_plain(url: str, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{url}/dashboard/", headers={"accept-encoding": "identity"}) as response:
        assert "content-encoding" not in response.headers
        assert response.headers["vary"] == "accept-encoding"
        assert b"ASSETS" not in await response.read()


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_modules_import_what_there_is_and_write_no_html(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r'from "(\.[^"]+)"', text):
        assert (path.parent / name).resolve().is_file(), name
    assert not re.search(r"innerHTML|document\.write|\beval\(|new Function|https?://(?!html\.spec)", text)


def test_what_is_vendored_has_its_licence() -> None:
    vendor = FOLDER / "vendor"
    assert {path.name for path in vendor.glob("*.LICENSE")} == {"htm.LICENSE", "preact.LICENSE", "uplot.LICENSE"}
    for name in ("htm-preact.js", "uplot.js", "uplot.css"):
        assert name in (vendor / "README.md").read_text()
