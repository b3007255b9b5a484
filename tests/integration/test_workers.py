"""Several nodes on one port: what users rely on, and what becomes of it when a process ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from tests.support.cli import wsplatform
from tests.support.client import Client
from tests.support.haproxy import Balancer
from tests.support.marked import marked_processes
from tests.support.wait import eventually
from tests.support.workers import Workers, established, free, free_pair
from wsplatform.settings_load import DEVELOPMENT_SECRETS


@pytest.fixture
async def host() -> AsyncIterator[Workers]:
    async with Workers("--workers", "2") as host:
        yield host


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Workers]:
    """For tests that leave it as it was."""
    async with Workers("--workers", "2") as host:
        yield host


on_shared = pytest.mark.asyncio(loop_scope="module")


@on_shared
async def test_it_says_where_it_listens_and_which_processes_it_consists_of(shared: Workers) -> None:
    info = shared.info
    assert list(info) == ["role", "node_id", "url", "registry_url", "workers", "registry_pid"]
    assert [worker["node_id"] for worker in info["workers"]] == ["host-1", "host-2"]
    pids = {shared.process.pid, info["registry_pid"], *(worker["pid"] for worker in info["workers"])}
    assert pids == set(marked_processes(shared.mark))
    nodes = (await shared.admin("GET", "nodes"))["items"]
    assert {node["client_url"] for node in nodes} == {info["url"]}
    assert len({node["cluster_url"] for node in nodes}) == 2


@on_shared
async def test_the_registry_asks_all_workers(shared: Workers) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(shared.http, shared.url)) for _ in range(20)]

        async def found() -> bool:
            page = await shared.admin("GET", "sessions")
            assert page["missing"] == []
            return sorted(item["id"] for item in page["items"]) == sorted(client.id for client in clients)

        await eventually(found)


async def test_a_worker_that_is_drained_ends_and_runs_again(host: Workers) -> None:
    before = host.pids
    assert await host.admin("POST", "nodes/host-1/drain") == {"node": "host-1", "state": "draining"}
    await eventually(lambda: before[0] not in host.pids, within=20)
    await eventually(lambda: len(host.pids) == 2, within=20)
    await eventually(host.whole, within=20)
    assert before[1] in host.pids
    assert "host-1 has ended (exit status 0)" in host.errors


@on_shared
async def test_two_thousand_connections_are_spread_evenly(shared: Workers) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(20):
            clients = [Client(shared.http, shared.url) for _ in range(100)]
            await asyncio.gather(*(stack.enter_async_context(client) for client in clients))
        sessions = await shared.sessions()
        assert sum(sessions.values()) == 2000
        assert max(sessions.values()) <= 1.2 * min(sessions.values())


@on_shared
async def test_what_any_worker_is_given_to_publish_reaches_the_clients_of_all_in_order(shared: Workers) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(shared.http, shared.url)) for _ in range(20)]
        assert min((await shared.sessions()).values()) > 0
        for client in clients:
            await client.subscribe("news")
        for number in range(100):  # each on a connection of its own
            assert await shared.api("publish", channel="news", data=["backend", number]) == {"result": {}}
        await clients[0].publish("news", ["client", 0])
        for client in clients:
            await eventually(lambda client=client: len(client.publications["news"]) == 101)
            assert sorted(client.publications["news"])[:100] == [["backend", number] for number in range(100)]


@on_shared
async def test_workers_reach_each_other_through_a_unix_socket_for_their_user_only(shared: Workers) -> None:
    assert sorted(shared.sockets()) == [("host-1.sock", False), ("host-2.sock", False), ("host-2.sock", True)]
    (folder,) = shared.temporary.glob("wsplatform-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    for node in (await shared.admin("GET", "nodes"))["items"]:
        port = urlsplit(node["cluster_url"]).port
        assert port is not None
        assert not free(port)
        assert established(port) <= 1  # the registry's, which is in no folder with them
    connector = aiohttp.UnixConnector(str(folder / "host-1.sock"))
    async with aiohttp.ClientSession(connector=connector) as http:
        assert (await http.get("http://host-1/health/ready")).status == 200
        assert (await http.get("http://host-1/api/info")).status == 404
        assert (await http.get("http://host-1/connection/websocket")).status == 404
    async with shared.http.get(f"{shared.url}/cluster/mesh") as response:
        assert response.status == 404


@on_shared
async def test_a_port_in_use_is_said_once(shared: Workers) -> None:
    """By another group of workers as well, which would share it with anybody who shares."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = [taken.getsockname()[1], urlsplit(shared.url).port]
        for port in ports:
            done = wsplatform("serve", "--env", "test", "--workers", "2", "--port", str(port))
            assert done.returncode == 1
            assert done.stdout == ""
            (line,) = done.stderr.splitlines()
            assert line.endswith("[port_in_use]")


