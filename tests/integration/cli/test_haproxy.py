"""`wsplatform haproxy check|sync|status|watch`: HAProxy in step with a cluster, without the plugin."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.cli import clean_environment, program, wsplatform
from tests.support.haproxy import Backend
from tests.support.processes import free_port
from tests.support.wait import eventually
from wsplatform.plugins.haproxy_control import Master
from wsplatform.plugins.haproxy_process import HAProxyProcess
from wsplatform.settings import HAProxyTable


@pytest.fixture
async def haproxy() -> AsyncIterator[HAProxyProcess]:
    process = HAProxyProcess(HAProxyTable(check_seconds=0.2), f"127.0.0.1:{free_port()}")
    await process.start()
    yield process
    await process.stop()


async def command(haproxy: HAProxyProcess, name: str, *nodes: Backend, status: int = 0, json_: bool = False) -> str:
    arguments = [f"--node={node.name}=http://127.0.0.1:{node.port}" for node in nodes]
    if json_:
        arguments.append("--json")
    done = await asyncio.to_thread(wsplatform, "haproxy", name, *arguments, env=haproxy.environment())
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


async def test_haproxy_is_brought_in_step_by_hand(haproxy: HAProxyProcess) -> None:
    async with Backend("n1") as first, Backend("n2") as second:
        assert "nodes: 2" in await command(haproxy, "check", first, second)
        assert "n1 was missing" in await command(haproxy, "status", first, second, status=1)
        assert "add server nodes/n2" in await command(haproxy, "sync", first, second)
        assert await command(haproxy, "sync", first, second) == ""
        told = json.loads(await command(haproxy, "status", first, second, json_=True))
        assert (told["in_step"], [server["name"] for server in told["servers"]]) == (True, ["n1", "n2"])
        config = Path(haproxy.table.config_file)
        config.write_text(f"{config.read_text()}# mine\n")
        assert "edited by hand" in await command(haproxy, "status", first, second, status=1)
        assert "reload" in await command(haproxy, "sync", first, second)
        assert list(await Master(haproxy.table.master_socket).servers()) == ["n1", "n2"]
        assert "del server nodes/n2" in await command(haproxy, "sync", first)


async def test_haproxy_that_is_not_there_is_told(haproxy: HAProxyProcess) -> None:
    async with Backend("n1") as node:
        environment = {**haproxy.environment(), "WSP_HAPROXY__MASTER_SOCKET": "/nonexistent/m.sock"}
        one = f"--node=n1=http://127.0.0.1:{node.port}"
        for name in ("sync", "status"):
            done = await asyncio.to_thread(wsplatform, "haproxy", name, one, env=environment)
            assert (done.returncode, "[haproxy_unreachable]" in done.stderr) == (1, True)
        done = await asyncio.to_thread(
            wsplatform, "haproxy", "sync", "--node", "a\nb=http://1.1.1.1:1", env=haproxy.environment()
        )
        assert "[bad_member]" in done.stderr


async def test_haproxy_is_kept_in_step_until_a_signal(haproxy: HAProxyProcess) -> None:
    key = "k" * 40
    registry = free_port()
    settings = [f"registry.admin_key={key}", "registry.database=sqlite:///:memory:", f"node.port={registry}"]
    server = await start("serve", "--role", "registry", *(part for one in settings for part in ("--set", one)))
    url = f"http://127.0.0.1:{registry}"
    await eventually(lambda: listens(registry), within=20)
    node = await start("serve", "--role", "node", "--port", "0", "--set", f"registry.url={url}", "--set", "node.id=n1")
    watching = await start(
        *("haproxy", "watch", "--interval", "0.1", "--server", url, "--key", key), env=haproxy.environment()
    )
    master = Master(haproxy.table.master_socket)
    try:
        await eventually(lambda: has(master, "n1"), within=20)
        await master.obey("set server nodes/n1 state maint")
        await eventually(lambda: has(master, "n1"), within=10)
    finally:
        for process in (watching, node, server):
            process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(watching.wait(), 10) == 0
    await asyncio.wait_for(node.wait(), 20)
    await asyncio.wait_for(server.wait(), 20)


async def start(*arguments: str, env: dict[str, str] | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*program(*arguments), env=clean_environment(env))


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def has(master: Master, name: str) -> bool:
    return any(server.name == name and server.state == "up" for server in (await master.servers()).values())
