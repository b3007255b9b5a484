"""The plugin that keeps HAProxy current: what it writes, when it reloads, and what it does when something fails."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from loguru import logger

from tests.support.haproxy import Backend, Balancer, self_signed
from tests.support.processes import free_port
from tests.support.wait import eventually
from wsplatform.core.haproxy_config import MARK, render
from wsplatform.core.haproxy_runtime import Running
from wsplatform.errors import SettingsError, StartError
from wsplatform.model import Member, View
from wsplatform.net.tasks import Tasks
from wsplatform.plugins.base import PluginHost
from wsplatform.plugins.haproxy import HAProxyPlugin, create
from wsplatform.plugins.haproxy_control import Master
from wsplatform.settings import ClientTable, HAProxyTable, Settings


def member(name: str, port: int = 8000) -> Member:
    return Member(node_id=name, incarnation="a1", cluster_url="", client_url=f"http://127.0.0.1:{port}", ready=True)


def view(number: int, *names: str) -> View:
    return View(number, tuple(member(name) for name in names))


@pytest.fixture
def table(tmp_path: Path) -> HAProxyTable:
    """For a HAProxy that does not run."""
    return HAProxyTable(
        enabled=True,
        bind=f"127.0.0.1:{free_port()}",
        config_file=str(tmp_path / "haproxy.cfg"),
        master_socket=str(tmp_path / "master.sock"),
        stats_socket=str(tmp_path / "admin.sock"),
    )


@pytest.fixture
async def balancer() -> AsyncIterator[Balancer]:
    async with Balancer() as balancer:
        yield balancer


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What an operator reads in the log at level WARNING and above."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="WARNING")
    yield lines
    logger.remove(sink)


class Driven:
    """`async with Driven(table) as plugin`: the plugin by itself."""

    def __init__(self, table: HAProxyTable) -> None:
        self._plugin = HAProxyPlugin(table)
        self._tasks = Tasks()

    async def __aenter__(self) -> HAProxyPlugin:
        await self._plugin.start(PluginHost(self._tasks))
        return self._plugin

    async def __aexit__(self, *_: object) -> None:
        await self._plugin.stop()
        await self._plugin.stop()
        await self._tasks.close()


async def fails(plugin: HAProxyPlugin, code: str) -> str:
    """Wait until the status tells of this error; the whole sentence."""
    await eventually(lambda: plugin.status().detail.endswith(f"[{code}]"), within=20, why=f"no {code}")
    assert not plugin.status().healthy
    return plugin.status().detail


async def reloads(balancer: Balancer) -> int:
    return (await Master(balancer.process.table.master_socket).processes()).reloads


async def present(balancer: Balancer) -> dict[str, Running]:
    return await Master(balancer.process.table.master_socket).servers()


def config_of(balancer: Balancer) -> Path:
    return Path(balancer.process.table.config_file)


def test_it_is_off_until_the_settings_say_otherwise(table: HAProxyTable) -> None:
    assert create(Settings(environment="test")) is None
    assert create(Settings(environment="test", haproxy=table)) is not None


def test_settings_that_would_cut_idle_clients_are_refused(table: HAProxyTable) -> None:
    short = msgspec.structs.replace(table, tunnel_seconds=20.0)
    with pytest.raises(SettingsError, match=r"haproxy\.tunnel_seconds = 20 .* more than client\.ping_seconds \(25\)"):
        create(Settings(environment="test", haproxy=short, client=ClientTable(ping_seconds=25.0)))


async def test_a_missing_haproxy_is_told_at_the_start_with_what_to_install(table: HAProxyTable) -> None:
    plugin = HAProxyPlugin(msgspec.structs.replace(table, binary="haproxy-that-is-not-there"))
    with pytest.raises(StartError, match="apt-get install haproxy") as caught:
        await plugin.start(PluginHost(Tasks()))
    assert caught.value.code == "haproxy_missing"


async def test_nodes_come_and_go_without_a_reload(balancer: Balancer) -> None:
    nodes = [member(f"n{number}", 9000 + number) for number in range(20)]
    for count in range(1, 21):
        balancer.announce(nodes[:count])
        await asyncio.sleep(0)
    await balancer.loaded()
    assert config_of(balancer).read_text() == render(balancer.process.table, nodes)
    assert sorted(await present(balancer)) == sorted(node.node_id for node in nodes)
    balancer.announce(reversed(nodes[:5]))
    await balancer.loaded()
    assert sorted(await present(balancer)) == [node.node_id for node in nodes[:5]]
    assert await reloads(balancer) == 0


async def test_an_empty_view_leaves_the_nodes_to_haproxys_own_checks(balancer: Balancer) -> None:
    """As from a registry that has begun anew and has not heard of its nodes yet."""
    async with Backend("n1") as node:
        await balancer.serve(node)
        balancer.announce(())
        await eventually(lambda: "no node" in balancer.plugin.status().detail)
        assert balancer.plugin.status().healthy
        assert await balancer.get() == (200, "n1")
        assert list(await present(balancer)) == ["n1"]


async def test_a_node_with_an_impossible_name_is_left_out_and_named(balancer: Balancer, warnings: list[str]) -> None:
    async with Backend("n1") as node:
        evil = member("n2\n    server x 10.0.0.1:80")
        for _ in range(3):
            balancer.announce([evil, node.member()])
            await balancer.loaded()
        assert "server x" not in config_of(balancer).read_text().replace("\\n", "")
        assert await eventually(balancer.get) == (200, "n1")
        status = balancer.plugin.status()
        assert not status.healthy
        assert "Node 'n2\\n" in status.detail
        assert len(warnings) == 1


async def test_a_certificate_that_breaks_is_told_once_and_keeps_no_node_out(
    tmp_path: Path, warnings: list[str]
) -> None:
    certificate = self_signed(tmp_path / "site.pem")
    good = certificate.read_bytes()
    binary, calls = tmp_path / "haproxy", tmp_path / "calls"
    binary.write_text(f'#!/bin/sh\necho x >> {calls}\nexec /usr/sbin/haproxy "$@"\n')
    binary.chmod(0o755)
    bind = f"127.0.0.1:{free_port()}"
    table = HAProxyTable(binary=str(binary), tls_bind=bind, certificate=str(certificate))
    async with Balancer(table) as balancer, Backend("n1") as node, Backend("n2") as other:
        await balancer.serve(node)
        before = config_of(balancer).read_bytes()
        certificate.write_bytes(b"not a certificate")
        balancer.announce([node.member(), other.member()])
        assert str(certificate) in await fails(balancer.plugin, "haproxy_config_refused")
        tried = len(calls.read_text())
        balancer.announce([other.member()])
        await eventually(lambda: len(calls.read_text()) > tried)
        assert config_of(balancer).read_bytes() == before
        assert await balancer.get() == (200, "n2")
        beside = tmp_path / "good.pem"
        beside.write_bytes(good)
        beside.replace(certificate)  # at once: HAProxy may be reading it
        await balancer.loaded()
        await eventually(lambda: balancer.answers("n2"))
        assert balancer.plugin.status().healthy
        assert len(warnings) == 1


async def test_what_is_seen_and_put_right_is_told_while_the_certificate_is_broken(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "site.pem")
    table = HAProxyTable(tls_bind=f"127.0.0.1:{free_port()}", certificate=str(certificate), check_seconds=0.1)
    async with Balancer(table) as balancer, Backend("n1") as node, Backend("n2") as other:
        await balancer.serve(node)
        good = certificate.read_bytes()
        certificate.write_bytes(b"not a certificate")

        async def told(name: str) -> object:
            """This fact after another round, which fails like the others."""
            before = balancer.plugin.status().facts["failures"]
            balancer.announce([node.member(), other.member()])
            await eventually(lambda: balancer.plugin.status().facts["failures"] > before, within=10)
            assert not balancer.plugin.status().healthy
            return balancer.plugin.status().facts.get(name)

        assert await told("servers") == 2
        items = balancer.plugin.status().items
        assert [(item["name"], item["address"]) for item in items] == [
            ("n1", f"127.0.0.1:{node.port}"),
            ("n2", f"127.0.0.1:{other.port}"),
        ]
        await Master(balancer.process.table.master_socket).obey("set server nodes/n1 weight 9")
        assert await told("drift") == "n1 had weight 9 instead of 1"
        with config_of(balancer).open("a") as file:
            file.write("# by hand\n")
        assert await told("drifts") == await told("drifts") == 1  # the file could not be put right yet
        beside = tmp_path / "good.pem"
        beside.write_bytes(good)
        beside.replace(certificate)
        await balancer.loaded()
        facts = balancer.plugin.status().facts
        assert (facts["drifts"], facts["drift"]) == (2, "the configuration file was changed by hand")
        assert float(facts["success_at"]) > float(facts["error_at"])


async def test_a_reload_that_fails_leaves_the_old_worker_and_is_told(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "site.pem")
    table = HAProxyTable(tls_bind=f"127.0.0.1:{free_port()}", certificate=str(certificate))
    async with Balancer(table) as balancer, Backend("n1") as node:
        await balancer.serve(node)
        await balancer.plugin.stop()
        certificate.write_bytes(b"broken between the check and the reload")
        blind = tmp_path / "haproxy"
        blind.write_text("#!/bin/sh\necho Configuration file is valid\n")
        blind.chmod(0o755)
        unchecked = msgspec.structs.replace(balancer.process.table, binary=str(blind), max_connections=77)
        async with Driven(unchecked) as plugin:
            plugin.view_changed(View(2, (node.member(),)))
            assert "goes on with the old one" in await fails(plugin, "haproxy_reload_failed")
            assert await balancer.get() == (200, "n1")
            self_signed(certificate)
            await eventually(lambda: plugin.status().healthy, within=20)


async def test_without_haproxy_the_file_is_ready_and_a_later_haproxy_is_noticed(table: HAProxyTable) -> None:
    async with Driven(table) as plugin:
        plugin.view_changed(view(1, "n1"))
        assert table.master_socket in await fails(plugin, "haproxy_unreachable")
        assert Path(table.config_file).read_text() == render(table, [member("n1")])
        master = f"{table.master_socket},mode,600"
        haproxy = await asyncio.create_subprocess_exec(
            "/usr/sbin/haproxy", "-W", "-S", master, "-f", table.config_file, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await eventually(lambda: plugin.status().healthy, within=20)
        finally:
            haproxy.terminate()
            await haproxy.wait()


async def test_a_new_plugin_reloads_only_a_haproxy_that_runs_with_something_else(balancer: Balancer) -> None:
    async with Backend("n1") as node:
        await balancer.serve(node)
        await balancer.plugin.stop()
        for number, most, count in ((9, 8000, 0), (10, 7000, 1), (11, 7000, 1)):
            async with Driven(msgspec.structs.replace(balancer.process.table, max_connections=most)) as plugin:
                plugin.view_changed(View(number, (node.member(),)))
                await eventually(lambda number=number, plugin=plugin: f"view {number}" in plugin.status().detail)
            assert await reloads(balancer) == count
        assert await balancer.get() == (200, "n1")


async def test_a_configuration_by_hand_is_kept_once_before_it_is_replaced(table: HAProxyTable) -> None:
    config = Path(table.config_file)
    config.write_text("# by hand\n")
    original = config.with_name("haproxy.cfg.orig")
    async with Driven(table) as plugin:
        for number, names in enumerate([["n1"], ["n1", "n2"]], start=1):
            plugin.view_changed(view(number, *names))
            await eventually(lambda names=names: config.read_text() == render(table, [member(name) for name in names]))
    assert original.read_text() == "# by hand\n"
    assert sorted(path.name for path in config.parent.iterdir()) == [
        ".haproxy.cfg.lock",
        "haproxy.cfg",
        "haproxy.cfg.orig",
    ]


async def test_of_two_that_keep_one_haproxy_the_second_is_told_and_waits_for_the_end_of_the_first(
    balancer: Balancer,
) -> None:
    async with Backend("n1") as node, Backend("m1") as other:
        await balancer.serve(node)
        async with Driven(balancer.process.table) as second:
            second.view_changed(View(7, (other.member(),)))
            await fails(second, "haproxy_contested")
            assert list(await present(balancer)) == ["n1"]
            assert balancer.plugin.status().healthy
            await balancer.plugin.stop()
            await eventually(lambda: balancer.answers("m1"), within=15)
            await eventually(lambda: second.status().healthy)


async def test_a_folder_that_cannot_be_written_is_named(table: HAProxyTable, tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    async with Driven(msgspec.structs.replace(table, config_file=str(folder / "haproxy.cfg"))) as plugin:
        plugin.view_changed(view(1, "n1"))
        assert str(folder) in await fails(plugin, "haproxy_not_writable")
        folder.mkdir()
        await eventually((folder / "haproxy.cfg").exists, within=10)


@pytest.mark.parametrize("call", ["fsync", "replace"])
async def test_a_full_disk_loses_nothing_and_is_tried_again(
    table: HAProxyTable, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    config = Path(table.config_file)
    config.write_text(f"{MARK}: the one before\n")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with Driven(table) as plugin:
        with monkeypatch.context() as fault:
            fault.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), full)
            plugin.view_changed(view(1, "n1"))
            assert "free some space" in await fails(plugin, "haproxy_disk_full")
            assert config.read_text() == f"{MARK}: the one before\n"
        await eventually(lambda: config.read_text() == render(table, [member("n1")]), within=10)
        assert {path.name for path in config.parent.iterdir()} == {".haproxy.cfg.lock", "haproxy.cfg"}


async def test_a_link_in_place_of_the_temporary_file_is_not_followed(table: HAProxyTable, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".haproxy.cfg.new").symlink_to(victim)
    async with Driven(table) as plugin:
        plugin.view_changed(view(1, "n1"))
        await eventually(Path(table.config_file).exists)
    assert victim.read_text() == "precious"


async def test_something_else_behind_the_master_socket_is_no_haproxy(table: HAProxyTable) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_unix_server(answer, table.master_socket), Driven(table) as plugin:
        plugin.view_changed(view(1, "n1"))
        assert "not HAProxy's master process" in await fails(plugin, "haproxy_unreachable")
