from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.cli import clean_environment, program, wsplatform
from tests.support.local_cluster import LocalCluster
from tests.support.wait import eventually
from wsplatform import cli


async def publish(http: aiohttp.ClientSession, url: str, key: str, channel: str, data: Any) -> dict[str, Any]:
    body = {"channel": channel, "data": data}
    async with http.post(f"{url}/api/publish", json=body, headers={"X-API-Key": key}) as response:
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer


class Subscriber:
    """`wsplatform subscribe`."""

    def __init__(self, url: str, *arguments: str) -> None:
        self._arguments = ("subscribe", "--server", url, *arguments)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *program(*self._arguments), env=clean_environment(), stdout=-1, stderr=-1
        )
        assert self._process.stderr is not None
        line = await asyncio.wait_for(self._process.stderr.readline(), 20)
        assert line.startswith(b"subscribed to "), line

    async def lines(self) -> list[Any]:
        assert self._process is not None
        out, errors = await asyncio.wait_for(self._process.communicate(), 20)
        assert self._process.returncode == 0, errors
        return [json.loads(line) for line in out.splitlines()]


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


async def test_rules_keys_and_nodes_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with LocalCluster("--nodes", "1", "--env", "production", env={"WSP_LOG__LEVEL": "WARNING"}) as cluster:
        info = cluster.info
        registry = ("--server", info["registry"], "--key", info["admin_key"])
        node = ("--server", info["nodes"][0]["url"], "--key", info["api_key"])

        async def run(*arguments: str, status: int = 0) -> str:
            """In this process: starting one for each takes longer than what they do."""
            found = await asyncio.to_thread(cli.run, arguments)
            shown = capsys.readouterr()
            assert found == status, shown.err
            return shown.out if status == 0 else shown.out + shown.err

        (record,) = json.loads(await run("nodes", "--json", *registry))
        assert (record["id"], record["ready"]) == ("node-1", True)
        assert "node-1  http://127.0.0.1:" in await run("nodes", *registry)

        assert "[unknown_channel]" in await run("publish", "chat:1", "1", *node, status=1)
        assert json.loads(await run("rules", "list", "--json", *registry)) == []
        assert await run("rules", "test", "chat:1", *registry, status=1) == "chat:1: no rule, refused\n"
        made = json.loads(await run("rules", "set", "chat:*", "subscribe=anyone", "max_bytes=100", "--json", *registry))
        assert made == {"pattern": "chat:*", "subscribe": "anyone", "publish": "nobody", "max_bytes": 100}
        await run("rules", "set", "test", "publish=subscribers", *registry)
        told = await run("rules", "test", "chat:1", *registry)
        assert told == "chat:1: rule chat:*: subscribe anyone, publish nobody, at most 100 bytes\n"
        listed = await run("rules", "list", *registry)
        assert [line.split()[0] for line in listed.splitlines()] == ["PATTERN", "chat:*", "test"]
        assert "[invalid_rule]" in await run("rules", "set", "$x", *registry, status=1)
        assert "[invalid_rule]" in await run("rules", "set", "x", "subscribe=all", *registry, status=1)
        assert "[usage]" in await run("rules", "set", "x", "history=5", *registry, status=2)
        await eventually(lambda: wsplatform("publish", "chat:1", "1", *node).returncode == 0)
        await run("rules", "delete", "chat:*", *registry)
        await run("rules", "delete", "test", *registry)
        assert "[unknown_rule]" in await run("rules", "delete", "chat:*", *registry, status=1)

        text = (await run("key", "create", "--name", "shop", "--channel", "shop:*", *registry)).strip()
        keys = json.loads(await run("key", "list", "--json", *registry))
        shop = next(key for key in keys if key["name"] == "shop")
        assert text.startswith(f"wsp_{shop['id']}_")
        assert "shop:*" in await run("key", "list", *registry)
        await run("key", "revoke", shop["id"], *registry)
        assert "[unknown_key]" in await run("key", "revoke", shop["id"], *registry, status=1)

        wrong = ("--key", "wrong")
        assert "address of the registry" in await run("rules", "list", *node, status=1)
        assert "address of the registry" in await run("nodes", "--server", info["balancer"], *wrong, status=1)
        assert "address of a node" in await run("publish", "a", "1", *registry, status=1)
        assert "address of a node" in await run("subscribe", "a", "--server", info["registry"], status=1)
        assert "[unauthorized]" in await run("nodes", "--server", info["registry"], *wrong, status=1)
        assert "[forbidden]" in await run("nodes", "--server", info["registry"], "--key", info["api_key"], status=1)
        assert "[unauthorized]" in await run("publish", "a", "1", *node[:2], *wrong, status=1)

        rendered = await run("haproxy", "render", "--check", *registry)
        assert f"server node-1 {info['nodes'][0]['url'].removeprefix('http://')}" in rendered


