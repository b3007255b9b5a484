"""A real HAProxy with the configuration that is made here, real nodes behind it, and what its clients see."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.support.haproxy import Backend, Balancer, self_signed
from tests.support.processes import free_port
from tests.support.wait import eventually
from wsplatform.core.haproxy_sections import COOKIE
from wsplatform.plugins.haproxy_control import Master, check
from wsplatform.plugins.haproxy_keeper import Keeper
from wsplatform.settings import HAProxyTable

GOLDEN = Path(__file__).parents[1] / "unit" / "golden" / "haproxy.cfg"


@pytest.fixture
async def balancer() -> AsyncIterator[Balancer]:
    async with Balancer() as balancer:
        yield balancer


@pytest.fixture
async def nodes() -> AsyncIterator[tuple[Backend, Backend]]:
    async with Backend("n1") as first, Backend("n2") as second:
        yield first, second


async def echoes(websocket: aiohttp.ClientWebSocketResponse) -> bool:
    await websocket.send_str("still here?")
    message = await websocket.receive()
    return message.type is aiohttp.WSMsgType.TEXT and message.data == "still here?"


async def raw(port: int, target: bytes) -> tuple[int, bytes]:
    """One request with this target, exactly; the status of the reply and the whole of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        reply = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    return int(reply.split(b" ", 2)[1]), reply


async def test_the_typical_configuration_is_valid_to_haproxy_itself(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "site.pem")
    config = tmp_path / "haproxy.cfg"
    config.write_text(GOLDEN.read_text().replace("/etc/haproxy/site.pem", str(certificate)))
    await check("haproxy", config)


async def test_a_node_gets_traffic_when_it_joins_and_none_when_it_has_left(
    balancer: Balancer, nodes: tuple[Backend, Backend]
) -> None:
    first, second = nodes
    await balancer.serve(first)
    assert {(await balancer.get())[1] for _ in range(6)} == {"n1"}
    await balancer.serve(first, second)
    await balancer.serve(second)
    assert {(await balancer.get())[1] for _ in range(6)} == {"n2"}


async def test_websockets_are_spread_and_those_that_are_open_survive_reloads(
    balancer: Balancer, nodes: tuple[Backend, Backend]
) -> None:
    first, second = nodes
    await balancer.serve(first, second)
    async with balancer.websocket() as (one, name_of_one), balancer.websocket() as (two, name_of_two):
        assert {name_of_one, name_of_two} == {"n1", "n2"}
        await balancer.serve(second)
        await balancer.serve(first, second)
        assert await echoes(one)
        assert await echoes(two)


async def test_no_new_websocket_fails_while_haproxy_reloads(balancer: Balancer, nodes: tuple[Backend, Backend]) -> None:
    first, second = nodes
    await balancer.serve(first)
    served = 0
    done = asyncio.Event()

    async def connect_again_and_again() -> None:
        nonlocal served
        while not done.is_set():
            async with balancer.websocket() as (websocket, _):
                assert await echoes(websocket)
            served += 1

    clients = [asyncio.create_task(connect_again_and_again()) for _ in range(4)]
    await balancer.serve(first, second)
    await balancer.serve(second)
    done.set()
    await asyncio.gather(*clients)
    assert served > 20


