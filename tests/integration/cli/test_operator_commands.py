"""What commands make of answers that a healthy cluster does not give, and what exactly they ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, get_args

import pytest
import pytest_asyncio

from tests.support.fake_registry import FakeRegistry
from wsplatform import cli
from wsplatform.cli import options
from wsplatform.core.series import Aggregation
from wsplatform.registry.records import Action

Run = Callable[..., Awaitable[tuple[int, str, str]]]
SESSION = {
    "id": "5e55",
    "user": "ann\x1b[31m",
    "node": "n1",
    "address": "203.0.113.9",
    "connected_at": 1_790_000_000.0,
    "subscriptions": 2,
    "protocol": "centrifuge-json",
    "waiting_bytes": 2048,
}
RULE = {"pattern": "chat:*", "subscribe": "users", "publish": "nobody", "max_bytes": 0}
ENTRY = {
    "id": 7,
    "at": 1_790_000_000.0,
    "actor": {"key": "k1", "name": "Ann"},
    "address": "10.0.0.1",
    "action": "rule.set",
    "target": "chat:*",
    "before": RULE,
    "after": {**RULE, "publish": "users"},
}


@pytest_asyncio.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def run(registry: FakeRegistry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Exit status, output, errors."""
    monkeypatch.setenv("WSP_SERVER", registry.url)
    monkeypatch.setenv("WSP_KEY", "k")
    monkeypatch.setenv("COLUMNS", "80")

    async def run(*arguments: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(status_of, arguments)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def status_of(arguments: Sequence[str]) -> int:
    """Completion exits by itself."""
    try:
        return cli.run(arguments)
    except SystemExit as error:
        return int(error.code or 0)


def page(*items: Any, following: str | None = None, **more: Any) -> dict[str, Any]:
    return {"items": list(items), "next": following, **more}


async def test_channels_are_listed_and_it_is_said_what_is_missing(registry: FakeRegistry, run: Run) -> None:
    item = {"channel": "chat:1", "subscribers": 5, "nodes": {"n2": 2, "n1": 3}}
    registry.answers["channels"] = page(item, following="x", missing=["n3"])
    status, out, errors = await run("channels", "list", "--pattern", "chat:*", "--limit", "1")
    assert (status, out.splitlines()[1].split()) == (0, ["chat:1", "5", "n1:3", "n2:2"])
    assert errors.splitlines() == [
        "only the first 1: --limit N shows more, --limit 0 all",
        "incomplete: no answer in time from n3",
    ]
    assert registry.asked == ["GET channels?pattern=chat:*&limit=1&cursor="]
    _, out, _ = await run("channels", "list", "--limit", "1", "--json")
    assert json.loads(out) == {"items": [item], "more": True, "missing": ["n3"]}


async def test_one_channel_is_shown_with_its_rule(registry: FakeRegistry, run: Run) -> None:
    found = {"channel": "a/b", "subscribers": 5, "nodes": {"n1": 5}, "rule": RULE, "fallback": False, "missing": ["n2"]}
    registry.answers["channels/a/b"] = found
    _, out, errors = await run("channels", "show", "a/b")
    assert "chat:* (subscribe users, publish nobody)" in out
    assert "n2" in errors
    registry.answers["channels/a/b"] = {**found, "rule": None}
    assert "none: it is refused" in (await run("channels", "show", "a/b"))[1]


async def test_sessions_are_filtered_by_user_even_by_none(registry: FakeRegistry, run: Run) -> None:
    registry.answers["sessions"] = page(SESSION, missing=[])
    _, out, errors = await run("sessions", "list", "--user", "", "--node", "n1")
    assert registry.asked == ["GET sessions?node=n1&user=&limit=100&cursor="]
    assert "\x1b" not in out
    assert "2026-09-21 14:13:20Z" in out
    assert errors == ""
    assert "2 KiB" in (await run("sessions", "list", "--slow"))[1]
    assert registry.asked[-1] == "GET sessions?slow=true&limit=100&cursor="


async def test_one_session_is_shown_and_disconnected(registry: FakeRegistry, run: Run) -> None:
    more = {"channels": ["a"], "info": {"name": "Ann"}, "expires_at": None}
    registry.answers["sessions/5e55"] = {**SESSION, **more}
    _, out, _ = await run("sessions", "show", "5e55")
    assert "a and 1 more" in out
    assert "2 KiB" in out
    assert (await run("sessions", "disconnect", "--reconnect", "5e55"))[0] == 0
    assert registry.asked[-1] == "DELETE sessions/5e55?reconnect=true"


async def test_the_audit_log_says_what_is_different(registry: FakeRegistry, run: Run) -> None:
    made = {**ENTRY, "before": None, "action": "key.create", "after": {"name": "shop"}}
    registry.answers["audit"] = page(ENTRY, made)
    _, out, _ = await run("audit", "--action", "rule.set", "--from", "1790000000")
    assert registry.asked == ["GET audit?action=rule.set&from=1790000000.0&limit=100&cursor="]
    head, *rows = out.splitlines()
    assert head.split() == ["WHEN", "WHO", "FROM", "ACTION", "TARGET", "CHANGE"]
    assert rows[0].endswith("publish: nobody → users")
    assert rows[1].endswith("name=shop")


def metric(*series: Any) -> dict[str, Any]:
    words = {"metric": "publications", "kind": "counter", "unit": "", "aggregation": "rate"}
    return {
        **words,
        "from": 1_790_000_000.0,
        "to": 1_790_000_030.0,
        "step": 10.0,
        "series": list(series),
        "left_out": 0,
    }


async def test_a_metric_is_drawn(registry: FakeRegistry, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.answers["metrics"] = metric({"node": "", "label": "", "values": [0, None, 500.0]})
    _, out, _ = await run("metrics", "publications", "--from", "1790000000", "--to", "1790000030", "--step", "10s")
    assert "step=10.0" in registry.asked[0]
    assert out.splitlines()[0] == "publications, rate, 2026-09-21 14:13:20Z to 2026-09-21 14:13:50Z"
    assert out.splitlines()[1].startswith("500/s │")
    assert "min 0/s, mean 250/s, max 500/s" in out
    monkeypatch.setenv("TERM", "dumb")
    assert (await run("metrics", "publications"))[1].isascii()
    registry.answers["metrics"] = metric(*({"node": n, "label": "", "values": [1, 2]} for n in ("n1", "n2")))
    assert len((await run("metrics", "publications", "--by", "node"))[1].splitlines()) == 4
    assert "most=20" in registry.asked[-1]
    registry.answers["metrics"] |= {"left_out": 2980}
    assert "and 2980 smaller ones" in (await run("metrics", "publications", "--by", "node", "--most", "2"))[1]
    assert "most=2" in registry.asked[-1]
    registry.answers["metrics"] = metric()
    assert "nothing was reported" in (await run("metrics", "publications"))[1]


def test_words_that_are_offered_are_those_that_the_api_knows() -> None:
    assert set(options.ACTIONS) == set(get_args(Action))
    assert {"", *options.AGGREGATIONS} == set(get_args(Aggregation))


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (["audit", "--from", "1h", "--to", "2h"], "is not before --to"),
        (["metrics", "sessions", "--from", "0", "--to", "0"], "is not before --to"),
        (["audit", "--action", "nope"], "'rule.set'"),
        (["metrics", "sessions", "--aggregation", "p98"], "'p99'"),
        (["rules", "set", "a", "subscribe=all"], "subscribe is one of anyone, users, token, nobody, not all."),
    ],
)
async def test_what_cannot_be_asked_is_told_before_anybody_is_asked(
    registry: FakeRegistry, run: Run, command: list[str], what: str
) -> None:
    status, out, errors = await run(*command)
    assert (status, out, registry.asked) == (2, "", [])
    assert what in errors


