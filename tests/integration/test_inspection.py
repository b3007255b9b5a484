"""The admin API's questions to all nodes: real processes, a registry by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from msgspec import Raw

from tests.support.client import Client
from tests.support.processes import Cluster
from tests.support.wait import eventually
from wsplatform.core.tokens import Claims, sign
from wsplatform.web.admin.watch import MAX_WATCHES

USER = "ada"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """For tests that leave the cluster as it was."""
    async with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        await reached(cluster)
        yield cluster


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path) as cluster:
        await reached(cluster)
        yield cluster


on_shared = pytest.mark.asyncio(loop_scope="module")


async def reached(cluster: Cluster) -> None:
    """Until the registry is connected with all nodes."""

    async def whole() -> bool:
        return (await cluster.admin("GET", "sessions"))["missing"] == []

    await eventually(whole)


async def ask(cluster: Cluster, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Status and body of any answer of the admin API."""
    url = f"{cluster.registry.url}/admin/v1/{path}"
    headers = {"X-API-Key": cluster.admin_key, "Content-Type": "application/json"}
    data = None if body is None else BytesIO(json.dumps(body).encode())
    async with cluster.http.request(method, url, data=data, headers=headers) as response:
        return response.status, await response.json() if response.status != 204 else None


async def pages(cluster: Cluster, path: str, **query: Any) -> list[Any]:
    """All items of a list, page by page."""
    items: list[Any] = []
    cursor = ""
    while cursor is not None:
        words = "&".join(f"{name}={value}" for name, value in {**query, "cursor": cursor}.items())
        page = await cluster.admin("GET", f"{path}?{words}")
        assert page["missing"] == []
        items += page["items"]
        cursor = page["next"]
    return items


@contextlib.asynccontextmanager
async def clients(cluster: Cluster, each: int = 2) -> AsyncIterator[dict[str, list[Client]]]:
    """So many clients of one user on each node, by the node's name; on the channels `all` and `<node>:<number>`."""
    token = sign(Claims(USER, info=Raw(b'{"name":"Ada"}')), cluster.token_secret)
    async with contextlib.AsyncExitStack() as stack:
        found: dict[str, list[Client]] = {}
        for node in cluster.nodes:
            for number in range(each):
                client = await stack.enter_async_context(Client(cluster.http, node.url, token))
                await client.subscribe("all")
                await client.subscribe(f"{node.name}:{number}")
                found.setdefault(node.name, []).append(client)
        yield found


@on_shared
async def test_the_registry_is_a_peer_that_no_list_of_nodes_shows(shared: Cluster) -> None:
    nodes = await shared.admin("GET", "nodes")
    assert [node["id"] for node in nodes["items"]] == ["n1", "n2", "n3"]
    links = (await shared.admin("GET", "links"))["items"]
    assert {link["peer"] for link in links} == {"n1", "n2", "n3"}
    info = await shared.api(shared.nodes[0], "info")
    assert [node["name"] for node in info["result"]["nodes"]] == ["n1", "n2", "n3"]


@on_shared
async def test_channels_of_all_nodes_are_listed_by_name_page_by_page(shared: Cluster) -> None:
    async with clients(shared):
        items = await pages(shared, "channels", limit=2)
        assert [item["channel"] for item in items] == ["all", *(f"n{node}:{no}" for node in (1, 2, 3) for no in (0, 1))]
        assert items[0] == {"channel": "all", "subscribers": 6, "nodes": {"n1": 2, "n2": 2, "n3": 2}}
        assert items[1] == {"channel": "n1:0", "subscribers": 1, "nodes": {"n1": 1}}
        assert [item["channel"] for item in await pages(shared, "channels", contains=":1")] == ["n1:1", "n2:1", "n3:1"]
        assert [item["channel"] for item in await pages(shared, "channels", pattern="n[12]:0")] == ["n1:0", "n2:0"]
        one = await shared.admin("GET", "channels/all")
        rule = one.pop("rule")
        assert rule["pattern"] == "*"
        assert one == {
            "channel": "all",
            "subscribers": 6,
            "nodes": {"n1": 2, "n2": 2, "n3": 2},
            "fallback": True,
            "missing": [],
        }


