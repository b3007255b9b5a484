"""What others do to HAProxy, what HAProxy cannot do, and what a node would have it do: told, put right, no harm."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from tests.support.haproxy import Backend, Balancer
from tests.support.wait import eventually
from wsplatform.errors import PlatformError
from wsplatform.model import Member
from wsplatform.plugins.haproxy_control import Master
from wsplatform.plugins.haproxy_keeper import Keeper
from wsplatform.settings import HAProxyTable

TABLE = HAProxyTable(check_seconds=0.1)

FULL_DISK = """
import asyncio, sys
import msgspec
from pathlib import Path
from wsplatform.errors import PlatformError
from wsplatform.model import Member
from wsplatform.plugins.haproxy_keeper import Keeper
from wsplatform.settings import HAProxyTable

folder = Path(sys.argv[1])
table = HAProxyTable(config_file=str(folder / "haproxy.cfg"), master_socket=sys.argv[2], status_bind="")
node = Member(node_id="n1", incarnation="a", cluster_url="", client_url=sys.argv[3], ready=True)
(folder / "haproxy.cfg").write_text("# Written by wsplatform, before\\n")
left = (folder / "rest").open("wb", buffering=0)
try:
    while left.write(b"x" * 512):
        pass
except OSError:
    pass
try:
    asyncio.run(Keeper(table).apply([node]))
except PlatformError as error:
    print(error)
