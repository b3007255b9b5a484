"""The settings of workers, made from those of the supervisor."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wsplatform.errors import SettingsError
from wsplatform.settings import ClusterTable, NodeTable, RegistryTable, Settings
from wsplatform.settings_load import check as check_settings
from wsplatform.supervisor.settings import check, registry, worker


def settings(*, cluster: dict[str, Any] | None = None, **node: Any) -> Settings:
    table = NodeTable(**{"id": "host", "host": "0.0.0.0", "workers": 4, "url": "http://lb:80", **node})
    return Settings(
        environment="test",
        node=table,
        cluster=ClusterTable(secrets=("s" * 32,), **(cluster or {})),
        registry=RegistryTable(url="http://registry:8000", port=8100),
    )


def test_workers_differ_in_their_ids_and_the_addresses_of_their_node_faces_only() -> None:
    given = settings(cluster={"host": "10.0.0.1", "port": 7000, "url": "ws://a.example:9000"})
    made = [worker(given, number) for number in (1, 4)]
    assert [each.node.id for each in made] == ["host-1", "host-4"]
    assert [each.cluster.port for each in made] == [7000, 7003]
    assert [each.cluster.url for each in made] == ["ws://a.example:9000", "ws://a.example:9003"]
    for each in made:
        check_settings(each)
        assert each.node.workers == 1
        same = msgspec.structs.replace(
            each,
            node=msgspec.structs.replace(each.node, id=given.node.id, workers=4),
            cluster=msgspec.structs.replace(each.cluster, port=7000, url=given.cluster.url),
        )
        assert same == given


def test_without_a_port_of_its_own_the_node_face_has_a_free_one_where_clients_are_listened_for() -> None:
    made = worker(settings(cluster={"host": "10.0.0.1"}), 2)
    assert (made.cluster.host, made.cluster.port, made.cluster.url) == ("0.0.0.0", 0, "")


@pytest.mark.parametrize(
    ("url", "third"),
    [
        ("ws://a.example", "ws://a.example:82"),
        ("wss://a.example/mesh", "wss://a.example:445/mesh"),
        ("ws://[2001:db8::1]:7000", "ws://[2001:db8::1]:7002"),
        ("ws://10.0.0.1:7000/", "ws://10.0.0.1:7002/"),
    ],
)
def test_the_address_for_others_moves_with_the_port(url: str, third: str) -> None:
    assert worker(settings(cluster={"port": 7000, "url": url}), 3).cluster.url == third


def test_the_registry_beside_workers_has_one_listener_and_is_no_server_of_the_balancer() -> None:
    made = registry(settings(cluster={"port": 7000, "url": "ws://a.example:7000"}))
    assert (made.node.id, made.node.url, made.node.workers) == ("host-registry", "", 1)
    assert (made.cluster.port, made.cluster.url) == (0, "")
    check_settings(made)
    check_settings(registry(settings(id="x" * 62)))


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (settings(id="x" * 63), "node.id"),
        (settings(id="x" * 61, workers=100), "node.id"),
        (settings(cluster={"port": 65533}), "cluster.port"),
        (settings(cluster={"url": "ws://here:1"}), "cluster.port"),
        (settings(cluster={"port": 1, "url": "ws://here:65533"}), "cluster.url"),
    ],
)
def test_what_leaves_no_room_for_all_workers_is_refused(given: Settings, key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check(given)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "given",
    [settings(id="x" * 62), settings(cluster={"port": 65532}), settings(cluster={"port": 1, "url": "ws://here:65532"})],
)
def test_what_leaves_just_enough_is_good(given: Settings) -> None:
    check(given)
    check_settings(worker(given, given.node.workers))