async def test_a_request_on_a_kept_connection_is_answered_after_a_reload(
    balancer: Balancer, nodes: tuple[Backend, Backend]
) -> None:
    first, _ = nodes
    await balancer.serve(first)
    reader, writer = await asyncio.open_connection("127.0.0.1", balancer.port)

    async def ask() -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        length = re.search(rb"(?i)content-length: ([0-9]+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        return head.lower()

    assert b"connection: close" not in await ask()
    await Master(balancer.process.table.master_socket).reload()
    assert b"connection: close" in await ask()
    assert await reader.read() == b""
    writer.close()


async def test_a_node_that_is_not_ready_is_in_the_file_and_left_alone_until_it_is(balancer: Balancer) -> None:
    async with Backend("n1") as first, Backend("n2", health=503) as second:
        await balancer.serve(first)
        balancer.announce([first.member(), second.member(ready=False)])
        await balancer.loaded()
        assert "server n2 " in Path(balancer.process.table.config_file).read_text()
        assert {(await balancer.get())[1] for _ in range(10)} == {"n1"}
        assert not second.requests
        second.health = 200
        balancer.announce([first.member(), second.member()])
        await eventually(lambda: balancer.answers("n2"))


async def test_a_node_that_drains_gets_no_new_clients_and_keeps_those_it_has(
    balancer: Balancer, nodes: tuple[Backend, Backend]
) -> None:
    first, second = nodes
    await balancer.serve(first, second)
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(balancer.websocket()) for _ in range(4)]
        first.health = 404
        await eventually(lambda: _only(balancer, "n2"))
        assert all([await echoes(websocket) for websocket, _ in opened])


async def _only(balancer: Balancer, name: str) -> bool:
    return {(await balancer.get())[1] for _ in range(6)} == {name}


async def test_who_is_refused_by_a_node_that_drains_gets_another_one_before_haproxy_knows(
    balancer: Balancer, nodes: tuple[Backend, Backend]
) -> None:
    first, second = nodes
    await balancer.serve(first, second)
    first.refusing = True
    headers = {"Cookie": f"{COOKIE}=n1"}
    async with balancer.http.ws_connect(f"{balancer.url}/connection/websocket", headers=headers) as websocket:
        assert (await websocket.receive()).data == "n2"
        assert websocket._response.cookies[COOKIE].value == "n2"
    second.refusing = True
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await balancer.http.ws_connect(f"{balancer.url}/connection/websocket", headers=headers)
    assert caught.value.status == 503
    assert caught.value.headers is not None
    assert caught.value.headers.getall("Set-Cookie") == [f"{COOKIE}=; Path=/; Max-Age=0"]


async def test_a_node_that_says_it_drains_is_in_maintenance_and_keeps_its_websockets(
    balancer: Balancer, nodes: tuple[Backend, Backend]
) -> None:
    first, second = nodes
    await balancer.serve(first, second)
    headers = {"Cookie": f"{COOKIE}=n1"}
    async with balancer.http.ws_connect(balancer.url + "/x", headers=headers) as websocket:
        assert (await websocket.receive()).data == "n1"
        balancer.announce([first.member(draining=True), second.member()])
        await balancer.loaded()
        async with balancer.http.get(balancer.url, headers=headers) as response:
            assert (await response.json())["node"] == "n2"  # its cookie leads nowhere any more
        balancer.announce([second.member()])
        await balancer.loaded()
        assert await echoes(websocket)
        master = Master(balancer.process.table.master_socket)
        assert (await master.servers())["n1"].maintenance
    await eventually(lambda: _gone(master, "n1"), within=5)
    balancer.announce([first.member(), second.member()])
    await eventually(lambda: balancer.answers("n1"))
    assert (await master.processes()).reloads == 0


async def _gone(master: Master, name: str) -> bool:
    return name not in await master.servers()


async def test_workers_behind_one_address_get_as_many_clients_each_as_others(balancer: Balancer) -> None:
    async with Backend("w-1") as host, Backend("n1") as alone, contextlib.AsyncExitStack() as stack:
        workers = [msgspec.structs.replace(host.member(), node_id=f"w-{number}") for number in (1, 2, 3)]
        balancer.announce([*workers, alone.member()])
        await balancer.loaded()
        opened = [(await stack.enter_async_context(balancer.websocket()))[1] for _ in range(40)]
        assert 27 <= opened.count("w-1") <= 33
        balancer.announce([*workers[1:], alone.member()])
        await balancer.loaded()
        present = await Master(balancer.process.table.master_socket).servers()
        assert {name: server.weight for name, server in present.items()} == {"w-1": 2, "n1": 1}