print(sorted(path.name for path in folder.iterdir()), (folder / "haproxy.cfg").read_text())
"""


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("set server nodes/n1 weight 9", "n1 had weight 9 instead of 1"),
        ("set server nodes/n1 state maint", "n1 was in maintenance"),
        ("set server nodes/n1 state drain", "n1 was drained"),
        ("set server nodes/n1 addr 127.0.0.2 port 9", "n1 was at 127.0.0.2:9 instead of"),
        ("disable health nodes/n1", "n1 was not checked"),
        ("add server nodes/evil 127.0.0.3:9", "evil should not be there"),
    ],
)
async def test_what_is_changed_in_the_running_haproxy_is_told_and_put_right(command: str, told: str) -> None:
    async with Balancer(TABLE) as balancer, Backend("n1") as node, Backend("n2") as other:
        await balancer.serve(node, other)
        master = Master(balancer.process.table.master_socket)
        before = await _configured(master)
        await master.ask(f"@1 {command}")
        await eventually(lambda: told in str(balancer.plugin.status().facts.get("drift")))
        await eventually(lambda: _is(master, before))
        assert balancer.plugin.status().healthy
        assert (await master.processes()).reloads == 0
        await eventually(lambda: balancer.answers("n1"))


async def _configured(master: Master) -> dict[str, tuple[str, int, bool]]:
    return {one.name: (one.place, one.weight, one.maintenance) for one in (await master.servers()).values()}


async def _is(master: Master, before: object) -> bool:
    return await _configured(master) == before


async def test_a_server_that_was_deleted_by_hand_comes_back() -> None:
    async with Balancer(TABLE) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        master = Master(balancer.process.table.master_socket)
        await master.ask("@1 set server nodes/n1 state maint;@1 del server nodes/n1")
        await eventually(lambda: balancer.answers("n1"))
        assert int(balancer.plugin.status().facts["drifts"]) >= 1


async def test_a_file_that_was_edited_is_written_again_and_read_by_haproxy() -> None:
    async with Balancer(TABLE) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        config = Path(balancer.process.table.config_file)
        good = config.read_text()
        config.write_text(good.replace("timeout tunnel 3600000ms", "timeout tunnel 1s"))
        await eventually(lambda: "by hand" in str(balancer.plugin.status().facts.get("drift")))
        await eventually(lambda: balancer.plugin.status().facts.get("reloads") == 1)
        assert config.read_text() == good
        await eventually(lambda: balancer.answers("n1"))


async def test_a_haproxy_that_starts_anew_has_all_nodes_at_once() -> None:
    async with Balancer(TABLE) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        process = balancer.process
        old = process.pid
        os.kill(old, 9)
        await process.ended()
        await eventually(lambda: not _connects(balancer.port))  # its worker ends a moment later
        await process._spawn(shutil.which("haproxy", path="/usr/sbin:/usr/bin") or "")
        await eventually(lambda: _connects(balancer.port), within=10)
        assert await balancer.answers("n1")
        await eventually(lambda: balancer.plugin.status().healthy, within=10)
        assert balancer.plugin.status().facts["drifts"] == 0


def _connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


INJECTIONS = [
    "n1;@1 shutdown frontend clients",
    "n1\nset server nodes/n2 state maint",
    "n1 weight 0",
    "n1$(id)",
    "../n1",
]


@pytest.mark.parametrize("name", INJECTIONS)
async def test_no_name_of_a_node_is_a_command(name: str) -> None:
    async with Balancer(TABLE) as balancer, Backend("n2") as node:
        await balancer.serve(node)
        evil = Member(node_id=name, incarnation="a", cluster_url="", client_url="http://127.0.0.1:9", ready=True)
        balancer.announce([evil, node.member()])
        await balancer.loaded()
        master = Master(balancer.process.table.master_socket)
        assert {one.name: one.state for one in (await master.servers()).values()} == {"n2": "up"}
        assert "is not given to HAProxy" in balancer.plugin.status().detail
        assert await balancer.answers("n2")


async def test_a_socket_without_permission_is_named() -> None:
    async with Balancer(TABLE) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        path, config = balancer.process.table.master_socket, balancer.process.table.config_file
        Path(config).parent.chmod(0o755)
        script = (
            "import asyncio, os, sys\nfrom wsplatform.plugins.haproxy_control import Master\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "try:\n    asyncio.run(Master(sys.argv[1]).servers())\n"
            "except Exception as error:\n    print(error)\n"
        )
        done = await asyncio.create_subprocess_exec(sys.executable, "-c", script, path, stdout=-1)
        output = (await done.communicate())[0].decode()
        assert "Permission denied" in output
        assert output.strip().endswith("[haproxy_unreachable]")
        assert await balancer.answers("n1")


async def test_a_broken_haproxy_is_named_and_the_running_one_goes_on_with_the_nodes_that_there_are(
    tmp_path: Path,
) -> None:
    broken = program(tmp_path / "haproxy", "kill -SEGV $$")
    async with Balancer(TABLE) as balancer, Backend("n1") as node, Backend("n2") as other:
        await balancer.serve(node)
        await balancer.plugin.stop()
        for binary, code in ((str(broken), "haproxy_config_refused"), ("/nowhere/haproxy", "haproxy_missing")):
            table = msgspec.structs.replace(balancer.process.table, binary=binary)
            with pytest.raises(PlatformError) as caught:
                await Keeper(table).apply([node.member(), other.member()])
            assert caught.value.code == code
        assert "n2" not in Path(balancer.process.table.config_file).read_text()
        assert list(await Master(balancer.process.table.master_socket).servers()) == ["n1", "n2"]
        assert await balancer.answers("n1")


@pytest.mark.parametrize("script", ["exit 0", "head -c 3000 /dev/urandom", "exec yes"])
async def test_what_is_no_haproxy_is_never_what_a_reload_begins(tmp_path: Path, script: str) -> None:
    """The master would become it, and the balancer be gone."""
    async with Balancer(TABLE) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        await balancer.plugin.stop()
        config = Path(balancer.process.table.config_file)
        good = config.read_text()
        wrong = str(program(tmp_path / "haproxy", script))
        for edited, changes in ((f"{good}# by hand\n", {}), (good, {"tunnel_seconds": 1234.0})):
            config.write_text(edited)
            table = msgspec.structs.replace(balancer.process.table, binary=wrong, **changes)
            with pytest.raises(PlatformError, match="does not answer as HAProxy does") as caught:
                await Keeper(table).apply([node.member()])
            assert caught.value.code == "haproxy_missing"
            assert config.read_text() == edited
        assert (await Master(balancer.process.table.master_socket).processes()).reloads == 0
        assert await balancer.answers("n1")


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


async def test_a_disk_that_is_full_is_told_and_nothing_is_half_written(tmp_path: Path) -> None:
    async with Balancer(TABLE) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        mount = f'mount -t tmpfs -o size=16k none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path} $1 $2'
        arguments = (
            "unshare",
            "-m",
            "sh",
            "-c",
            mount,
            FULL_DISK,
            balancer.process.table.master_socket,
            node.member().client_url,
        )
        done = await asyncio.create_subprocess_exec(*arguments, stdout=-1, stderr=-1)
        output, errors = await done.communicate()
        assert done.returncode == 0, errors
        assert b"free some space" in output
        assert b"['haproxy.cfg', 'rest'] # Written by wsplatform, before" in output
        assert await balancer.answers("n1")