@on_shared
async def test_names_that_no_channel_has_and_those_of_the_platform_are_refused(shared: Cluster) -> None:
    for path, status, code in (
        ("channels/%24canary%3An1", 403, "reserved_channel"),
        ("channels/a%2A", 400, "invalid_channel"),
        ("channels?pattern=%5B", 400, "bad_pattern"),
        ("channels?cursor=%3F", 400, "bad_cursor"),
        ("sessions/none", 404, "unknown_session"),
    ):
        found, body = await ask(shared, "GET", path)
        assert (found, body["error"]["code"]) == (status, code)
    assert (await shared.admin("GET", "channels/a%2Fb"))["channel"] == "a/b"
    for name in ("busiest", "channels", "watch"):  # words of the API are names like others
        assert (await shared.admin("GET", f"channels/{name}"))["channel"] == name
    assert await pages(shared, "channels", contains="canary") == []


@on_shared
async def test_sessions_of_all_nodes_are_listed_and_found(shared: Cluster) -> None:
    began = time.time()
    async with clients(shared) as found, Client(shared.http, shared.nodes[0].url) as anonymous:
        ids = sorted(client.id for some in found.values() for client in some)
        items = await pages(shared, "sessions", limit=2, user=USER)
        assert [item["id"] for item in items] == ids
        assert sorted(item["node"] for item in items) == ["n1", "n1", "n2", "n2", "n3", "n3"]
        assert all(began <= item["connected_at"] <= time.time() for item in items)
        assert {item["subscriptions"] for item in items} == {2}
        assert {(item["address"], item["protocol"]) for item in items} == {("127.0.0.1", "centrifuge-json")}
        assert [item["id"] for item in await pages(shared, "sessions", user="")] == [anonymous.id]
        assert {item["node"] for item in await pages(shared, "sessions", node="n2")} == {"n2"}
        assert [item["id"] for item in await pages(shared, "sessions", channel="n3:1")] == [found["n3"][1].id]
        assert [item["id"] for item in await pages(shared, "sessions", contains=ids[0][3:])] == [ids[0]]
        one = await shared.admin("GET", f"sessions/{found['n2'][0].id}")
        assert one["channels"] == ["all", "n2:0"]
        assert one["info"] == {"name": "Ada"}
        assert (one["node"], one["user"], one["expires_at"], one["waiting_bytes"]) == ("n2", USER, None, 0)


@on_shared
async def test_who_reads_slowly_is_found_and_named_in_the_log_when_cut_off(
    shared: Cluster,
) -> None:
    node = shared.nodes[1]
    token = sign(Claims("slow"), shared.token_secret)
    url = node.url.replace("http", "ws", 1) + "/connection/websocket"
    async with clients(shared), shared.http.ws_connect(url) as socket:
        await socket.send_str(json.dumps({"id": 1, "connect": {"token": token}}))
        await socket.send_str(json.dumps({"id": 2, "subscribe": {"channel": "much"}}))
        await socket.receive()
        await socket.receive()

        async def waits() -> bool:
            await shared.api(node, "publish", channel="much", data="x" * 200_000)
            return bool(await pages(shared, "sessions", slow="true"))

        await eventually(waits, within=30)
        (found,) = await pages(shared, "sessions", slow="true")
        assert (found["user"], found["node"]) == ("slow", "n2")
        assert found["waiting_bytes"] > 0

        async def told() -> bool:
            await shared.api(node, "publish", channel="much", data="x" * 200_000)
            return "user 'slow', disconnected with 3008" in node.log.read_text()

        await eventually(told, within=30)