async def test_a_killed_worker_comes_back_and_nobody_is_refused_meanwhile(host: Workers) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(host.http, host.url)) for _ in range(20)]
        for client in clients:
            await client.subscribe("c")
        before, registry = host.pids, host.registry_pid
        answered: list[int] = []

        async def ask() -> None:
            while True:
                async with host.http.get(f"{host.url}/health/ready", timeout=aiohttp.ClientTimeout(20)) as response:
                    answered.append(response.status)

        asking = asyncio.create_task(ask())
        os.kill(before[0], signal.SIGKILL)
        await eventually(lambda: any(client.close_code == 1006 for client in clients))
        lost = [client for client in clients if client.close_code is not None]
        assert 0 < len(lost) < 20
        back = [await stack.enter_async_context(Client(host.http, host.url)) for _ in lost]
        for client in back:
            await client.subscribe("c")
        await eventually(lambda: len(host.pids) == 2, within=15)
        await eventually(host.whole, within=15)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert set(answered) == {200}

        assert host.pids[0] != before[0]
        assert (host.pids[1], host.registry_pid) == (before[1], registry)
        new = [await stack.enter_async_context(Client(host.http, host.url)) for _ in range(20)]
        assert min((await host.sessions()).values()) > 0
        for client in new:
            await client.subscribe("c")
        for number in range(20):
            assert await host.api("publish", channel="c", data=number) == {"result": {}}
        for client in [*(client for client in clients if client not in lost), *back, *new]:
            await eventually(lambda client=client: sorted(client.publications["c"]) == list(range(20)))
    assert ("host-2.sock", True) in host.sockets()
    assert "host-1 has ended (SIGKILL): started again in" in host.errors


async def test_a_killed_registry_comes_back_at_its_address_and_the_workers_do_not_notice(host: Workers) -> None:
    pids, registry = host.pids, host.registry_pid
    async with Client(host.http, host.url) as client:
        await client.subscribe("c")
        os.kill(registry, signal.SIGKILL)
        for number in range(20):
            assert await host.api("publish", channel="c", data=number) == {"result": {}}
        await eventually(lambda: sorted(client.publications["c"]) == list(range(20)))
        await eventually(host.whole, within=15)  # asks it where it was
        assert host.pids == pids
        assert host.registry_pid != registry
        assert client.close_code is None


async def test_a_worker_that_hangs_gets_no_new_connections(host: Workers) -> None:
    stopped = host.pids[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        await eventually(lambda: "host-1 has fallen silent" in host.errors, within=10)
        for _ in range(20):
            async with host.http.get(f"{host.url}/health/ready", timeout=aiohttp.ClientTimeout(2)) as response:
                assert response.status == 200
    finally:
        os.kill(stopped, signal.SIGCONT)

    async def both_serve() -> bool:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(Client(host.http, host.url))
            return min((await host.sessions()).values()) > 0

    await eventually(both_serve, within=15)
    assert host.pids[0] == stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_orderly_stop_tells_all_clients_and_leaves_nothing(host: Workers, number: signal.Signals) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(host.http, host.url)) for _ in range(20)]
        assert await host.end(number) == 0
        await eventually(lambda: {client.close_code for client in clients} == {3001})
    await host.gone(within=0.5)
    assert list(host.temporary.glob("wsplatform-*")) == []
    assert [
        port for port in (urlsplit(host.url).port, urlsplit(host.info["registry_url"]).port) if not free(port)
    ] == []
    assert "Traceback" not in host.errors