async def test_an_address_gets_no_more_connections_than_it_may_have() -> None:
    table = HAProxyTable(address_connections=3)
    async with Balancer(table) as balancer, Backend("n1") as node, contextlib.AsyncExitStack() as stack:
        balancer.announce([node.member()])
        await balancer.loaded()
        for _ in range(3):
            await stack.enter_async_context(balancer.websocket())
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await balancer.http.ws_connect(balancer.url + "/connection/websocket")
        assert caught.value.status == 429


async def test_an_address_sends_no_more_requests_than_it_may() -> None:
    async with Balancer(HAProxyTable(address_request_rate=1)) as balancer, Backend("n1") as node:
        balancer.announce([node.member()])
        await balancer.loaded()
        statuses = [(await balancer.get())[0] for _ in range(14)]
        assert statuses[:5] == [200] * 5
        assert statuses[-1] == 429


async def test_an_address_begins_no_more_connections_than_it_may() -> None:
    async with Balancer(HAProxyTable(address_connection_rate=1)) as balancer, Backend("n1") as node:
        balancer.announce([node.member()])
        await balancer.loaded()
        served = 0
        with contextlib.suppress(ConnectionError, IndexError):  # cut, before or after its request
            while served < 14:
                assert (await raw(balancer.port, b"/"))[0] == 200
                served += 1
        assert served < 14


@pytest.mark.parametrize(("address", "counted"), [("::1", "::"), ("127.0.0.1", "::ffff:127.0.0.1")])
async def test_of_ipv6_a_network_counts_as_one_address(address: str, counted: str) -> None:
    async with Balancer(HAProxyTable(address_request_rate=1), address) as balancer:
        async with balancer.http.get(balancer.url) as response:
            assert response.status == 503  # there is no node
        table = await Master(balancer.process.table.master_socket).ask("@1 show table clients")
        assert re.findall(r" key=(\S+)", table) == [counted]


async def test_operators_reach_the_registry_only_where_that_is_wanted(tmp_path: Path) -> None:
    async with Backend("registry") as registry, Backend("n1") as node:
        table = HAProxyTable(operators_url=f"http://127.0.0.1:{registry.port}")
        async with Balancer(table) as balancer:
            await balancer.serve(node)
            assert await balancer.get("/admin/v1/nodes") == (200, "registry")
            assert await balancer.get("/dashboard/") == (200, "registry")
            assert await balancer.get("/api/publish") == (200, "n1")
            for private in (b"/cluster/mesh", b"/metrics", b"/x/../admin", b"//admin"):
                assert (await raw(balancer.port, private))[0] in {400, 404}
            forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
            async with balancer.http.get(balancer.url + "/admin/", headers=forged) as response:
                received = {name.lower(): value for name, value in (await response.json())["headers"]}
            assert (received["x-forwarded-for"], received["x-forwarded-proto"]) == ("127.0.0.1", "http")
            assert "Set-Cookie" not in response.headers


async def test_a_users_own_lines_hold_and_wrong_ones_harm_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "frontend.cfg").write_text("    http-response set-header X-Own yes\n")
    async with Balancer(HAProxyTable(snippets=str(folder))) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        async with balancer.http.get(balancer.url) as response:
            assert response.headers["X-Own"] == "yes"
        (folder / "backend.cfg").write_text("    no such word\n")
        await eventually(lambda: "no such word" in balancer.plugin.status().detail or _told(balancer), within=10)
        assert "[haproxy_config_refused]" in balancer.plugin.status().detail
        assert await balancer.get() == (200, "n1")
        (folder / "backend.cfg").rename(folder / "back.cfg")
        await eventually(lambda: "back.cfg is none of" in balancer.plugin.status().detail, within=10)
        (folder / "back.cfg").unlink()
        (folder / "frontend.cfg").write_text("    http-response set-header X-Own again\n")
        await eventually(lambda: balancer.plugin.status().healthy, within=20)
        await balancer.get()  # on a connection from before, which has one answer left
        async with balancer.http.get(balancer.url) as response:
            assert response.headers["X-Own"] == "again"


