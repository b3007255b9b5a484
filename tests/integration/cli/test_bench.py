"""`wsplatform bench` against real clusters."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.cli import clean_environment, program
from tests.support.processes import Cluster
from tests.support.wait import eventually
from wsplatform import cli

KEYS = {
    "": {"run", "ok", "interrupted", "asked", "connections", "publications", "deliveries", "latency_ms", "generator"},
    "asked": {"servers", "channels", "clients", "rate", "seconds", "size", "publish_through"},
    "connections": {
        "wanted",
        "made",
        "failed",
        "seconds",
        "disconnects",
        "reconnects",
        "reconnect_failures",
        "unsubscribes",
    },
    "publications": {"due", "accepted", "refused", "unanswered", "unsent", "per_second"},
    "deliveries": {
        "expected",
        "arrived",
        "lost",
        "lost_while_away",
        "duplicated",
        "out_of_order",
        "unexpected",
        "per_second",
    },
    "latency_ms": {"p50", "p90", "p99", "p99_9", "max"},
    "generator": {"cpu_percent", "wait_percent", "lag_p99_ms", "lag_max_ms", "bottleneck"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Two nodes, for tests that leave them as they were."""
    folder = tmp_path_factory.mktemp("cluster")
    async with Cluster(folder, nodes=2, settings={"WSP_CLIENT__ALLOW_ANONYMOUS": "false"}) as cluster:
        yield cluster


on_shared = pytest.mark.asyncio(loop_scope="module")


def servers(cluster: Cluster) -> str:
    return ",".join(node.url for node in cluster.nodes)


async def start(cluster: Cluster, *arguments: str, descriptors: int = 0, stderr: int = PIPE) -> Process:
    """`wsplatform bench` on all nodes; `descriptors`: its soft limit at the start."""

    def limit() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))

    env = {"WSP_KEY": cluster.api_key, "WSP_TOKEN_SECRET": cluster.token_secret, "TERM": "xterm"}
    return await asyncio.create_subprocess_exec(
        *program("bench", "--server", servers(cluster), *arguments),
        env=clean_environment(env),
        stdout=PIPE,
        stderr=stderr,
        preexec_fn=limit if descriptors else None,
    )


async def end(process: Process) -> tuple[int, str, str]:
    """Exit status and what it printed."""
    out, errors = await asyncio.wait_for(process.communicate(), 50)
    assert process.returncode is not None
    return process.returncode, out.decode(), (errors or b"").decode()


def checked(text: str) -> dict[str, Any]:
    """A report whose members are those promised, and whose sums are right."""
    report: dict[str, Any] = json.loads(text)
    for name, keys in KEYS.items():
        assert set(report[name] if name else report) == keys
    connections, publications, deliveries = report["connections"], report["publications"], report["deliveries"]
    assert connections["wanted"] == connections["made"] + sum(connections["failed"].values())
    causes = [sum(publications[name].values()) for name in ("refused", "unanswered", "unsent")]
    assert publications["due"] == publications["accepted"] + sum(causes)
    assert deliveries["expected"] == deliveries["arrived"] + deliveries["lost"]
    assert report["ok"] is not any(deliveries[name] for name in ("lost", "duplicated", "out_of_order"))
    return report


@on_shared
@pytest.mark.parametrize("through", ["api", "client"])
async def test_three_hundred_clients_on_two_nodes_lose_nothing(shared: Cluster, through: str) -> None:
    arguments = ["--clients", "300", "--channels", "3", "--rate", "60", "--seconds", "2", "--json"]
    process = await start(shared, *arguments, "--publish-through", through, descriptors=64)
    status, out, errors = await end(process)
    report = checked(out)
    assert (status, errors, report["ok"]) == (0, "", True), report
    assert report["connections"]["made"] == 300
    assert report["publications"]["accepted"] == 120
    deliveries = report["deliveries"]
    assert (deliveries["expected"], deliveries["arrived"], deliveries["lost"]) == (12_000, 12_000, 0)
    assert (deliveries["duplicated"], deliveries["out_of_order"]) == (0, 0)
    latency = report["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]
    assert report["generator"]["cpu_percent"] > 0


@on_shared
async def test_for_people_on_a_terminal_beside_other_traffic(shared: Cluster) -> None:
    terminal, its_end = os.openpty()
    arguments = ["mixed", "--clients", "4", "--rate", "20", "--seconds", "1.5"]
    process = await start(shared, *arguments, stderr=its_end)
    os.close(its_end)

    async def has_begun() -> bool:
        for data in ({"a": 1}, ["000000000000", 0, 1, 2]):
            await shared.api(shared.nodes[0], "publish", channel="mixed", data=data)
        return process.returncode is not None

    await eventually(has_begun, within=40)
    status, out, _ = await end(process)
    assert status == 0
    assert "connections   4 of 4" in out
    assert "publications  30 of 30" in out
    assert "deliveries    120 of 120" in out
    assert "0 lost, 0 doubled, 0 out of order" in out
    assert "latency       p50 " in out
    drawn = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert "\r\x1b[K1 of 2 s: " in drawn
    assert drawn.partition("warning: ")[0].endswith("\r\x1b[K")


@on_shared
async def test_interrupted_it_reports_what_there_was(shared: Cluster) -> None:
    process = await start(shared, "--clients", "10", "--rate", "100", "--seconds", "300")
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readuntil(b"deliveries"), 30)
    assert b" of 300 s: " in line
    process.send_signal(signal.SIGINT)
    status, out, _ = await end(process)
    assert status == 0
    assert "10 of 10" in out
    assert "0 lost" in out


