"""A HAProxy of one's own: begun when it is told, gone when its owner is."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.processes import free_port
from tests.support.wait import eventually
from wsplatform.errors import PlatformError, StartError
from wsplatform.plugins.haproxy_control import Master
from wsplatform.plugins.haproxy_process import HAProxyProcess
from wsplatform.resources import folder
from wsplatform.settings import HAProxyTable
from wsplatform.settings_load import load

OWNER = """
import asyncio, sys
from wsplatform.plugins.haproxy_process import HAProxyProcess
from wsplatform.settings import HAProxyTable

async def main():
    haproxy = HAProxyProcess(HAProxyTable(), sys.argv[1])
    await haproxy.start()
    print(haproxy.table.master_socket, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    """Whether it runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def pids(master_socket: str) -> list[int]:
    return [worker.pid for worker in (await Master(master_socket).processes()).workers]


async def test_it_accepts_connections_when_it_has_started_and_leaves_nothing_when_it_has_stopped() -> None:
    port = free_port()
    haproxy = HAProxyProcess(HAProxyTable(), f"127.0.0.1:{port}")
    await haproxy.start()
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/") as response:
        assert response.status == 503  # no node yet
    processes = [haproxy.pid, *await pids(haproxy.table.master_socket)]
    files = Path(haproxy.table.config_file).parent
    assert files.stat().st_mode & 0o777 == 0o700
    assert os.getsid(haproxy.pid) != os.getsid(0)  # a Ctrl-C for us is not for it
    await haproxy.stop()
    await haproxy.stop()
    assert not files.exists()
    await eventually(lambda: not any(alive(pid) for pid in processes))


async def test_the_registry_gets_its_settings_by_environment() -> None:
    haproxy = HAProxyProcess(HAProxyTable(tunnel_seconds=1234.5), f"127.0.0.1:{free_port()}")
    await haproxy.start()
    try:
        assert load("test", folder("config"), environ=haproxy.environment()).haproxy == haproxy.table
        assert haproxy.table.enabled
        assert haproxy.table.tunnel_seconds == 1234.5
    finally:
        await haproxy.stop()


async def test_a_missing_binary() -> None:
    with pytest.raises(StartError, match="apt-get install haproxy") as caught:
        await HAProxyProcess(HAProxyTable(binary="/nowhere/haproxy"), "127.0.0.1:8080").start()
    assert caught.value.code == "haproxy_missing"


async def test_a_binary_that_is_no_program(tmp_path: Path) -> None:
    binary = tmp_path / "haproxy"
    binary.write_bytes(b"\x7fELF nothing")
    binary.chmod(0o755)
    with pytest.raises(StartError, match=r"haproxy\.binary") as caught:
        await HAProxyProcess(HAProxyTable(binary=str(binary)), f"127.0.0.1:{free_port()}").start()
    assert caught.value.code == "haproxy_missing"


async def test_a_port_that_another_program_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port}") as caught:
            await HAProxyProcess(HAProxyTable(), f"127.0.0.1:{port}").start()
    assert caught.value.code == "port_in_use"


async def test_a_port_that_another_haproxy_has_is_not_shared_with_it() -> None:
    bind = f"127.0.0.1:{free_port()}"
    first = HAProxyProcess(HAProxyTable(), bind)
    await first.start()
    try:
        with pytest.raises(StartError) as caught:
            await HAProxyProcess(HAProxyTable(), bind).start()
        assert caught.value.code == "port_in_use"
    finally:
        await first.stop()


async def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    certificate = tmp_path / "site.pem"
    certificate.write_text("hello")
    table = HAProxyTable(certificate=str(certificate), tls_bind=f"127.0.0.1:{free_port()}")
    with pytest.raises(PlatformError, match=str(certificate)) as caught:
        await HAProxyProcess(table, f"127.0.0.1:{free_port()}").start()
    assert caught.value.code == "haproxy_config_refused"


async def test_no_place_for_its_files(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="TMPDIR") as caught:
        await HAProxyProcess(HAProxyTable(), f"127.0.0.1:{free_port()}", tmp_path / "missing").start()
    assert caught.value.code == "no_temporary_folder"


async def test_its_end_is_noticed() -> None:
    haproxy = HAProxyProcess(HAProxyTable(), f"127.0.0.1:{free_port()}")
    await haproxy.start()
    os.kill(haproxy.pid, signal.SIGKILL)
    assert await haproxy.ended() != 0
    await haproxy.stop()


async def test_it_does_not_outlive_an_owner_that_is_killed() -> None:
    port = free_port()
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, f"127.0.0.1:{port}", stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    master_socket = (await owner.stdout.readline()).decode().strip()
    # Old workers as well: a reload, with a connection that keeps the first worker.
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        before = await pids(master_socket)
        await Master(master_socket).reload()
        processes = {*before, *await pids(master_socket)}
        assert len(processes) == 2
    finally:
        owner.kill()
        await owner.wait()
    await eventually(lambda: not any(alive(pid) for pid in processes))
    writer.close()
    await asyncio.to_thread(shutil.rmtree, Path(master_socket).parent)
