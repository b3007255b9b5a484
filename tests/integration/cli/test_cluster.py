from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.cli import Subscriber, wsplatform
from tests.support.local_cluster import LocalCluster
from tests.support.wait import eventually


async def publish(http: aiohttp.ClientSession, url: str, key: str, channel: str, data: Any) -> dict[str, Any]:
    body = {"channel": channel, "data": data}
    async with http.post(f"{url}/api/publish", json=body, headers={"X-API-Key": key}) as response:
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer


async def test_a_publication_anywhere_reaches_subscribers_everywhere_and_nothing_is_left() -> None:
    async with LocalCluster("--nodes", "2") as cluster, aiohttp.ClientSession() as http:
        info = cluster.info
        assert list(info) == ["balancer", "registry", "nodes", "admin_key", "api_key"]
        assert [list(node) for node in info["nodes"]] == [["id", "url", "pid"]] * 2
        assert {node["pid"] for node in info["nodes"]} < set(cluster.processes())
        places = [info["balancer"], *(node["url"] for node in info["nodes"])]
        subscribers = [Subscriber(place, "news", "--count", "3") for place in places]
        for subscriber in subscribers:
            await subscriber.start()
        for number, place in enumerate(places):
            assert await publish(http, place, info["api_key"], "news", number) == {"result": {}}
        for subscriber in subscribers:
            assert sorted(await subscriber.lines()) == [0, 1, 2]
        secrets = [info["admin_key"], info["api_key"]]
        assert not [command for command in cluster.processes().values() for secret in secrets if secret in command]
        assert await cluster.end(signal.SIGINT) == 0
        await cluster.gone(within=0.5)
        assert list(cluster.temporary.iterdir()) == []
        assert "Traceback" not in cluster.errors


async def test_nothing_outlives_a_killed_cluster_and_the_next_one_tidies_up() -> None:
    async with LocalCluster("--nodes", "2") as cluster:
        assert len(cluster.processes()) >= 6
        await cluster.end(signal.SIGKILL)
        await cluster.gone()
        assert list(cluster.temporary.iterdir())
        done = await asyncio.to_thread(
            wsplatform,
            *(
                "cluster",
                "--nodes",
                "1",
                "--set",
                "haproxy.bind=127.0.0.1:1",
                "--set",
                "haproxy.certificate=/nonexistent",
            ),
            env={"TMPDIR": str(cluster.temporary)},
        )
        assert done.returncode == 1
        assert list(cluster.temporary.iterdir()) == []


async def test_a_process_that_dies_is_reported_and_the_others_go_on_until_no_node_is_left() -> None:
    async with LocalCluster("--nodes", "2") as cluster, aiohttp.ClientSession() as http:
        info = cluster.info
        dead, alive = info["nodes"]
        os.kill(dead["pid"], signal.SIGKILL)
        await eventually(lambda: "node-1 ended (SIGKILL): the others go on" in cluster.errors)
        registry = next(pid for pid, command in cluster.processes().items() if "--role registry" in command)
        os.kill(registry, signal.SIGKILL)
        await eventually(lambda: "registry ended (SIGKILL): the nodes go on serving" in cluster.errors)
        assert await publish(http, alive["url"], info["api_key"], "news", 1) == {"result": {}}
        haproxy = min(pid for pid, command in cluster.processes().items() if "/haproxy " in command)
        os.kill(haproxy, signal.SIGKILL)
        await eventually(lambda: "haproxy ended" in cluster.errors)
        assert await publish(http, alive["url"], info["api_key"], "news", 2) == {"result": {}}
        os.kill(alive["pid"], signal.SIGKILL)
        assert await cluster.ended() == 1
        assert "no node is left" in cluster.errors
        await cluster.gone(within=0.5)


async def test_data_keeps_keys_and_rules_for_the_next_time(tmp_path: Path) -> None:
    data = tmp_path / "da ta%20"
    async with LocalCluster("--nodes", "1", "--data", str(data)) as cluster:
        first = cluster.info
        operator = {"WSP_SERVER": first["registry"], "WSP_KEY": first["admin_key"]}
        assert wsplatform("rules", "set", "kept", env=operator).returncode == 0
        second = wsplatform("cluster", "--data", str(data), "--port", "0")
        assert second.returncode == 1
        assert second.stderr.endswith("[data_in_use]\n")
        assert (data / "keys.json").stat().st_mode & 0o777 == 0o600
        assert (data / "registry.db").stat().st_mode & 0o777 == 0o600
        assert await cluster.end() == 0
    async with LocalCluster("--nodes", "1", "--data", str(data)) as cluster, aiohttp.ClientSession() as http:
        info = cluster.info
        assert (info["admin_key"], info["api_key"]) == (first["admin_key"], first["api_key"])
        operator["WSP_SERVER"] = info["registry"]
        assert "kept" in wsplatform("rules", "list", env=operator).stdout
        assert await publish(http, info["balancer"], info["api_key"], "news", 1) == {"result": {}}
        assert await cluster.end() == 0
    (data / "registry.db").unlink()
    async with LocalCluster("--nodes", "1", "--data", str(data)) as cluster:
        assert cluster.info["admin_key"] == first["admin_key"]
        assert cluster.info["api_key"] != first["api_key"]