@on_shared
async def test_interrupted_while_it_connects(shared: Cluster) -> None:
    arguments = ["--clients", "5000", "--connect-rate", "5", "--rate", "1", "--json", "--publish-through", "client"]
    process = await start(shared, *arguments)

    async def connected() -> bool:
        info = await shared.api(shared.nodes[0], "info")
        return sum(node["num_clients"] for node in info["result"]["nodes"]) > 3

    await eventually(connected, within=30)
    process.send_signal(signal.SIGTERM)
    status, out, _ = await end(process)
    report = json.loads(out)
    assert (status, report["interrupted"], report["publications"]["due"]) == (0, True, 0)
    assert 3 < report["connections"]["made"] < 5000


async def test_a_node_killed_meanwhile(tmp_path: Path) -> None:
    async with Cluster(tmp_path, nodes=2) as cluster:
        process = await start(cluster, "--clients", "100", "--rate", "40", "--seconds", "6", "--json")
        first, second = cluster.nodes

        async def published() -> bool:
            body = await cluster.api(first, "channels")
            return body["result"]["channels"].get("bench", {}).get("num_clients", 0) == 100

        await eventually(published, within=30)
        await asyncio.to_thread(second.kill)
        status, out, _ = await end(process)
    report = checked(out)
    assert (status, report["ok"]) == (1, False)
    connections, deliveries = report["connections"], report["deliveries"]
    assert connections["disconnects"] == {"1006": 50}
    assert connections["reconnects"] == 50
    assert sum(report["publications"]["unanswered"].values()) > 0
    assert deliveries["expected"] == 100 * report["publications"]["accepted"]
    # Each is away for a quarter of a second at least, while the other node takes 20 publications a second.
    assert deliveries["lost_while_away"] >= 50 * 4
    assert (deliveries["duplicated"], deliveries["out_of_order"]) == (0, 0)


@on_shared
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--key", "wrong"], "unauthorized"),
        (["--key", ""], "no_key"),
        (["--token-secret", "x" * 32], "disconnected_3500"),
        (["--token-secret", "", "--token", "x"], "disconnected_3500"),
        (["--token-secret", ""], "unauthorized"),
        (["--clients", "2", "--channels", "500"], "limit_exceeded"),
        (["$private", "--publish-through", "client"], "permission_denied"),
        (["--size", "1000000", "--publish-through", "client"], "disconnected_1009"),
        (["--server", "REGISTRY"], "wrong_server"),
        (["--server", "http://127.0.0.1:1"], "unreachable"),
        (["--server", "http://127.0.0.1:1", "--rate", "0"], "unreachable"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
async def test_what_cannot_work_is_one_line_before_it_begins(shared: Cluster, arguments: list[str], code: str) -> None:
    arguments = [text.replace("REGISTRY", shared.registry.url) for text in arguments]
    process = await start(shared, *arguments, "--json")
    status, out, errors = await end(process)
    assert (status, out) == (1, "")
    (line,) = errors.splitlines()
    assert json.loads(line)["error"]["code"] == code


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """In this process, what connects to nothing. Exit status and the one line that it says."""
    status = cli.run(["bench", *arguments])
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return status, line


def test_too_few_descriptors_are_said_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    status, line = run(capsys, "--clients", str(hard), "--key", "k")
    assert status == 1
    assert line.endswith("[too_few_descriptors]")
    assert f"ulimit -Hn {hard + 64}" in line
    assert f"--clients {hard - 64}" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--clients", "0"],
        ["--channels", "0"],
        ["--rate", "-1"],
        ["--seconds", "0"],
        ["--size", "10"],
        ["--publish-through", "magic"],
        ["--server", "ftp://host"],
        ["--server", ","],
        ["--token", "a", "--token-secret", "s" * 32],
        ["--token-secret", "short"],
        ["--key", "a\nb"],
        ["a*"],
    ],
    ids=" ".join,
)
def test_what_is_not_understood_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    status, line = run(capsys, *arguments)
    assert status == 2
    assert line.endswith(" [usage]")


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "--help"]) == 0
    assert "wsplatform bench --clients" in capsys.readouterr().out.split("Examples:")[1]
