"""The event stream of the admin API: the state first, then what changes, from the registry that it is about."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.integration.registry.support import Node, link_with, running
from tests.support.no_cluster import NO_CLUSTER
from tests.support.wait import eventually
from wsplatform.app.registry import operators_face
from wsplatform.net.listen import bind
from wsplatform.net.sweep import Sweep
from wsplatform.plugins.base import PluginStatus
from wsplatform.registry.service import Registry
from wsplatform.web.server import WebServer, make_app
from wsplatform.web.upgrade import HeadLimits, protocol_factory

ADMIN = {"X-API-Key": "a" * 40}
NUMBERS = itertools.count()


class Served:
    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.plugins = {"haproxy": PluginStatus(True, "up to date")}
        self.url = ""
        self.http: aiohttp.ClientSession


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr("wsplatform.web.admin.events.TICK_SECONDS", 0.1)
    sweep = Sweep(0.05)
    sweep.start(asyncio.get_running_loop())
    async with running(dead_seconds=60) as registry:
        served = Served(registry)
        app = make_app(
            f"events-{next(NUMBERS)}", operators_face(registry, lambda: served.plugins, NO_CLUSTER), 1_000_000
        )
        with bind("127.0.0.1", 0) as listener:
            server = WebServer(app, listener, protocol_factory({}, sweep, HeadLimits(16_384, 5.0)))
            await server.start()
            served.url = f"http://127.0.0.1:{listener.getsockname()[1]}/admin/v1"
            async with aiohttp.ClientSession() as served.http:
                yield served
            await server.stop()
    sweep.stop()


class Events:
    """What a reader has got, by topic."""

    def __init__(self) -> None:
        self.got: dict[str, list[Any]] = defaultdict(list)

    async def read(self, content: aiohttp.StreamReader) -> None:
        topic = ""
        async for line in content:
            word, _, rest = line.decode().rstrip("\n").partition(": ")
            if word == "event":
                topic = rest
            elif word == "data":
                self.got[topic].append(json.loads(rest))


@asynccontextmanager
async def events(served: Served, query: str = "") -> AsyncIterator[dict[str, list[Any]]]:
    found = Events()
    async with served.http.get(f"{served.url}/events{query}", headers=ADMIN) as response:
        assert response.status == 200
        reading = asyncio.create_task(found.read(response.content))
        yield found.got
        reading.cancel()


async def test_the_state_of_every_topic_comes_first_as_the_lists_have_it(served: Served) -> None:
    a, b = Node("a"), Node("b")
    for node in (a, b):
        await node.register(served.registry)
    await a.beat(served.registry, ready=True, links=(link_with("b"),))
    async with events(served) as got:
        await eventually(lambda: {"nodes", "links", "rules", "keys", "plugins", "metrics"} <= got.keys())
        for topic in ("nodes", "links", "plugins"):
            async with served.http.get(f"{served.url}/{topic}", headers=ADMIN) as response:
                listed = await response.json()
            del listed["next"]
            assert got[topic][0] == listed
        assert got["rules"][0] == got["keys"][0] == {"config": served.registry.configuration.config.version}
        assert got["metrics"][0]["to"] % 10 == 0
        assert "audit" not in got


async def test_then_what_changes(served: Served) -> None:
    configuration, node = served.registry.configuration, Node("a")
    async with events(served) as got:
        await eventually(lambda: got["nodes"] and got["keys"])
        assert got["nodes"][0]["items"] == []
        await node.register(served.registry)
        await eventually(lambda: got["nodes"][-1]["items"])
        assert got["nodes"][-1]["view"] == node.view
        await node.beat(served.registry, ready=True, links=(link_with("b", "connecting"),))
        await eventually(lambda: got["nodes"][-1]["items"][0]["ready"] and got["links"][-1]["items"])
        await node.beat(served.registry, ready=True, links=(link_with("b", "up"),))
        await eventually(lambda: got["links"][-1]["items"][0]["state"] == "up")
        async with served.http.put(f"{served.url}/rules/a", headers=ADMIN, json={}) as response:
            assert response.status == 201
        version = configuration.config.version
        await eventually(lambda: got["rules"][-1] == {"config": version} and got["audit"])
        assert (got["audit"][0]["action"], got["audit"][0]["target"]) == ("rule.set", "a")
        assert len(got["keys"]) == 1
        await configuration.create_key("x", ("api",))
        await eventually(lambda: len(got["keys"]) == 2 and len(got["audit"]) == 2)
        assert len(got["rules"]) == 2
        served.plugins["haproxy"] = PluginStatus(False, "gone")
        await eventually(lambda: got["plugins"][-1]["items"][0]["detail"] == "gone")
        assert len(got["plugins"]) == 2


async def test_only_what_was_asked_for(served: Served) -> None:
    async with events(served, "?topics=rules,audit") as got:
        await eventually(lambda: got["rules"])
        await served.registry.configuration.create_key("x", ("api",))
        await eventually(lambda: got["audit"])
        assert got.keys() == {"rules", "audit"}
    for query in ("topics=", "topics=nodes,", "topics=other", "topics=nodes;links", "topic=nodes"):
        async with served.http.get(f"{served.url}/events?{query}", headers=ADMIN) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (400, "bad_query")


async def test_links_that_change_in_figures_only_are_told_as_often_as_their_size_admits(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsplatform.web.admin.events.LINK_BYTES", 1_000)
    node = Node("a")
    await node.register(served.registry)
    links = [link_with(f"n{number}") for number in range(20)]
    async with events(served, "?topics=nodes,links") as got:
        for round_ in range(10):
            links = [msgspec.structs.replace(link, sent=round_) for link in links]
            await node.beat(served.registry, links=tuple(links))
            await eventually(lambda round_=round_: len(got["nodes"]) > round_)
        assert len(got["links"]) == 2  # none, and all of them
        await node.beat(served.registry, links=(*links[:-1], link_with("n19", "left")))
        await eventually(lambda: len(got["links"]) == 3)
        assert got["links"][-1]["items"][0]["sent"] == 9


async def test_nobody_looks_when_nobody_reads(served: Served) -> None:
    def ticking() -> bool:
        return any(task.get_name() == "admin-events" for task in asyncio.all_tasks())

    async with events(served) as got, events(served, "?topics=nodes") as other:
        await eventually(lambda: got["nodes"] and other["nodes"])
        assert ticking()
    await eventually(lambda: not ticking())
    async with events(served) as got:
        await Node("late").register(served.registry)
        await eventually(lambda: got["nodes"] and got["nodes"][-1]["items"])


async def test_it_is_told_when_new_metrics_are_there(served: Served) -> None:
    async with events(served, "?topics=metrics") as got:
        await eventually(lambda: got["metrics"])
        for listener in served.registry.metrics._listeners:
            listener(1_800_000_000)
        await eventually(lambda: got["metrics"][-1] == {"to": 1_800_000_000})