def test_a_port_in_use_is_said() -> None:
    short = Path(tempfile.mkdtemp(prefix="t-"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = wsplatform("cluster", "--port", str(taken.getsockname()[1]), env={"TMPDIR": str(short)})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("[port_in_use]")
    assert done.stdout == ""
    short.rmdir()


async def test_a_node_that_cannot_start_ends_the_cluster_with_its_reason() -> None:
    async with LocalCluster("--nodes", "2", "--set", "cluster.transport=pigeon", json_=False) as cluster:
        assert await cluster.ended() == 1
        last = cluster.errors.splitlines()[-1]
        assert last.endswith("[start_failed]")
        # both nodes start at once: either one can be the first to fail
        failed = last.removeprefix("error: ").split()[0]
        assert f"{failed}   | error: " in cluster.errors
        assert list(cluster.temporary.iterdir()) == []


@pytest.mark.parametrize("after", [0.3, 1.0, 2.0])
async def test_it_can_be_stopped_while_it_starts(after: float) -> None:
    async with LocalCluster("--nodes", "2", json_=False) as cluster:
        await asyncio.sleep(after)
        assert await cluster.end(signal.SIGTERM) in (0, -signal.SIGTERM)
        await cluster.gone()
        assert "Traceback" not in cluster.errors


async def test_secrets_of_ones_own_are_used_and_a_missing_haproxy_is_done_without() -> None:
    env = {"WSP_CLIENT__TOKEN_HMAC_SECRETS": "o" * 40, "WSP_CLIENT__ALLOW_ANONYMOUS": "false"}
    options = ["--set", f"registry.admin_key={'a' * 40}", "--set", "haproxy.binary=no-such-haproxy"]
    async with LocalCluster("--nodes", "1", *options, env=env) as cluster:
        assert cluster.info["balancer"] is None
        assert "apt-get install haproxy" in cluster.errors
        assert cluster.info["admin_key"] == "a" * 40
        url = cluster.info["nodes"][0]["url"]
        refused = wsplatform("subscribe", "news", "--server", url)
        assert refused.returncode == 1
        token = wsplatform("token", "--user", "anna", env=env).stdout.strip()
        subscriber = Subscriber(url, "news", "--count", "1", "--token", token)
        await subscriber.start()
        backend = {"WSP_SERVER": url, "WSP_KEY": cluster.info["api_key"]}
        assert wsplatform("publish", "news", '{"a": 1}', env=backend).returncode == 0
        assert await subscriber.lines() == [{"a": 1}]


async def test_for_people_it_prints_addresses_and_commands_and_a_second_ctrl_c_does_not_wait() -> None:
    async with LocalCluster("--nodes", "2", "--set", "node.drain_seconds=60", json_=False) as cluster:
        text = await cluster.text()
        for word in (
            "balancer",
            "node-1",
            "node-2",
            "registry",
            "admin key",
            "API key",
            "curl",
            "npm install centrifuge",
        ):
            assert word in text
        (url,) = re.findall(r"balancer +(http://127\.0\.0\.1:\d+)\n", text)
        exported = dict(
            re.findall(r"(WSP_SERVER|WSP_API_KEY|REGISTRY|ADMIN_KEY)=(\S+)", text)
        )  # as the documentation asks
        assert exported["WSP_SERVER"] == url
        listed = ("nodes", "--server", exported["REGISTRY"], "--key", exported["ADMIN_KEY"])
        assert "node-1" in (await asyncio.to_thread(wsplatform, *listed)).stdout
        sent = ("publish", "news", "1", "--server", url, "--key", exported["WSP_API_KEY"])
        assert (await asyncio.to_thread(wsplatform, *sent)).returncode == 0
        assert f"{url}/api/publish" in text
        subscriber = Subscriber(url, "news")
        await subscriber.start()
        cluster.process.send_signal(signal.SIGINT)
        await eventually(lambda: "stopping" in cluster.errors)
        assert await cluster.end(signal.SIGINT, within=5) == 0
        await cluster.gone(within=0.5)
        await subscriber.end()
