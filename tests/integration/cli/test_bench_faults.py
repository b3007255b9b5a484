"""`wsplatform bench` against a server that does wrong what it is told to: it counts exactly that."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from tests.support.faulty import Faulty
from wsplatform.cli import bench_client, bench_crowd, bench_run
from wsplatform.cli.bench_book import Plan
from wsplatform.cli.bench_report import Report, for_people
from wsplatform.cli.bench_run import Bench
from wsplatform.cli.progress import Display
from wsplatform.errors import PlatformError

PLAN = Plan(
    run="abcdef",
    servers=(),
    channels=("bench",),
    clients=3,
    rate=40,
    seconds=0.5,
    size=100,
    through="api",
    key="k",
    token="",
    token_secret="",
    connect_rate=0,
)
both = pytest.mark.parametrize("through", ["api", "client"])


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_run, "QUIET_SECONDS", 0.5)
    monkeypatch.setattr(bench_run, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(bench_crowd, "SHORTEST_WAIT", 0.05)
    monkeypatch.setattr(bench_client, "JOIN_SECONDS", 2.0)


async def bench(server: Faulty, **changes: Any) -> Report:
    plan = dataclasses.replace(PLAN, **{"servers": (server.url,), **changes})
    return await Bench(plan, Display(quiet=True)).run()


@both
async def test_nothing_wrong(through: str) -> None:
    async with Faulty() as server:
        report = await bench(server, through=through)
    assert report.ok
    assert (report.publications.due, report.publications.accepted) == (20, 20)
    assert (report.deliveries.expected, report.deliveries.arrived) == (60, 60)
    assert next(for_people(report)).startswith("connections   3 of 3")


@both
async def test_each_fault_is_counted_as_often_as_it_was_made(through: str) -> None:
    faults = {3: "drop", 5: "twice", 7: "swap", 11: "refuse", 15: "noise", 20: "drop"}
    async with Faulty(faults) as server:
        report = await bench(server, through=through)
        assert server.accepted == 19
    publications, deliveries = report.publications, report.deliveries
    assert (publications.due, publications.accepted, publications.refused) == (20, 19, {"too_many_requests": 1})
    assert (deliveries.expected, deliveries.arrived) == (57, 51)
    assert (deliveries.lost, deliveries.lost_while_away) == (6, 0)
    assert (deliveries.duplicated, deliveries.out_of_order, deliveries.unexpected) == (3, 3, 0)
    assert not report.ok
    lines = "\n".join(for_people(report))
    assert "19 of 20" in lines
    assert "refused: too_many_requests × 1" in lines
    assert "6 lost, 3 doubled, 3 out of order" in lines


@both
async def test_what_nobody_has_answered_for_is_not_expected_and_not_lost(through: str) -> None:
    async with Faulty({13: "vanish"}) as server:
        report = await bench(server, through=through)
    publications, deliveries = report.publications, report.deliveries
    ((cause, count),) = publications.unanswered.items()
    assert cause == {"api": "unreachable", "client": "no_answer"}[through]
    assert count == 1 or through == "api"  # several in one request, when this machine is busy
    assert (publications.accepted, deliveries.expected, deliveries.unexpected) == (
        20 - count,
        60 - 3 * count,
        3 * count,
    )
    assert report.ok


async def test_what_is_missed_between_two_connections_is_counted_to_the_last_one() -> None:
    async with Faulty({4: "hang_up", 8: "unsubscribe", 19: "drop"}) as server:
        report = await bench(server)
        missed = 3 * server.accepted - server.delivered
    deliveries = report.deliveries
    assert missed >= 5
    assert (deliveries.expected, deliveries.lost) == (60, missed)
    assert missed - 3 <= deliveries.lost_while_away <= missed
    assert report.connections.disconnects == {"3000": 1}
    assert report.connections.unsubscribes == {"2500": 1}
    assert (report.connections.reconnects, report.connections.reconnect_failures) == (1, {})
    assert f"{missed} lost ({deliveries.lost_while_away} of them while away)" in "\n".join(for_people(report))


async def test_who_is_told_not_to_come_back_stays_away() -> None:
    async with Faulty({4: "hang_up"}, close_code=3503) as server:
        report = await bench(server)
    assert report.connections.disconnects == {"3503": 1}
    assert report.connections.reconnects == 0
    assert (report.deliveries.lost, report.deliveries.lost_while_away) == (17, 17)


async def test_a_server_that_falls_silent_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_client, "PING_GRACE", 0.1)
    async with Faulty(ping=0.1) as server:
        report = await bench(server, clients=1, seconds=3.0, rate=2)
    assert report.connections.disconnects["1006"] >= 1
    assert report.connections.reconnects >= 1


async def test_pings_are_answered() -> None:
    async with Faulty() as server:
        running = asyncio.create_task(bench(server))
        while not server.connects:
            await asyncio.sleep(0.01)
        while server.pongs < 3 and not running.done():
            await server.say("{}")
            await asyncio.sleep(0.05)
        report = await running
        assert server.pongs >= 3
    assert report.ok


async def test_clients_are_spread_over_channels_and_the_token_is_sent() -> None:
    async with Faulty() as server:
        await bench(server, clients=4, channels=("a", "b"), token="jwt", rate=0, seconds=0.1)
        assert [connect["token"] for connect in server.connects] == ["jwt"] * 4


@pytest.mark.parametrize("text", ["nonsense", "[1]", '{"push": 1}', '{"id": "x"}', '{"id": -1}', "[" * 100_000, ""])
async def test_a_server_that_speaks_something_else_is_named(text: str) -> None:
    async with Faulty(greeting=text) as server:
        with pytest.raises(PlatformError) as caught:
            await bench(server)
    assert caught.value.code == "malformed_reply"


async def test_no_websocket_at_all() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        plan = dataclasses.replace(PLAN, servers=(f"http://127.0.0.1:{port}",))
        with pytest.raises(PlatformError) as caught:
            await Bench(plan, Display(quiet=True)).run()
    assert caught.value.code in ("not_websocket", "reset")
