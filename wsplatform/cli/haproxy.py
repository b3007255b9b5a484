from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import click

from wsplatform.cli import output
from wsplatform.cli.options import Server, Source, json_option, with_registry, with_settings

if TYPE_CHECKING:
    from wsplatform.core.haproxy_sections import Snippets
    from wsplatform.model import Member
    from wsplatform.plugins.haproxy import HAProxyPlugin
    from wsplatform.settings import HAProxyTable

node_option = click.option(
    "--node", "nodes", multiple=True, metavar="ID=URL", help="A node, instead of the registry's; repeat."
)


@click.group("haproxy")
def command() -> None:
    """The load balancer's configuration. The registry keeps it current by itself where haproxy.enabled is true."""


@command.command("render", short_help="Print HAProxy's configuration.")
@node_option
@click.option("--check", is_flag=True, help="Have HAProxy read the configuration before it is printed.")
@with_registry
@with_settings
def render(nodes: tuple[str, ...], check: bool, server: Server, source: Source) -> None:
    """Print HAProxy's configuration for the [haproxy] settings and the nodes that the registry knows.

    \b
    Examples:
      wsplatform haproxy render --server http://10.0.0.1:8000 --key "$ADMIN_KEY" > /etc/haproxy/haproxy.cfg
      wsplatform haproxy render --check --node n1=http://10.0.0.1:8000 --node n2=http://10.0.0.2:8000
    """
    table = source.load().haproxy
    text = _configuration(table, _wanted(nodes, server))
    if check:
        _check(table, text)
    output.line(text.rstrip("\n"))


@command.command("check", short_help="Have HAProxy read what would be written.")
@node_option
@with_registry
@with_settings
def check_(nodes: tuple[str, ...], server: Server, source: Source) -> None:
    """Have HAProxy read the configuration that would be written, without using it.

    \b
    Example:
      wsplatform haproxy check --node n1=http://10.0.0.1:8000
    """
    table = source.load().haproxy
    members = _wanted(nodes, server)
    _check(table, _configuration(table, members))
    output.line(f"HAProxy takes the configuration (nodes: {len(members)})")


@command.command("sync", short_help="Bring HAProxy in step with the cluster, once.")
@node_option
@with_registry
@with_settings
def sync(nodes: tuple[str, ...], server: Server, source: Source) -> None:
    """Bring HAProxy in step with the nodes that the registry knows, once, as the registry does where it may.

    The file is written, and the running HAProxy told. For hosts on which there is HAProxy and no registry.

    \b
    Example:
      wsplatform haproxy sync --server http://10.0.0.1:8000 --key "$ADMIN_KEY" --config haproxy.toml
    """
    from wsplatform.errors import PlatformError
    from wsplatform.plugins.haproxy_keeper import Keeper

    table = source.load().haproxy
    members = _wanted(nodes, server)
    outcome = asyncio.run(Keeper(table).apply(members))
    for done in outcome.changed:
        output.line(done)
    if outcome.reloaded:
        output.line("reload")
    if outcome.rotated:
        output.line("new certificate")
    if outcome.idle:
        output.note("there is no node: HAProxy keeps the configuration that it has")
    if outcome.refused:
        raise PlatformError(outcome.refused[0].code, " ".join(error.message for error in outcome.refused))


@command.command("watch", short_help="Keep HAProxy in step with the cluster, until Ctrl-C.")
@click.option("--interval", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, metavar="SECONDS")
@with_registry
@with_settings
def watch(interval: float, server: Server, source: Source) -> None:
    """Keep HAProxy in step with the nodes that the registry knows, until Ctrl-C or SIGTERM.

    The registry is asked every so often; while it does not answer, HAProxy keeps what it has. A line tells whenever
    something has changed.

    \b
    Example:
      wsplatform haproxy watch --server http://10.0.0.1:8000 --key "$ADMIN_KEY" --config haproxy.toml
    """
    from wsplatform import logs

    settings = source.load()
    logs.set_up(settings.log, "haproxy")
    asyncio.run(_watch(settings.haproxy, server, interval))