async def test_figures_have_the_unit_that_they_are_of(registry: FakeRegistry, run: Run) -> None:
    series = {"node": "", "label": "", "values": [0.25]}
    registry.answers["metrics"] = {**metric(series), "unit": "seconds"}
    assert "max 25%" in (await run("metrics", "cpu"))[1]
    registry.answers["metrics"] = {**metric(series), "unit": "seconds", "kind": "histogram"}
    assert "max 0.25/s" in (await run("metrics", "delivery", "--aggregation", "rate"))[1]
    registry.answers["metrics"] = {**metric(series), "unit": "seconds", "kind": "histogram", "aggregation": "p99"}
    assert "max 250 ms" in (await run("metrics", "delivery"))[1]


async def test_series_are_named_even_when_there_is_one_only(registry: FakeRegistry, run: Run) -> None:
    registry.answers["metrics"] = metric({"node": "", "label": "invalid_token", "values": [1, 2]})
    assert (await run("metrics", "errors", "--by", "label"))[1].splitlines()[1].startswith("invalid_token ")
    registry.answers["metrics"] = metric({"node": "", "label": "3008", "values": [1, 2]})
    assert (await run("metrics", "disconnects", "--by", "label"))[1].splitlines()[1].startswith("3008 slow ")


async def test_what_was_dropped_for_nodes_that_are_no_more_is_told(registry: FakeRegistry, run: Run) -> None:
    link = {"node": "n1", "peer": "n2", "state": "up", "transport": "websocket", "rtt": 0.001, "canary": None}
    link |= {"canary_late": 0, "queued": 0, "unacknowledged": 0, "sent": 1, "received": 1, "replayed": 0, "gaps": 0}
    registry.answers["links"] = page({**link, "dropped": {"expired": 5}})
    registry.answers["nodes"] = page(*({"id": name, "status": {"dropped": 117}} for name in ("n1", "n2")))
    _, _, errors = await run("links")
    assert errors.splitlines() == [
        "n1 dropped 112 more, for runs of nodes that are no more",
        "n2 dropped 117 more, for runs of nodes that are no more",
    ]


async def test_names_are_completed(registry: FakeRegistry, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.answers["nodes"] = page({"id": "berlin-1"}, {"id": "paris-1"}, view=1)
    monkeypatch.setenv("_WSPLATFORM_COMPLETE", "bash_complete")

    async def offered(words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", f"wsplatform {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
        _, out, _ = await run()
        return [line.partition(",")[2] for line in out.splitlines() if line]

    assert await offered("metrics pub") == ["publications"]
    assert await offered("nodes drain ber") == ["berlin-1"]
    assert await offered("links --node p") == ["paris-1"]
    registry.answers["channels"] = page({"channel": "news"}, {"channel": "old news"}, missing=[])
    assert await offered("channels show n") == ["news"]
    assert registry.asked[-1] == "GET channels?contains=n&limit=1000&cursor="
    assert await offered("sessions list --channel ne") == ["news"]
    assert await offered("audit --action key") == ["key.create", "key.revoke"]
    assert await offered("metrics delivery --aggregation p9") == ["p90", "p95", "p99", "p999"]
    registry.answers["nodes"] = 503
    assert await offered("nodes drain ber") == []