def _told(balancer: Balancer) -> bool:
    return not balancer.plugin.status().healthy


async def test_the_status_page_is_where_it_is_wanted(tmp_path: Path) -> None:
    port = free_port()
    async with Balancer() as balancer, Backend("n1") as node:
        await balancer.plugin.stop()
        table = msgspec.structs.replace(balancer.process.table, status_bind=f"127.0.0.1:{port}")
        await Keeper(table).apply([node.member()])
        status, page = await raw(port, b"/")
        assert status == 200
        assert b"n1" in page
        assert (await raw(balancer.port, b"/;csv"))[1].find(b"pxname") < 0
        status, figures = await raw(port, b"/metrics")  # for Prometheus, where HAProxy is built with it, as Debian's is
        assert status == 200
        assert b'haproxy_server_status{proxy="nodes",server="n1",state="UP"}' in figures
        assert (await raw(balancer.port, b"/metrics"))[0] == 404


async def test_a_node_that_dies_costs_no_request(balancer: Balancer, nodes: tuple[Backend, Backend]) -> None:
    first, second = nodes
    await balancer.serve(first, second)
    await first.__aexit__()
    assert [await balancer.get() for _ in range(20)] == [(200, "n2")] * 20


async def test_a_publish_that_a_node_has_read_is_never_given_to_another_one(
    balancer: Balancer, nodes: tuple[Backend, Backend]
) -> None:
    await balancer.serve(*nodes)
    for node in nodes:
        node.requests.clear()
        node.crash_on = {"POST"}
    # From a new connection: on one that was used before HAProxy closes it without a reply, as HTTP lets it.
    async with aiohttp.ClientSession() as http, http.post(balancer.url + "/api/publish", json={}) as response:
        assert response.status == 502
    assert sum(len(node.requests) for node in nodes) == 1
    nodes[0].crash_on = {"GET"}
    assert [await balancer.get() for _ in range(4)] == [(200, "n2")] * 4  # what only reads is tried elsewhere


REFUSED = [
    *(f"/{face}" for face in ("cluster", "admin", "dashboard", "metrics")),
    "/cluster/mesh",
    "/cluster?x=1",
    "/cluster;x",
    "/admin/v1/nodes",
    "//cluster/mesh",
    "///cluster",
    "//host/cluster",
    "/%63luster/mesh",
    "/%63%6C%75%73%74%65%72",
    "/%2fcluster",
    "/%2Fcluster",
    "/.%2fcluster",
    "/%2e/cluster",
    "/./cluster",
    "/x/../cluster",
    "/x/%2e%2e/cluster",
    "/x/..;/cluster",
    "/x%2f..%2fcluster",
    "/CLUSTER",
    "/%5ccluster",
    "/x%5c..%5ccluster",
    "/%00cluster",
    "/%0acluster",
    "http://x/cluster",
    "http://x//cluster",
    "http://x/%63luster",
    # What cannot be decoded.
    "/cluster%zz",
    "/admin/v1/channels/%",
    "/dashboard/x/%f",
    "/%6detrics%",
    "//cluster%zz",
    "/x/../cluster%zz",
    "http://x/cluster%zz",
    "*",
    # What HAProxy's own parser refuses.
    "cluster",
    "http:/cluster",
    "http:cluster",
    "http://x%2fcluster",
    "http://u:p@x/cluster",
    "ws://x/cluster",
    "?/cluster",
    "/cluster#x",
    "/\\cluster",
]


async def test_the_faces_for_nodes_and_operators_are_out_of_reach_however_they_are_spelt(
    balancer: Balancer, nodes: tuple[Backend, Backend]
) -> None:
    await balancer.serve(*nodes)
    for node in nodes:
        node.requests.clear()
    for target in REFUSED:
        status, _ = await raw(balancer.port, target.encode())
        assert status in {400, 404}, target
    assert not [request.raw_path for node in nodes for request in node.requests]
    status, reply = await raw(balancer.port, b"/cluster")
    assert (status, b'"code":"not_found"' in reply) == (404, True)