async def test_a_stop_takes_as_long_as_the_clients_are_given_and_a_second_signal_ends_it() -> None:
    async with (
        Workers("--workers", "2", "--set", "node.drain_seconds=60") as host,
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(20):
            await stack.enter_async_context(Client(host.http, host.url))
        host.process.send_signal(signal.SIGTERM)

        async def draining() -> bool:
            async with host.http.get(f"{host.url}/health/ready") as response:
                return response.status == 404

        await eventually(draining)
        for _ in range(10):
            assert await draining()
        assert await host.end(signal.SIGTERM, within=5) == 128 + signal.SIGTERM
        await host.gone(within=0.5)
        assert list(host.temporary.glob("wsplatform-*")) == []


async def test_nothing_outlives_a_killed_supervisor(host: Workers) -> None:
    assert len(marked_processes(host.mark)) == 4
    assert await host.end(signal.SIGKILL) == -signal.SIGKILL
    await host.gone(within=2)
    left = list(host.temporary.glob("wsplatform-*"))
    assert len(left) == 1
    arguments = ["--workers", "2", "--port", str(urlsplit(host.url).port)]
    async with Workers(*arguments, settings={"TMPDIR": str(host.temporary)}) as again:
        again.temporary, own = host.temporary, again.temporary
        assert again.url == host.url
        again.temporary = own


@pytest.mark.parametrize(("workers", "status"), [(1, 0), (2, 1)])
def test_settings_that_are_good_for_one_worker_only_are_found_by_a_check(workers: int, status: int) -> None:
    done = wsplatform("config", "check", "--set", "cluster.port=65535", "--set", f"node.workers={workers}")
    assert done.returncode == status
    assert ("cluster.port" in done.stderr) == bool(status)


@pytest.mark.parametrize("after", [0.3, 1.0])
async def test_it_can_be_stopped_while_it_starts(after: float) -> None:
    host = Workers("--workers", "2")
    await host.start()
    await asyncio.sleep(after)
    assert await host.end(signal.SIGTERM) in (0, 143, -signal.SIGTERM)
    await host.gone(within=1)
    assert "Traceback" not in host.errors
    await host.__aexit__()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--set", "cluster.transport=pigeon"], "not_installed"),  # noticed by nodes
        (["--set", "registry.database=sqlite:////no/such/folder/x.db"], "database_unavailable"),  # by the registry
        (["--set", "cluster.port=65535"], "invalid_setting"),  # by the supervisor
        (["--workers", "0"], "invalid_setting"),
        (["--host", "192.0.2.1"], "address_unusable"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1].partition("=")[0],
)
def test_a_setting_that_cannot_work_is_one_clear_error(arguments: list[str], code: str) -> None:
    done = wsplatform("serve", "--env", "test", "--port", "0", "--workers", "3", "--json", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    *logged, line = done.stderr.splitlines()
    # The registry goes on without the mesh, and says so, until the nodes have failed
    assert all(f"[{code}]" in each and code == "not_installed" for each in logged), done.stderr
    assert line.startswith("error: ")
    assert line.endswith(f"[{code}]")
    assert not DEVELOPMENT_SECRETS & set(done.stderr.split())


async def test_workers_that_end_at_once_again_and_again_are_given_up() -> None:
    async with Workers("--workers", "2") as host:
        while host.process.returncode is None:
            for pid in [*marked_processes(host.mark)]:
                if pid not in (host.process.pid, host.info["registry_pid"]):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.02)
        assert await host.ended() == 1
        await host.gone(within=0.5)
        assert host.errors.splitlines()[-1].startswith("error: host-")
        assert host.errors.splitlines()[-1].endswith("[worker_failed]")


async def test_workers_whose_ids_somebody_else_has_taken_are_not_started_again(host: Workers) -> None:
    registry = {"WSP_REGISTRY__URL": host.info["registry_url"]}
    async with Workers("--workers", "2", "--role", "node", settings=registry) as other:
        assert other.info["registry_pid"] is None
        assert await host.ended() == 1
        assert host.errors.splitlines()[-1].endswith("[superseded]")
        assert other.process.returncode is None


async def test_ports_of_ones_own_choice_for_other_hosts() -> None:
    first = free_pair()
    settings = {"WSP_CLUSTER__PORT": str(first), "WSP_CLUSTER__URL": "ws://localhost:7000"}
    async with Workers("--workers", "2", settings=settings) as host:
        assert not free(first)
        assert not free(first + 1)
        nodes = (await host.admin("GET", "nodes"))["items"]
        assert [node["cluster_url"] for node in nodes] == ["ws://localhost:7000", "ws://localhost:7001"]


async def test_a_node_elsewhere_and_haproxy_get_along_with_workers(tmp_path: Path) -> None:
    async with Balancer() as balancer, contextlib.AsyncExitStack() as stack:
        proxied = {**balancer.process.environment()}
        host = await stack.enter_async_context(Workers("--workers", "2", settings=proxied))
        single = {"WSP_REGISTRY__URL": host.info["registry_url"], "WSP_NODE__ID": "single"}
        other = await stack.enter_async_context(Workers("--role", "node", settings=single))

        async def balanced() -> bool:
            seen = set()
            for _ in range(6):
                async with balancer.http.get(f"{balancer.url}/health/ready") as response:
                    if response.status == 200:
                        seen.add(response.cookies["WSNODE"].value)
            return seen == {"host-1", "single"}

        await eventually(balanced, within=30)
        clients = [await stack.enter_async_context(Client(balancer.http, balancer.url)) for _ in range(30)]
        for client in clients:
            await client.subscribe("c")
        sessions = await host.sessions()
        assert sessions["single"] in (9, 10, 11)  # two workers get twice as many
        assert min(sessions["host-1"], sessions["host-2"]) > 0
        for number in range(10):
            headers = {"X-API-Key": host.key}
            body = {"channel": "c", "data": number}
            async with balancer.http.post(f"{balancer.url}/api/publish", json=body, headers=headers) as response:
                assert await response.json() == {"result": {}}
        for client in clients:
            await eventually(lambda client=client: sorted(client.publications["c"]) == list(range(10)))

        os.kill(host.pids[0], signal.SIGKILL)
        for _ in range(300):  # through its end and its return
            async with balancer.http.get(f"{balancer.url}/health/ready") as response:
                assert response.status == 200
        assert other.process.returncode is None