@command.command("status", short_help="Whether HAProxy is in step with the cluster.")
@node_option
@json_option
@with_registry
@with_settings
def status(nodes: tuple[str, ...], json_: bool, server: Server, source: Source) -> None:
    """The servers that HAProxy has, and what is not as it should be; then the exit status is 1.

    \b
    Example:
      wsplatform haproxy status --server http://10.0.0.1:8000 --key "$ADMIN_KEY" --config haproxy.toml
    """
    from wsplatform.plugins.haproxy_keeper import Keeper

    sight = asyncio.run(Keeper(source.load().haproxy).look(_wanted(nodes, server)))
    differences = sight.differences()
    if json_:
        servers = [
            {"name": one.name, "address": one.place, "state": one.state, "weight": one.weight}
            for one in sight.present.values()
        ]
        output.as_json({"in_step": not differences, "differences": differences, "servers": servers})
    else:
        rows = [(one.name, one.place, one.state, one.weight) for one in sight.present.values()]
        output.table(("SERVER", "ADDRESS", "STATE", "WEIGHT"), rows)
        for difference in differences:
            output.note(difference)
    if differences:
        raise click.exceptions.Exit(1)


async def _watch(table: HAProxyTable, server: Server, interval: float) -> None:
    """Until a signal. Raises StartError, and PlatformError when the registry does not answer the first time."""
    from wsplatform.cli.signals import Signals
    from wsplatform.net.tasks import Tasks
    from wsplatform.plugins.base import PluginHost
    from wsplatform.plugins.haproxy import HAProxyPlugin

    members = await asyncio.to_thread(_members, server)
    tasks, plugin = Tasks(), HAProxyPlugin(table)
    signals = Signals(lambda: os._exit(1))
    try:
        await plugin.start(PluginHost(tasks))
        await _feed(plugin, members, server, interval)
    except asyncio.CancelledError:
        if not signals.received:
            raise
    finally:
        await plugin.stop()
        await tasks.close()


async def _feed(plugin: HAProxyPlugin, members: list[Member], server: Server, interval: float) -> None:
    from wsplatform.errors import PlatformError
    from wsplatform.model import View

    number, told = 1, ""
    plugin.view_changed(View(number, tuple(members)))
    while True:
        await asyncio.sleep(interval)
        now = plugin.status().detail
        try:
            found = await asyncio.to_thread(_members, server)
        except PlatformError as error:
            now = str(error)
        else:
            if found != members:
                number, members = number + 1, found
                plugin.view_changed(View(number, tuple(members)))
        if now != told:
            output.line(now)
        told = now


def _wanted(nodes: tuple[str, ...], server: Server) -> list[Member]:
    return [_member(node) for node in nodes] if nodes else _members(server)


def _member(text: str) -> Member:
    from wsplatform.model import Member

    node_id, equals, url = text.partition("=")
    if not equals:
        raise click.UsageError(f"--node {text} is not ID=URL.")
    return Member(node_id=node_id, incarnation="0", cluster_url="", client_url=url, ready=True)


def _members(server: Server) -> list[Member]:
    import msgspec

    from wsplatform.cli.http import ask_all
    from wsplatform.model import Member

    return [msgspec.convert({**node, "node_id": node["id"]}, Member) for node in ask_all(server, "nodes")]


def _configuration(table: HAProxyTable, members: list[Member]) -> str:
    from wsplatform.core.haproxy_config import render as configuration

    return configuration(table, members, _snippets(table))


def _snippets(table: HAProxyTable) -> Snippets:
    from wsplatform.plugins.haproxy_files import snippets

    return snippets(table.snippets)


def _check(table: HAProxyTable, text: str) -> None:
    """Raises PlatformError when HAProxy will not have it, or is not there."""
    import tempfile
    from pathlib import Path

    from wsplatform.plugins.haproxy_control import check

    with tempfile.TemporaryDirectory(prefix="wsp-haproxy-") as folder:
        path = Path(folder, "haproxy.cfg")
        path.write_text(text, encoding="utf-8")
        asyncio.run(check(table.binary, path))
