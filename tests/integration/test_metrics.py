"""What nodes tell of themselves at /metrics, read by Prometheus's own parser, against traffic that is known exactly."""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from tests.support.client import Client, Refused
from tests.support.haproxy import self_signed
from tests.support.processes import Cluster, Process, free_port
from tests.support.registry import MemoryRegistry, RegistryServer
from tests.support.wait import eventually
from wsplatform.core.handshake import Identity
from wsplatform.core.metrics import CATALOGUE, REGISTRY_METRICS
from wsplatform.model import ChannelRule, ClusterConfig, Instance
from wsplatform.node.counts import OTHER
from wsplatform.plugins.haproxy_control import Master
from wsplatform.plugins.haproxy_process import HAProxyProcess
from wsplatform.settings import HAProxyTable

pytestmark = pytest.mark.asyncio(loop_scope="module")

_PROTOBUF = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": "centrifuge-protobuf",
}

Series = dict[str, float]
"""By label value."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def haproxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HAProxyProcess]:
    certificate = self_signed(tmp_path_factory.mktemp("tls") / "site.pem")
    table = HAProxyTable(tls_bind=f"127.0.0.1:{free_port()}", certificate=str(certificate), check_seconds=0.2)
    process = HAProxyProcess(table, f"127.0.0.1:{free_port()}")
    await process.start()
    yield process
    await process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory, haproxy: HAProxyProcess) -> AsyncIterator[Cluster]:
    settings = {"WSP_CLUSTER__CANARY_SECONDS": "0.3", **haproxy.environment()}
    async with Cluster(tmp_path_factory.mktemp("cluster"), 2, settings) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def key(cluster: Cluster) -> str:
    made: dict[str, Any] = await cluster.admin("POST", "keys", {"name": "prometheus", "scopes": ["metrics"]})

    async def known(node: Process) -> bool:
        return (await ask(cluster, node, made["key"]))[0] == 200

    for node in cluster.nodes:
        await eventually(lambda node=node: known(node))
    text: str = made["key"]
    return text


async def ask(cluster: Cluster, process: Process, key: str = "", **headers: str) -> tuple[int, str]:
    if key:
        headers["Authorization"] = f"Bearer {key}"
    async with cluster.http.get(f"{process.url}/metrics", headers=headers) as response:
        return response.status, await response.text()


class Scraper:
    """Numbers of one process; `passed`: how much more than before."""

    def __init__(self, cluster: Cluster, process: Process, key: str) -> None:
        self._cluster = cluster
        self._process = process
        self._key = key
        self.now: dict[str, Series] = {}
        self._before: dict[str, Series] = {}

    async def scrape(self) -> None:
        status, text = await ask(self._cluster, self._process, self._key)
        assert status == 200
        series: dict[str, Series] = defaultdict(dict)
        for family in parser.text_string_to_metric_families(text):
            for sample in family.samples:
                series[sample.name][",".join(sample.labels.values())] = sample.value
        self._before, self.now = self.now, series

    def passed(self, name: str, label: str = "") -> float:
        return self.now.get(name, {}).get(label, 0) - self._before.get(name, {}).get(label, 0)


async def test_every_metric_is_measured_and_counts_what_clients_and_backends_have_seen(
    cluster: Cluster, key: str
) -> None:
    first, second = cluster.nodes
    one, other = Scraper(cluster, first, key), Scraper(cluster, second, key)
    for scraper in (one, other):
        await scraper.scrape()
    async with Client(cluster.http, first.url) as ann, Client(cluster.http, first.url) as bob:
        await ann.subscribe("m:1")
        await bob.subscribe("m:1")
        await bob.subscribe("m:2")
        for number in range(20):
            await ann.publish("m:1", number)
        for number in range(5):
            await cluster.api(second, "publish", channel="m:1", data=number)
        await cluster.api(first, "broadcast", channels=["m:1", "m:2", "m:3"], data="x" * 1000)
        await cluster.api(first, "publish", channel="$own", data=1)
        with pytest.raises(Refused):
            await ann.subscribe("m:1")
        await eventually(lambda: len(ann.publications["m:1"]) == len(bob.publications["m:1"]) == 26)
        await eventually(lambda: len(bob.publications["m:2"]) == 1)
        for scraper in (one, other):
            await scraper.scrape()
        assert one.now["wsplatform_sessions"][""] == one.now["wsplatform_connections"][""] == 2
        assert one.now["wsplatform_subscriptions"][""] == 3
        assert one.now["wsplatform_channels"][""] == 2
        assert one.now["wsplatform_users"][""] == 1
    assert one.passed("wsplatform_publications_total", "client") == 20
    assert one.passed("wsplatform_publications_total", "backend") == 3
    assert other.passed("wsplatform_publications_total", "backend") == 5
    assert one.passed("wsplatform_broadcasts_total") == 1
    assert one.passed("wsplatform_deliveries_total") == 26 * 2 + 1
    assert one.passed("wsplatform_delivery_seconds_count") == 27
    assert 0 < one.passed("wsplatform_fanout_seconds_count") <= 27
    assert one.passed("wsplatform_connects_total") == 2
    assert one.passed("wsplatform_subscribes_total") == 3
    assert one.passed("wsplatform_errors_total", "already_subscribed") == 1
    assert one.passed("wsplatform_api_errors_total", "permission_denied") == 1
    assert one.passed("wsplatform_api_commands_total", "publish") == 1
    assert one.passed("wsplatform_api_commands_total", "broadcast") == 1
    assert other.passed("wsplatform_api_commands_total", "publish") == 5
    assert one.passed("wsplatform_link_received_total", "n2") >= 5
    assert one.now["wsplatform_link_up"]["n2"] == 1
    assert one.now["wsplatform_ready"][""] == 1
    data = 3 * 1000 + 2 * 20  # of the broadcast, and a digit or two of each of the others
    assert data < one.passed("wsplatform_sent_bytes_total") < data + 27 * 2 * 200
    assert 26 * 20 < one.passed("wsplatform_received_bytes_total") < 26 * 200
    assert one.now["process_resident_memory_bytes"][""] > 10_000_000
    assert 0 < one.passed("process_cpu_seconds_total") < 10
    assert 10 < one.now["process_open_fds"][""] < one.now["process_max_fds"][""]
    await one.scrape()
    assert one.passed("wsplatform_unsubscribes_total") == 3
    assert one.passed("wsplatform_disconnects_total", "1000") == 2


async def test_nothing_of_the_catalogue_is_missing_but_what_has_not_happened_yet(cluster: Cluster, key: str) -> None:
    scraper = Scraper(cluster, cluster.nodes[0], key)

    async def canaries_are_back() -> bool:
        await scraper.scrape()
        return scraper.now["wsplatform_canary_seconds_count"][""] > 0

    async with cluster.http.get(f"{cluster.nodes[0].url}/connection/websocket", headers=_PROTOBUF) as refused:
        assert refused.status == 400
    await eventually(canaries_are_back)
    shown = {name.removesuffix("_count") for name in scraper.now}
    missing = {metric.name for metric in CATALOGUE.values() if metric.prometheus not in shown}
    assert missing <= {"link_dropped", "errors", "api_errors", "disconnects", "api_commands"}
    assert scraper.now["wsplatform_refused_upgrades_total"] == {"protocol_not_supported": 1}
    assert shown.isdisjoint(metric.prometheus for metric in REGISTRY_METRICS.values())


async def test_codes_that_clients_make_up_have_one_label(cluster: Cluster, key: str) -> None:
    scraper = Scraper(cluster, cluster.nodes[0], key)
    await scraper.scrape()
    for code in range(4000, 4010):
        async with cluster.http.ws_connect(f"{cluster.nodes[0].url}/connection/websocket") as socket:
            await socket.close(code=code)
    await scraper.scrape()
    assert scraper.passed("wsplatform_disconnects_total", OTHER) == 10
    assert not {label for label in scraper.now["wsplatform_disconnects_total"] if label.startswith("4")}


async def test_histograms_are_cumulative_and_their_counts_agree(cluster: Cluster, key: str) -> None:
    scraper = Scraper(cluster, cluster.nodes[1], key)
    await scraper.scrape()
    for metric in CATALOGUE.values():
        if metric.kind == "histogram":
            buckets = scraper.now[f"{metric.prometheus}_bucket"]
            values = [buckets[bound] for bound in sorted(buckets, key=float)]
            assert values == sorted(values)
            assert buckets["+Inf"] == scraper.now[f"{metric.prometheus}_count"][""]
            assert all(math.log2(float(bound) * 1e6).is_integer() for bound in buckets if bound != "+Inf")


async def test_openmetrics_for_those_who_ask_for_it(cluster: Cluster, key: str) -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    status, text = await ask(cluster, cluster.nodes[0], key, Accept=accept)
    assert status == 200
    units = {family.name: family.unit for family in openmetrics.text_string_to_metric_families(text)}
    assert units["wsplatform_sent_bytes"] == "bytes"
    assert units["wsplatform_delivery_seconds"] == "seconds"
    for other in ("text/plain", "*/*", "application/openmetrics-text;q=0", "x;" * 50, "application/json;version=\xe4"):
        status, text = await ask(cluster, cluster.nodes[0], key, Accept=other)
        assert status == 200
        assert "# EOF" not in text


async def test_only_keys_with_a_scope_for_it_may_read(cluster: Cluster, key: str) -> None:
    node = cluster.nodes[0]
    assert (await ask(cluster, node))[0] == 401
    assert (await ask(cluster, node, "wsp_nothing"))[0] == 401
    assert (await ask(cluster, node, cluster.api_key))[0] == 403
    assert (await ask(cluster, node, **{"X-API-Key": key}))[0] == 200
    status, _ = await ask(cluster, cluster.registry, cluster.admin_key)
    assert status == 200
    async with cluster.http.get(f"{cluster.registry.url}/admin/v1/nodes", headers={"X-API-Key": key}) as response:
        assert response.status == 403
    async with cluster.http.post(f"{node.url}/api/info", json={}, headers={"X-API-Key": key}) as response:
        assert response.status == 403


async def test_a_registry_tells_of_its_process_and_of_what_it_knows(cluster: Cluster, key: str) -> None:
    scraper = Scraper(cluster, cluster.registry, key)
    await scraper.scrape()
    assert scraper.now["wsplatform_nodes"] == {"ready": 2, "not_ready": 0, "draining": 0}
    assert scraper.now["wsplatform_database_up"] == {"": 1}
    assert scraper.now["process_open_fds"][""] > 5
    assert {name for name in scraper.now if name.startswith("wsplatform_info")} == {"wsplatform_info"}
    assert {metric.prometheus for metric in REGISTRY_METRICS.values()} <= scraper.now.keys()
    assert "wsplatform_sessions" not in scraper.now


async def test_a_registry_tells_how_the_balancer_is_and_what_has_been_done_to_it(
    cluster: Cluster, key: str, haproxy: HAProxyProcess
) -> None:
    scraper = Scraper(cluster, cluster.registry, key)

    async def now(name: str, label: str = "") -> float | None:
        await scraper.scrape()
        return scraper.now.get(f"wsplatform_{name}", {}).get(label)

    async def is_(value: float, name: str, label: str = "") -> bool:
        return await now(name, label) == value

    await eventually(lambda: is_(2, "haproxy_servers", "up"))
    assert sum(scraper.now["wsplatform_haproxy_servers"].values()) == 2
    assert await now("plugin_healthy", "haproxy") == 1
    assert await now("haproxy_drifts_total") == await now("haproxy_reloads_total") == 0
    assert await now("haproxy_certificate_expiry_timestamp_seconds") == pytest.approx(time.time() + 86_400, abs=120)
    seen = await now("haproxy_last_success_timestamp_seconds")
    assert seen == pytest.approx(time.time(), abs=10)
    await Master(haproxy.table.master_socket).obey("set server nodes/n1 weight 9")
    await eventually(lambda: is_(1, "haproxy_drifts_total"))
    os.kill(haproxy.pid, signal.SIGSTOP)
    try:
        await eventually(lambda: is_(0, "plugin_healthy", "haproxy"), within=20)
        failures = await now("haproxy_failures_total", "haproxy_unreachable")
        assert failures is not None
        assert failures >= 1
        assert await now("haproxy_servers", "up") == 2  # as last seen
    finally:
        os.kill(haproxy.pid, signal.SIGCONT)
    await eventually(lambda: is_(1, "plugin_healthy", "haproxy"), within=40)
    (plugin,) = (await cluster.admin("GET", "plugins"))["items"]
    facts = plugin["facts"]
    assert facts["error"].endswith("[haproxy_unreachable]")
    assert facts["error_at"] < facts["success_at"]
    assert (facts["drift"], facts["servers"]) == ("n1 had weight 9 instead of 1", 2)
    assert [(item["name"], item["weight"]) for item in plugin["items"]] == [("n1", 1), ("n2", 1)]
    assert {item["address"] for item in plugin["items"]} == {f"127.0.0.1:{node.port}" for node in cluster.nodes}
    await eventually(lambda: both_up(cluster))


async def both_up(cluster: Cluster) -> bool:
    (plugin,) = (await cluster.admin("GET", "plugins"))["items"]
    return [item["state"] for item in plugin["items"]] == ["up", "up"]


async def test_the_registry_hears_of_the_moment_with_each_heartbeat(cluster: Cluster) -> None:
    first = cluster.nodes[0]

    async def status() -> dict[str, Any]:
        nodes = (await cluster.admin("GET", "nodes"))["items"]
        told: dict[str, Any] = next(node["status"] for node in nodes if node["id"] == "n1")
        return told

    before = await status()
    async with Client(cluster.http, first.url) as client:
        await client.subscribe("m:live")

        async def timed() -> bool:
            await cluster.api(first, "publish", channel="m:live", data=1)
            return (await status())["delivery_p99"] is not None

        await eventually(timed)
        await cluster.api(first, "publish", channel="$own", data=1)
        await eventually(lambda: _more(status, before, "errors", "sent_bytes", "received_bytes", "cpu_seconds"))
    now = await status()
    assert now["memory_bytes"] > 10_000_000
    assert 0 <= now["lag"] < 5


async def _more(status: Any, before: dict[str, Any], *names: str) -> bool:
    now = await status()
    return all(now[name] > before[name] for name in names)


async def test_what_a_node_has_counted_is_with_the_registry_when_it_has_ended_in_order(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    registry.config = ClusterConfig(1, (ChannelRule(pattern="*", subscribe="anyone", publish="anyone"),))
    secret = secrets.token_hex(32)
    server = RegistryServer(registry, Identity("wsplatform", "registry", Instance("registry", "1"), (secret,)))
    await server.start()
    environment = {"WSP_CLUSTER__SECRETS": secret, "WSP_REGISTRY__URL": server.url}
    node = Process("n1", ["--env", "test", "--role", "node", "--set", "node.id=n1"], environment, tmp_path)
    node.start()
    try:
        async with aiohttp.ClientSession() as http:
            await node.ready(http)
            async with Client(http, node.url) as client:
                await client.subscribe("m")
                for number in range(123):
                    await client.publish("m", number)
                await eventually(lambda: len(client.publications["m"]) == 123)
        assert await asyncio.to_thread(node.kill, signal.SIGTERM) == 0
    finally:
        node.end()
        await server.stop()
    (reports,) = registry.reports.values()
    sums: Counter[str] = Counter()
    for report in reports:
        for metric, labels in report.counters.items():
            sums.update({f"{metric} {label}".strip(): value for label, value in labels.items()})
        sums["delivery"] += sum(report.histograms.get("delivery", {}).get("", {}).values())
    assert sums["deliveries"] == sums["publications client"] == sums["delivery"] == 123
    assert sums["connects"] == sums["subscribes"] == sums["unsubscribes"] == sums["disconnects 1000"] == 1
    assert sum(channel.publications for report in reports for channel in report.busiest) == 123
    assert [report.number for report in reports] == list(range(1, len(reports) + 1))
    assert [report.began for report in reports[1:]] == [report.ended for report in reports[:-1]]
    assert registry.view.members == ()


async def test_without_metrics_there_is_what_costs_nothing(tmp_path: Path) -> None:
    settings = {"WSP_METRICS__ENABLED": "false", "WSP_METRICS__OPEN": "true"}
    async with Cluster(tmp_path, 1, settings) as cluster:
        await cluster.api(cluster.nodes[0], "publish", channel="m", data=1)
        scraper = Scraper(cluster, cluster.nodes[0], "")
        await scraper.scrape()
        assert scraper.now["wsplatform_publications_total"] == {"client": 0, "backend": 1}
        assert "wsplatform_delivery_seconds_count" not in scraper.now
