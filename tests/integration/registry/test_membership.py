"""Views: who is in them, that their number only grows, that they outlive the registry and trouble with its database."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time

import pytest

from tests.integration.registry.support import DEAD_SECONDS, Node, ids, member, running, settings
from tests.support.wait import eventually
from wsplatform.errors import RegistryUnavailable, RequestError
from wsplatform.model import REGISTRY_ID, Instance, Member, View
from wsplatform.registry.service import Registry


async def beat_for(registry: Registry, node: Node, seconds: float) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        await node.beat(registry)
        await asyncio.sleep(0.05)


class TestViews:
    async def test_joining_and_leaving_make_new_views(self):
        async with running() as registry:
            a, b = Node("a"), Node("b")
            first = (await a.register(registry)).view
            second = (await b.register(registry)).view
            assert [one.node_id for one in first.members] == ["a"]
            assert [one.node_id for one in second.members] == ["a", "b"]
            assert second.number > first.number
            reply = await a.beat(registry)
            assert reply.view == second
            assert (await a.beat(registry)).view is None
            await registry.leave(b.instance)
            assert ids(registry) == ["a"]
            assert registry.view.number > second.number

    async def test_nodes_that_have_a_new_id_at_each_start_leave_nothing_behind(self, file):
        now = time.time()
        registry = Registry(settings(file), clock=lambda: now)
        await registry.start()
        for number in range(20):
            node = Node(f"n{number}")
            await node.register(registry)
            await registry.leave(node.instance)
            now += 3 * 3600
        await Node("last").register(registry)
        await registry.close()
        with contextlib.closing(sqlite3.connect(file)) as database:
            kept = {name for (name,) in database.execute("SELECT node_id FROM nodes")}
        assert kept == {"last", *(f"n{number}" for number in range(12, 20))}  # those of the last day

    async def test_the_same_again_changes_nothing(self):
        async with running() as registry:
            first = (await Node("a").register(registry)).view
            assert (await Node("a").register(registry)).view == first
            await registry.leave(Instance("a", "1"))
            left = registry.view
            await registry.leave(Instance("a", "1"))
            await registry.leave(Instance("nobody", "1"))
            assert registry.view == left

    async def test_an_unknown_instance_is_asked_to_register(self):
        async with running() as registry:
            with pytest.raises(RequestError) as caught:
                await Node("a").beat(registry)
            assert (caught.value.status, caught.value.code) == (404, "not_registered")

    async def test_a_newer_instance_supersedes_the_older_for_good(self, file):
        old, new = Node("a", "old"), Node("a", "new")
        async with running(file) as registry:
            await old.register(registry)
            await new.register(registry)
            assert [one.incarnation for one in registry.view.members] == ["new"]
        async with running(file) as registry:
            for call in (old.beat, old.register):
                with pytest.raises(RequestError) as caught:
                    await call(registry)
                assert (caught.value.status, caught.value.code) == (409, "superseded")
            await registry.leave(old.instance)
            await new.beat(registry)
            assert [one.incarnation for one in registry.view.members] == ["new"]

    async def test_what_could_hurt_others_is_refused(self):
        async with running() as registry:
            with pytest.raises(RequestError, match="invalid_member"):
                await registry.register(member("a b"))
            assert ids(registry) == []

    async def test_many_at_once(self, file):
        async with running(file) as registry:
            nodes = [Node(f"n{number:03}") for number in range(200)]
            await asyncio.gather(*(node.register(registry) for node in nodes))
            assert ids(registry) == [node.instance.node_id for node in nodes]
            assert registry.view.number < 200
            await asyncio.gather(*(registry.leave(node.instance) for node in nodes))
            assert ids(registry) == []

    async def test_two_registries_in_one_process_know_nothing_of_each_other(self):
        async with running() as one, running() as other:
            await Node("a").register(one)
            await Node("b").register(other)
            assert (ids(one), ids(other)) == (["a"], ["b"])

    async def test_two_registries_on_one_database_never_issue_one_number_twice(self, file):
        async with running(file) as one, running(file) as other:
            turns = [(f"n{turn}", registry) for turn in range(10) for registry in (one, other)]
            numbers = [(await Node(name).register(registry)).view.number for name, registry in turns]
            assert numbers == sorted(set(numbers))


class TestReadiness:
    async def test_is_fresh_in_the_view_whose_number_stays(self):
        async with running() as registry:
            heard: list[View] = []
            registry.subscribe(heard.append)
            a = Node("a")
            number = (await a.register(registry)).view.number
            assert (await a.beat(registry, ready=True)).view is None
            await eventually(lambda: heard[-1].members and heard[-1].members[0].ready)
            await a.beat(registry, ready=True)
            await a.beat(registry, ready=False, draining=True)
            await eventually(lambda: heard[-1].members[0].draining)
            assert registry.view == heard[-1]
            assert [(view.number, *((one.ready, one.draining) for one in view.members)) for view in heard] == [
                (0,),
                (number, (False, False)),
                (number, (True, False)),
                (number, (False, True)),
            ]

    async def test_outlives_the_registry(self, file):
        async with running(file) as registry:
            a = Node("a")
            await a.register(registry)
            await a.beat(registry, ready=True)
        heard: list[View] = []
        again = Registry(settings(file))
        again.subscribe(heard.append)
        await again.start()
        await eventually(lambda: heard)
        assert [one.ready for one in heard[0].members] == [True]
        await again.close()

    async def test_a_listener_that_fails_hurts_nobody(self):
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))
        async with running() as registry:
            heard: list[View] = []
            registry.subscribe(lambda view: view.without(5)[view.number])
            registry.subscribe(heard.append)
            await Node("a").register(registry)
            await eventually(lambda: heard and heard[-1].number)
        assert complaints


def lost(registry: Registry) -> object:
    return next(sample.value for sample in registry.measure() if sample.metric == "nodes_lost")


class TestSilence:
    async def test_a_silent_node_leaves_the_view_and_one_that_reports_stays(self):
        async with running() as registry:
            a, b = Node("a"), Node("b")
            await a.register(registry)
            await b.register(registry)
            number = registry.view.number
            started = time.monotonic()
            await beat_for(registry, a, DEAD_SECONDS * 0.8)
            assert ids(registry) == ["a", "b"]
            await beat_for(registry, a, DEAD_SECONDS * 0.7)
            assert ids(registry) == ["a"]
            assert registry.view.number > number
            assert time.monotonic() - started < 3 * DEAD_SECONDS
            with pytest.raises(RequestError, match="not_registered"):
                await b.beat(registry)
            await b.register(registry)
            assert ids(registry) == ["a", "b"]

    async def test_who_was_lost_is_counted_and_who_left_is_not(self):
        async with running() as registry:
            a, b = Node("a"), Node("b")
            await a.register(registry)
            await b.register(registry)
            await registry.leave(b.instance)
            assert ids(registry) == ["a"]
            assert lost(registry) == 0
            await eventually(lambda: ids(registry) == [], within=3)
            assert lost(registry) == 1

    async def test_the_registrys_own_pause_is_not_the_nodes_silence(self):
        async with running() as registry:
            a = Node("a")
            await a.register(registry)
            time.sleep(2 * DEAD_SECONDS)
            await asyncio.sleep(DEAD_SECONDS / 2)
            assert ids(registry) == ["a"]
            await eventually(lambda: ids(registry) == [], within=3)

    async def test_after_its_start_everybody_gets_the_full_time(self, file):
        async with running(file) as registry:
            await Node("a").register(registry)
            number = registry.view.number
        await asyncio.sleep(DEAD_SECONDS)
        async with running(file) as registry:
            assert (registry.view.number, ids(registry)) == (number, ["a"])
            await asyncio.sleep(DEAD_SECONDS / 2)
            assert ids(registry) == ["a"]
            await eventually(lambda: ids(registry) == [], within=3)
            assert registry.view.number > number


class TestTrouble:
    async def test_heartbeats_need_no_database_and_changes_wait_for_it(self, file, impatient):
        async with running(file) as registry:
            a, b = Node("a"), Node("b")
            await a.register(registry)
            await b.register(registry)
            before = registry.view
            with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                registering = asyncio.ensure_future(Node("c").register(registry))
                await beat_for(registry, a, 2 * DEAD_SECONDS)
                assert registry.view == before
                with pytest.raises(RegistryUnavailable, match="holds its lock"):
                    await registering
                other.execute("ROLLBACK")
            await asyncio.gather(beat_for(registry, a, 1.0), eventually(lambda: ids(registry) == ["a"], within=10))
            await Node("c").register(registry)
            assert ids(registry) == ["a", "c"]
            assert registry.view.number > before.number

    async def test_before_its_start_and_after_its_end_it_is_unavailable(self):
        registry = Registry(settings())
        with pytest.raises(RegistryUnavailable):
            await Node("a").register(registry)
        await registry.start()
        await registry.close()
        await registry.close()
        with pytest.raises(RegistryUnavailable):
            await Node("a").beat(registry)

    async def test_a_lost_database_does_not_make_numbers_go_back(self):
        """A node that has seen view 57 and configuration 12 is told of later ones only."""
        async with running() as registry:
            a = Node("a")
            a.view, a.config = 57, 12
            with pytest.raises(RequestError, match="not_registered"):
                await a.beat(registry)
            registration = await a.register(registry)
            assert registration.view.number > 57
            await eventually(lambda: registry.configuration.config.version > 12)
            assert (await a.beat(registry)).config is None or a.config > 12

    async def test_a_backup_of_the_database_does_not_either(self):
        async with running() as registry:
            a = Node("a")
            await a.register(registry)
            await a.beat(registry)
            a.view, a.config = 1000, 1000
            reply = await a.beat(registry)
            assert (reply.view, reply.config) == (None, None)
            await eventually(lambda: registry.view.number > 1000 and registry.configuration.config.version > 1000)
            reply = await a.beat(registry)
            assert reply.view == registry.view
            assert reply.config == registry.configuration.config

    async def test_a_number_that_no_registry_issues_is_ignored(self):
        async with running() as registry:
            a = Node("a")
            await a.register(registry)
            a.view = a.config = 2**60
            await a.beat(registry)
            await Node("b").register(registry)
            assert registry.view.number < 100


class TestRecords:
    async def test_say_what_each_node_last_said(self):
        async with running() as registry:
            a = Node("a")
            before = time.time()
            await a.register(registry)
            (record,) = await registry.nodes()
            assert record.status is None
            await a.beat(registry, ready=True)
            await a.beat(registry, ready=True)
            (record,) = await registry.nodes()
            assert record.member == registry.view.members[0]
            assert record.status is not None
            assert record.status.sessions == 3
            assert (record.view, record.config) == (a.view, a.config)
            assert before <= record.registered_at <= record.last_seen <= time.time()


async def test_a_registry_is_a_member_in_no_list_of_nodes_and_its_next_run_takes_its_place(file) -> None:
    def own(incarnation: str) -> Member:
        return Member(node_id=REGISTRY_ID, incarnation=incarnation, cluster_url="", client_url="", role="registry")

    node = Node("a")
    async with running(file) as registry:
        await registry.register(own("1"))
        await node.register(registry)
        assert [record.member.node_id for record in await registry.nodes()] == ["a"]
        assert [(member.node_id, member.role) for member in registry.view.members] == [
            ("a", "node"),
            (REGISTRY_ID, "registry"),
        ]
    async with running(file) as registry:  # which was killed, as far as it knows
        assert [member.role for member in registry.view.members] == ["node", "registry"]
        await registry.register(own("2"))
        assert [member.incarnation for member in registry.view.members] == ["1", "2"]
        assert [member.node_id for member in registry.view.nodes] == ["a"]
