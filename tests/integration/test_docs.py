"""Every example of the pages is carried out, on a real cluster, as it stands there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import jwt
import pytest
import pytest_asyncio

from tests.support.cli import clean_environment, program
from tests.support.documents import PAGES, ROOT, Reader, Section, sections
from tests.support.local_cluster import LocalCluster
from tests.support.processes import free_port
from tests.support.wait import eventually
from wsplatform.core.tokens import TokenVerifier

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITH_EXAMPLES = [section for page in PAGES for section in sections(page) if section.examples]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[LocalCluster]:
    async with LocalCluster() as running:
        yield running


@pytest.fixture
def environment(cluster: LocalCluster) -> dict[str, str]:
    """What a reader has set: the addresses and keys of the local cluster, which the pages take from what it printed."""
    info = cluster.info
    return clean_environment(
        {
            "WSP_SERVER": info["balancer"],
            "WSP_API_KEY": info["api_key"],
            "REGISTRY": info["registry"],
            "ADMIN_KEY": info["admin_key"],
        }
    )


@pytest.fixture
def reader(tmp_path: Path, cluster: LocalCluster, environment: dict[str, str]) -> Reader:
    balancer = urlsplit(cluster.info["balancer"]).port
    assert balancer is not None
    return Reader(tmp_path, environment, {"8080": balancer})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def audience(cluster: LocalCluster) -> AsyncIterator[None]:
    """Two clients on the channel user:1, on two nodes."""
    channel = "user:1"
    clients = [
        await asyncio.create_subprocess_exec(
            *program("subscribe", channel, "--server", node["url"]), env=clean_environment(), stdout=-3, stderr=-3
        )
        for node in cluster.info["nodes"][:2]
    ]
    headers = {"X-API-Key": cluster.info["api_key"]}
    try:
        async with aiohttp.ClientSession(headers=headers) as http:

            async def both() -> bool:
                async with http.post(f"{cluster.info['balancer']}/api/channels", json={"pattern": channel}) as response:
                    channels = (await response.json())["result"]["channels"]
                    return bool(channels.get(channel) == {"num_clients": 2})

            await eventually(both, within=20)
        yield
    finally:
        for client in clients:
            client.terminate()
            await client.wait()


def _of(page: str) -> list[pytest.ParameterSet]:
    found = [section for section in WITH_EXAMPLES if section.page.name == page]
    return [pytest.param(section, id=section.title.lower().replace(" ", "-")) for section in found]


@pytest.mark.parametrize("section", [*_of("README.md"), *_of("quick-start.md")])
async def test_the_first_pages(section: Section, reader: Reader) -> None:
    await reader.read(section)


@pytest.mark.parametrize("section", _of("admin-api.md"))
async def test_the_page_on_the_admin_api(section: Section, reader: Reader) -> None:
    await reader.read(section)


@pytest.mark.usefixtures("audience")
@pytest.mark.parametrize("section", _of("server-api.md"))
async def test_the_page_on_the_server_api(section: Section, reader: Reader) -> None:
    await reader.read(section)


RUN_IT = ("running.md", "configuration.md", "deploying.md", "metrics.md", "operating.md")


@pytest.mark.parametrize("section", [section for page in RUN_IT for section in _of(page)])
async def test_the_page_on_running_it(section: Section, tmp_path: Path, cluster: LocalCluster, environment) -> None:
    port = free_port()  # where a process listens, and commands ask, that are told nothing else
    balancer = urlsplit(cluster.info["balancer"]).port
    assert balancer is not None
    own = {"WSP_NODE__PORT": str(port), "WSP_SERVER": f"http://127.0.0.1:{port}"}
    await Reader(tmp_path, {**environment, **own}, {"8000": port, "8080": balancer}).read(section)


async def test_no_page_with_examples_is_left_out() -> None:
    pages = {section.page.name for section in WITH_EXAMPLES}
    assert pages == {
        "README.md",
        "admin-api.md",
        "configuration.md",
        "deploying.md",
        "metrics.md",
        "operating.md",
        "quick-start.md",
        "running.md",
        "server-api.md",
    }


async def test_every_operation_of_the_admin_api_is_told_of(cluster: LocalCluster) -> None:
    page = (ROOT / "docs" / "admin-api.md").read_text(encoding="utf-8")
    async with aiohttp.ClientSession() as http, http.get(f"{cluster.info['registry']}/admin/openapi.json") as response:
        paths = (await response.json())["paths"]
    operations = {
        f"{method.upper()} {path}" for path, item in paths.items() for method in item if method != "parameters"
    }
    operations -= {"PUT /admin/v1/rules/test", "DELETE /admin/v1/rules/test"}  # of a rule that is called so
    assert [name for name in sorted(operations) if "/admin/v1/" in name and f"`{name}" not in page] == []


async def test_the_token_in_python_lets_its_user_in(tmp_path: Path) -> None:
    (block,) = [block for section in sections(ROOT / "docs" / "quick-start.md") for block in section.of("python")]
    secret = "s" * 32
    names: dict[str, str] = {"secret": secret}
    exec(compile(block.text, "quick-start.md", "exec"), names)
    claims = TokenVerifier([secret], []).connection(names["token"], 0)
    assert claims.user == "42"
    assert bytes(claims.info or b"") == b'{"name":"Ann"}'
    assert jwt.decode(names["token"], secret, algorithms=["HS256"])["exp"] == claims.expires_at


async def test_cent_is_used_as_the_page_says(reader: Reader, environment: dict[str, str]) -> None:
    blocks = [block for section in sections(ROOT / "docs" / "server-api.md") for block in section.of("python")]
    assert blocks
    for block in blocks:
        code = compile(reader.ported(block.text), "server-api.md", "exec")
        await asyncio.to_thread(exec, code, {"api_key": environment["WSP_API_KEY"]})
