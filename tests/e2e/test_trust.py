"""Who is let into a cluster of real processes: TLS, and secrets that are exchanged."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from tests.support.certificates import Authority
from tests.support.client import Client
from tests.support.processes import Cluster, Process, free_port
from tests.support.wait import eventually
from tests.support.workers import Workers, free_pair
from wsplatform.net.tls import Tls, TlsFiles


class TlsCluster(Cluster):
    """Every node face is TLS, and asks for certificates."""

    def __init__(self, folder: Path, authority: Authority, settings: dict[str, str] | None = None) -> None:
        super().__init__(folder, nodes=2, settings=settings)
        for process in (self.registry, *self.nodes):
            use(process, authority.issue(process.name))
            process.environment["WSP_CLUSTER__PORT"] = str(free_port())
            process.environment["WSP_REGISTRY__URL"] = f"https://127.0.0.1:{node_face(self.registry)}"


def use(process: Process, files: TlsFiles) -> None:
    process.environment["WSP_CLUSTER__TLS_CERTIFICATE"] = files.certificate
    process.environment["WSP_CLUSTER__TLS_KEY"] = files.key
    process.environment["WSP_CLUSTER__TLS_CA"] = files.authorities


def node_face(process: Process) -> int:
    return int(process.environment["WSP_CLUSTER__PORT"])


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def forwards(cluster: Cluster) -> None:
    """What is published on the last node reaches a client of the first."""
    async with Client(cluster.http, cluster.nodes[0].url) as client:
        await client.subscribe("news")
        assert "error" not in await cluster.api(cluster.nodes[-1], "publish", channel="news", data=1)
        await eventually(lambda: client.publications["news"] == [1])


async def test_a_cluster_whose_node_faces_are_tls_lets_in_who_is_trusted_and_trusts(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with TlsCluster(tmp_path, authority) as cluster:
        await forwards(cluster)
        assert (await cluster.admin("GET", "sessions"))["missing"] == []
        members = (await cluster.admin("GET", "nodes"))["items"]
        assert {member["cluster_url"] for member in members} == {
            f"wss://127.0.0.1:{node_face(node)}" for node in cluster.nodes
        }
        for process in (cluster.registry, *cluster.nodes):
            url = f"https://127.0.0.1:{node_face(process)}/health/live"
            known, unknown = authority.issue("operator"), TlsFiles(authorities=authority.path)
            async with cluster.http.get(url, ssl=Tls(known).connecting) as reply:
                assert reply.status == 200
            with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                await cluster.http.get(url, ssl=Tls(unknown).connecting)
            with pytest.raises(aiohttp.ClientError):
                await cluster.http.get(url.replace("https", "http"))
            assert "[certificate_missing]" in process.log.read_text()
        odd = cluster.nodes[1]
        odd.kill()
        (tmp_path / "other").mkdir()
        use(odd, Authority(tmp_path / "other").issue("n2"))
        odd.start()
        await eventually(lambda: "[certificate_untrusted]" in odd.log.read_text(), within=20)


async def test_the_registry_beside_workers_shows_its_certificate_to_ask_them(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("host")
    settings = {
        "WSP_CLUSTER__TLS_CERTIFICATE": files.certificate,
        "WSP_CLUSTER__TLS_KEY": files.key,
        "WSP_CLUSTER__TLS_CA": files.authorities,
        "WSP_CLUSTER__PORT": str(free_pair()),
    }
    async with Workers("--workers", "2", settings=settings) as host, Client(host.http, host.url) as client:

        async def found() -> bool:
            page = await host.admin("GET", "sessions")
            return (page["missing"], [item["id"] for item in page["items"]]) == ([], [client.id])

        await eventually(found)


async def test_a_certificate_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("n1")
    cluster = Cluster(tmp_path, nodes=0)
    use(cluster.registry, replace(files, key=str(tmp_path / "nowhere")))
    cluster.registry.environment["WSP_CLUSTER__PORT"] = str(free_port())
    cluster.registry.start()
    assert await asyncio.to_thread(cluster.registry.wait) == 1
    assert "[tls_file_unreadable]" in cluster.registry.log.read_text()


async def test_a_secret_is_exchanged_while_the_cluster_serves(tmp_path: Path) -> None:
    old, new = "the old secret " * 3, "the new secret " * 3
    async with Cluster(tmp_path, nodes=2, settings={"WSP_CLUSTER__SECRETS": old}) as cluster:
        n1, n2 = cluster.nodes
        for process, secrets in ((cluster.registry, f"{old},{new}"), (n1, f"{old},{new}"), (n2, new)):
            process.kill()
            process.environment["WSP_CLUSTER__SECRETS"] = secrets
            process.start()
            await process.ready(cluster.http)
            await forwards(cluster)


async def test_the_fallback_keeps_to_tls_as_well(tmp_path: Path) -> None:
    async with TlsCluster(tmp_path, Authority(tmp_path), {"WSP_CLUSTER__TRANSPORT": "http"}) as cluster:
        await forwards(cluster)