async def test_publications_from_standard_input_arrive_in_order() -> None:
    async with LocalCluster("--nodes", "1") as cluster:
        subscriber = Subscriber(cluster.info["balancer"], "log", "--count", "200", "--json")
        await subscriber.start()
        env = {"WSP_SERVER": cluster.info["balancer"], "WSP_KEY": cluster.info["api_key"]}
        lines = "".join(f"line {number}\n" for number in range(200))
        done = await asyncio.to_thread(wsplatform, "publish", "log", "-", "--text", "--json", env=env, text=lines)
        assert json.loads(done.stdout) == {"published": 200}
        expected = [{"channel": "log", "data": f"line {number}"} for number in range(200)]
        assert await subscriber.lines() == expected


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


async def test_a_process_that_dies_is_reported_and_the_others_go_on() -> None:
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
        assert await cluster.end(signal.SIGTERM) == 1


async def test_when_no_node_is_left_the_cluster_ends() -> None:
    async with LocalCluster("--nodes", "1") as cluster:
        os.kill(cluster.info["nodes"][0]["pid"], signal.SIGKILL)
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


async def test_without_haproxy_it_says_what_to_install_and_goes_on() -> None:
    async with LocalCluster("--nodes", "1", "--set", "haproxy.binary=no-such-haproxy") as cluster:
        assert cluster.info["balancer"] is None
        assert "apt-get install haproxy" in cluster.errors
        assert await cluster.end() == 0


def test_a_port_in_use_is_said() -> None:
    short = Path(tempfile.mkdtemp(prefix="t-"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = wsplatform("cluster", "--port", str(taken.getsockname()[1]), env={"TMPDIR": str(short)})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("[port_in_use]")
    assert done.stdout == ""
    short.rmdir()


async def test_a_node_that_cannot_start_ends_the_cluster_with_its_reason() -> None:
    cluster = LocalCluster("--nodes", "2", "--set", "cluster.transport=pigeon")
    await cluster.start()
    assert await cluster.ended() == 1
    assert "node-1   | error: " in cluster.errors
    assert cluster.errors.splitlines()[-1].endswith("[start_failed]")
    assert list(cluster.temporary.iterdir()) == []
    await cluster.gone()


@pytest.mark.parametrize("after", [0.3, 1.0, 2.0])
async def test_it_can_be_stopped_while_it_starts(after: float) -> None:
    cluster = LocalCluster("--nodes", "2")
    await cluster.start()
    await asyncio.sleep(after)
    assert await cluster.end(signal.SIGTERM) in (0, 143, -signal.SIGTERM)
    await cluster.gone()
    assert "Traceback" not in cluster.errors


async def test_a_second_signal_does_not_wait_for_clients() -> None:
    async with LocalCluster("--nodes", "1", "--set", "node.drain_seconds=60") as cluster:
        subscriber = Subscriber(cluster.info["nodes"][0]["url"], "news")
        await subscriber.start()
        cluster.process.send_signal(signal.SIGINT)
        await eventually(lambda: "stopping" in cluster.errors)
        assert await cluster.end(signal.SIGINT, within=5) == 0
        await cluster.gone(within=0.5)


async def test_secrets_of_ones_own_are_used() -> None:
    env = {"WSP_CLIENT__TOKEN_HMAC_SECRETS": "o" * 40, "WSP_CLIENT__ALLOW_ANONYMOUS": "false"}
    async with LocalCluster("--nodes", "1", "--set", f"registry.admin_key={'a' * 40}", env=env) as cluster:
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


async def test_for_people_it_prints_addresses_keys_and_commands() -> None:
    async with LocalCluster("--nodes", "2", json_=False) as cluster:
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
        assert f"{url}/api/publish" in text
        assert await cluster.end() == 0