@on_shared
@pytest.mark.parametrize(("reconnect", "code"), [("true", 3011), ("false", 3503)])
async def test_a_disconnect_reaches_the_session_that_is_named_and_no_other(
    shared: Cluster, reconnect: str, code: int
) -> None:
    async with clients(shared) as found:
        victim = found["n3"][0]
        assert (await ask(shared, "DELETE", f"sessions/{victim.id}?reconnect={reconnect}"))[0] == 204
        await eventually(lambda: victim.close_code is not None)
        assert victim.close_code == code
        assert [client.close_code for some in found.values() for client in some if client is not victim] == [None] * 5
        status, body = await ask(shared, "DELETE", f"sessions/{victim.id}")
        assert (status, body["error"]["code"]) == (404, "unknown_session")
        [entry] = (await shared.admin("GET", f"audit?action=session.disconnect&contains={victim.id}"))["items"]
        assert entry["before"] == {"user": USER, "node": "n3", "address": "127.0.0.1"}
        assert entry["after"] == {"reconnect": reconnect == "true"}


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """Name and data of each event of a stream; lines may be longer than aiohttp takes them."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        while (end := rest.find(b"\n\n")) >= 0:
            name, _, data = bytes(rest[:end]).partition(b"\ndata: ")
            del rest[: end + 2]
            if data:
                yield name.removeprefix(b"event: ").decode(), json.loads(data)


@contextlib.asynccontextmanager
async def watching(cluster: Cluster, channel: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    url = f"{cluster.registry.url}/admin/v1/channels/{channel}/watch"
    async with cluster.http.get(url, headers={"X-API-Key": cluster.admin_key}) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        found = events(response)
        assert await anext(found) == ("watching", {})
        yield found


@on_shared
async def test_a_watch_sees_what_is_published_on_any_node_by_whomever(shared: Cluster) -> None:
    async with clients(shared, each=1) as found, watching(shared, "all") as seen, watching(shared, "all") as other:
        for node in shared.nodes:
            await shared.api(node, "publish", channel="all", data={"by": node.name}, tags={"a": "b"})
            assert await anext(seen) == ("publication", {"data": {"by": node.name}, "info": None, "tags": {"a": "b"}})
        client = found["n2"][0]
        await client.publish("all", "hello")
        info = {"user": USER, "client": client.id, "conn_info": {"name": "Ada"}}
        assert await anext(seen) == ("publication", {"data": "hello", "info": info, "tags": None})
        assert [(await anext(other))[1]["data"] for _ in range(4)][-1] == "hello"
        # Nobody is counted for it.
        assert (await shared.admin("GET", "channels/all"))["subscribers"] == 3


@on_shared
async def test_nothing_is_left_of_a_watch_whose_reader_is_gone(shared: Cluster) -> None:
    for _ in range(60):  # more than may be at a time
        async with watching(shared, "watched") as seen:
            await shared.api(shared.nodes[0], "publish", channel="watched", data=1)
            assert (await anext(seen))[0] == "publication"
    for channel, status, code in (("%24canary", 403, "reserved_channel"), ("a%2A", 400, "invalid_channel")):
        found, body = await ask(shared, "GET", f"channels/{channel}/watch")
        assert (found, body["error"]["code"]) == (status, code)


@on_shared
async def test_a_reader_that_does_not_keep_up_is_cut_off_and_the_others_see_all(shared: Cluster) -> None:
    host, port = shared.registry.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1000)
    key = f"X-API-Key: {shared.admin_key}"
    writer.write(f"GET /admin/v1/channels/flood/watch HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n".encode())
    await reader.readuntil(b"event: watching\ndata: {}\n\n")
    async with watching(shared, "flood") as seen:
        for number in range(40):
            await shared.api(shared.nodes[number % 3], "publish", channel="flood", data=[number, "x" * 900_000])
            name, told = await anext(seen)
            assert (name, told["data"][0]) == ("publication", number)
    received = 0
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(1_000_000):
            received += len(chunk)
    assert received < 40 * 900_000
    writer.close()


@on_shared
async def test_watches_are_bounded(shared: Cluster) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_WATCHES):
            await stack.enter_async_context(watching(shared, "many"))
        status, body = await ask(shared, "GET", "channels/many/watch")
        assert (status, body["error"]["code"]) == (503, "too_many_watches")


@on_shared
async def test_a_publication_of_an_operator_reaches_all_within_the_limits_of_the_server_api(shared: Cluster) -> None:
    async with clients(shared) as found:
        assert await ask(shared, "POST", "publish", {"channel": "all", "data": {"n": 1}}) == (200, {})
        everybody = [client for some in found.values() for client in some]
        await eventually(lambda: all(client.publications["all"] == [{"n": 1}] for client in everybody))
    [entry] = (await shared.admin("GET", "audit?action=publish"))["items"]
    assert (entry["target"], entry["after"]) == ("all", {"bytes": 8})
    for body, status, code in (
        ({"channel": "$all", "data": 1}, 403, "reserved_channel"),
        ({"channel": "a*", "data": 1}, 400, "invalid_channel"),
        ({"channel": "all"}, 400, "bad_body"),
        ({"channel": "all", "data": "x" * 1_048_576}, 413, "limit_exceeded"),
        ({"channel": "all", "data": "x" * 8_388_608}, 413, "limit_exceeded"),
    ):
        found_status, answer = await ask(shared, "POST", "publish", body)
        assert (found_status, answer["error"]["code"]) == (status, code)


async def test_a_node_that_hangs_is_named_within_the_time(cluster: Cluster) -> None:
    async with clients(cluster) as found:
        cluster.nodes[1].signal(signal.SIGSTOP)
        began = time.monotonic()
        page, channel, sessions, there, elsewhere = await asyncio.gather(
            cluster.admin("GET", "channels"),
            cluster.admin("GET", "channels/all"),
            cluster.admin("GET", "sessions"),
            ask(cluster, "GET", f"sessions/{found['n1'][0].id}"),
            ask(cluster, "GET", f"sessions/{found['n2'][0].id}"),
        )
        assert time.monotonic() - began < 4
        assert page["missing"] == channel["missing"] == sessions["missing"] == ["n2"]
        assert page["items"][0] == {"channel": "all", "subscribers": 4, "nodes": {"n1": 2, "n3": 2}}
        assert len(sessions["items"]) == 4
        assert there[0] == 200
        assert (elsewhere[0], elsewhere[1]["error"]["code"]) == (503, "incomplete")
        cluster.nodes[1].signal(signal.SIGCONT)


async def test_a_node_that_is_drained_ends_well_and_its_clients_go_elsewhere(cluster: Cluster) -> None:
    async with clients(cluster, each=1) as found:
        assert await ask(cluster, "POST", "nodes/n1/drain") == (202, {"node": "n1", "state": "draining"})
        assert await asyncio.to_thread(cluster.nodes[0].wait) == 0
        await eventually(lambda: found["n1"][0].close_code == 3001)  # which tells it to connect again
        async with Client(cluster.http, cluster.nodes[1].url) as again:
            await again.subscribe("all")
            assert (await cluster.admin("GET", "channels/all"))["nodes"] == {"n2": 2, "n3": 1}
    assert [entry["target"] for entry in (await cluster.admin("GET", "audit?action=node.drain"))["items"]] == ["n1"]
    for node in ("n1", "registry"):
        status, body = await ask(cluster, "POST", f"nodes/{node}/drain")
        assert (status, body["error"]["code"]) == (404, "unknown_node")


async def subscribes(cluster: Cluster, name: str, count: int = 20) -> float:
    """The longest that a subscribe to a channel that nobody was on took, in seconds, and that all work."""
    longest = 0.0
    publisher, subscriber = cluster.nodes[0], cluster.nodes[1]
    async with Client(cluster.http, subscriber.url) as client:
        for number in range(count):
            channel = f"{name}:{number}"
            began = time.monotonic()
            await client.subscribe(channel)
            longest = max(longest, time.monotonic() - began)
            assert await cluster.api(publisher, "publish", channel=channel, data=number) == {"result": {}}
        await eventually(lambda: all(client.publications[f"{name}:{number}"] == [number] for number in range(count)))
    return longest


async def test_no_subscribe_and_no_publication_needs_the_registry(cluster: Cluster) -> None:
    """It is watching while it hangs and while it is killed; those who would wait for it would wait for 2 seconds."""
    longest = {"usual": await subscribes(cluster, "usual")}
    async with watching(cluster, "all"), clients(cluster, each=1) as found:
        cluster.registry.signal(signal.SIGSTOP)
        longest["hangs"] = await subscribes(cluster, "hangs")
        await cluster.api(cluster.nodes[0], "publish", channel="all", data=1)
        cluster.registry.signal(signal.SIGCONT)
        cluster.registry.kill(signal.SIGKILL)
        longest["killed"] = await subscribes(cluster, "killed")
        await cluster.api(cluster.nodes[0], "publish", channel="all", data=2)
        cluster.registry.start()
        longest["starts"] = await subscribes(cluster, "starts")
        await cluster.registry.ready(cluster.http)
        longest["back"] = await subscribes(cluster, "back")
        await reached(cluster)
        await cluster.api(cluster.nodes[0], "publish", channel="all", data=3)
        for node in cluster.nodes:
            await eventually(lambda: found[node.name][0].publications["all"] == [1, 2, 3])  # noqa: B023 - used at once
        assert (await cluster.admin("GET", "channels/all"))["nodes"] == {"n1": 1, "n2": 1, "n3": 1}
        assert (await cluster.admin("GET", "sessions"))["missing"] == []
    assert max(longest.values()) < 1.0, longest
    for node in cluster.nodes:
        warnings = [line for line in node.log.read_text().splitlines() if " WARNING " in line]
        assert not [line for line in warnings if "ropped" in line or "No connection" in line], warnings


async def test_a_node_that_holds_the_registry_answers_for_itself_and_asks_the_others(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, nodes=1, settings={"WSP_CLUSTER__TRANSPORT": "http"}, role="all")
    async with cluster:
        cluster.nodes.append(cluster.registry)
        await reached(cluster)
        assert [node["id"] for node in (await cluster.admin("GET", "nodes"))["items"]] == ["n1", "registry-1"]
        async with clients(cluster, each=1) as found, watching(cluster, "all") as seen:
            channel = await cluster.admin("GET", "channels/all")
            assert (channel["nodes"], channel["missing"]) == ({"n1": 1, "registry-1": 1}, [])
            for node in cluster.nodes:
                assert await cluster.api(node, "publish", channel="all", data=node.name) == {"result": {}}
                assert (await anext(seen))[1]["data"] == node.name
            assert await ask(cluster, "POST", "publish", {"channel": "all", "data": 1}) == (200, {})
            assert (await anext(seen))[1]["data"] == 1
            for [client] in found.values():
                await eventually(lambda: client.publications["all"] == ["n1", "registry", 1])  # noqa: B023
            assert [item["id"] for item in await pages(cluster, "sessions")] == sorted(
                client.id for [client] in found.values()
            )
            status, body = await ask(cluster, "POST", "nodes/registry-1/drain")
            assert (status, body["error"]["code"]) == (409, "holds_registry")
            for [client] in found.values():
                assert (await ask(cluster, "DELETE", f"sessions/{client.id}"))[0] == 204
                await eventually(lambda: client.close_code == 3503)  # noqa: B023
            assert await pages(cluster, "sessions") == []
            assert await ask(cluster, "POST", "nodes/n1/drain") == (202, {"node": "n1", "state": "draining"})
            assert await asyncio.to_thread(cluster.nodes[0].wait) == 0