@pytest.mark.parametrize(
    "path", ["/", "/connection/websocket", "/api/publish", "/apps/1/channels/a%2Fb", "/x?to=/cluster"]
)
async def test_everything_else_reaches_a_node_as_it_was_sent(balancer: Balancer, path: str) -> None:
    async with Backend("n1") as node:
        await balancer.serve(node)
        status, _ = await raw(balancer.port, path.encode())
        assert (status, node.requests[-1].raw_path) == (200, path)


async def test_an_upgrade_of_the_node_face_is_refused(balancer: Balancer) -> None:
    async with Backend("n1") as node:
        await balancer.serve(node)
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await balancer.http.ws_connect(f"{balancer.url}/cluster/mesh")
        assert caught.value.status == 404


async def test_a_client_cannot_choose_the_address_it_is_known_by(balancer: Balancer) -> None:
    async with Backend("n1") as node:
        await balancer.serve(node)
        forged = [
            ("X-Forwarded-For", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7, 8.8.8.8"),
            ("X_Forwarded_For", "6.6.6.6"),
            ("X-Forwarded-Host", "evil"),
            ("X-Forwarded-Proto", "https"),
            ("X-Real-IP", "6.6.6.6"),
            ("Forwarded", "for=6.6.6.6"),
        ]
        async with balancer.http.get(balancer.url, headers=forged) as response:
            received = (await response.json())["headers"]
        told = [(name.lower(), value) for name, value in received if "for" in name.lower() or "real" in name.lower()]
        assert sorted(told) == [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http")]


async def test_a_client_that_returns_its_cookie_returns_to_its_node(
    balancer: Balancer, nodes: tuple[Backend, Backend]
) -> None:
    await balancer.serve(*nodes)
    async with balancer.http.get(balancer.url) as response:
        cookie = response.cookies[COOKIE]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Lax", "/", "")
        assert cookie.value == (await response.json())["node"]
    for name in ("n1", "n2"):
        headers = {"Cookie": f"{COOKIE}={name}"}
        for _ in range(5):
            async with balancer.http.get(balancer.url, headers=headers) as response:
                assert COOKIE not in response.cookies
                assert (await response.json())["node"] == name
        async with balancer.http.ws_connect(f"{balancer.url}/x", headers=headers) as websocket:
            assert (await websocket.receive()).data == name


@pytest.mark.parametrize("value", ["n9", "", "n1 n2", "%0a", "a" * 2000])
async def test_a_cookie_that_names_no_node_is_replaced(balancer: Balancer, value: str) -> None:
    async with Backend("n1") as node:
        await balancer.serve(node)
        async with balancer.http.get(balancer.url, headers={"Cookie": f"{COOKIE}={value}"}) as response:
            assert (response.status, response.cookies[COOKIE].value) == (200, "n1")


async def test_who_comes_without_tls_is_sent_to_it(tmp_path: Path) -> None:
    port = free_port()
    table = HAProxyTable(tls_bind=f"127.0.0.1:{port}", certificate=str(self_signed(tmp_path / "s.pem")), redirect=True)
    async with Balancer(table) as balancer, Backend("n1") as node:
        balancer.announce([node.member()])
        await balancer.loaded()
        async with balancer.http.get(balancer.url + "/a?b=c", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (308, f"https://127.0.0.1:{port}/a?b=c")
        reader, writer = await asyncio.open_connection("127.0.0.1", balancer.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"400" in await reader.readline()
        writer.close()


async def test_a_certificate_is_exchanged_without_a_reload(tmp_path: Path) -> None:
    port = free_port()
    certificate = self_signed(tmp_path / "site.pem")
    table = HAProxyTable(tls_bind=f"127.0.0.1:{port}", certificate=str(certificate), check_seconds=0.2)
    context = ssl.create_default_context(cafile=certificate)
    async with Balancer(table) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        async with balancer.http.ws_connect(f"wss://127.0.0.1:{port}/x", ssl=context) as websocket:
            await websocket.receive()
            other, new = self_signed(tmp_path / "other.pem"), self_signed(tmp_path / "new.pem")
            mixed = new.read_text().partition("-----BEGIN PRIVATE")[0] + "-----BEGIN PRIVATE"
            mixed += other.read_text().partition("-----BEGIN PRIVATE")[2]
            (tmp_path / "mixed.pem").write_text(mixed)
            (tmp_path / "mixed.pem").replace(certificate)
            await eventually(lambda: "[haproxy_config_refused]" in balancer.plugin.status().detail, within=10)
            assert str(certificate) in balancer.plugin.status().detail
            async with balancer.http.get(f"https://127.0.0.1:{port}/", ssl=context) as response:
                assert response.status == 200  # with the one that it has
            trusted = ssl.create_default_context(cafile=new)
            new.replace(certificate)
            await eventually(lambda: _trusted(balancer, port, trusted), within=10)
            assert await echoes(websocket)
            assert (await Master(balancer.process.table.master_socket).processes()).reloads == 0
            await eventually(lambda: balancer.plugin.status().healthy)
            until = float(balancer.plugin.status().facts["certificate_until"])
            assert until == pytest.approx(time.time() + 86_400, abs=60)  # tests/support/haproxy.py: self_signed
            told = {sample.metric: sample.value for sample in balancer.plugin.measure()}
            assert told["haproxy_certificate_expiry_timestamp"] == until


async def test_a_key_that_does_not_match_is_told_and_a_longer_chain_is_served(tmp_path: Path) -> None:
    """The certificate itself stays; a HAProxy that is started anew would not start, or serve the old chain on."""
    certificate, other = self_signed(tmp_path / "site.pem"), self_signed(tmp_path / "other.pem").read_text()
    good, mark = certificate.read_text(), "-----BEGIN PRIVATE"
    table = HAProxyTable(tls_bind=f"127.0.0.1:{free_port()}", certificate=str(certificate), check_seconds=0.2)
    async with Balancer(table) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        certificate.write_text(good.partition(mark)[0] + mark + other.partition(mark)[2])
        await eventually(lambda: "[haproxy_config_refused]" in balancer.plugin.status().detail, within=10)
        certificate.write_text(good)
        await eventually(lambda: balancer.plugin.status().healthy, within=15)
        certificate.write_text(good + other.partition(mark)[0])
        master = Master(balancer.process.table.master_socket)

        async def served() -> bool:
            return "Chain Subject: /CN=wsplatform test" in await master.ask(f"@1 show ssl cert {certificate}")

        await eventually(served, within=10)
        assert balancer.plugin.status().healthy


async def _trusted(balancer: Balancer, port: int, context: ssl.SSLContext) -> bool:
    try:
        async with balancer.http.get(f"https://127.0.0.1:{port}/", ssl=context) as response:
            return response.status == 200
    except aiohttp.ClientSSLError:
        return False


async def test_tls_with_a_certificate_beside_plain_http(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "site.pem")
    port = free_port()
    table = HAProxyTable(tls_bind=f"127.0.0.1:{port}", certificate=str(certificate))
    context = ssl.create_default_context(cafile=certificate)
    async with Balancer(table) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        async with balancer.http.get(f"https://127.0.0.1:{port}/", ssl=context) as response:
            assert response.cookies[COOKIE]["secure"] is True
            assert ["X-Forwarded-Proto", "https"] in (await response.json())["headers"]
        async with balancer.http.ws_connect(f"wss://127.0.0.1:{port}/connection/websocket", ssl=context) as websocket:
            assert (await websocket.receive()).data == "n1"
            assert await echoes(websocket)
        async with balancer.http.get(balancer.url, allow_redirects=False) as response:
            assert response.status == 200
        assert (await raw(balancer.port, b"/cluster"))[0] == 404
        async with balancer.http.get(f"https://127.0.0.1:{port}//cluster", ssl=context) as response:
            assert response.status == 404
