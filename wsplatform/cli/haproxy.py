from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from wsplatform.cli import output
from wsplatform.cli.options import Server, Source, with_registry, with_settings

if TYPE_CHECKING:
    from wsplatform.model import Member
    from wsplatform.settings import HAProxyTable


@click.group("haproxy")
def command() -> None:
    """The load balancer's configuration. The registry keeps it current by itself where haproxy.enabled is true."""


@command.command("render", short_help="Print HAProxy's configuration.")
@click.option("--node", "nodes", multiple=True, metavar="ID=URL", help="A node, instead of the registry's; repeat.")
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
    from wsplatform.core.haproxy_config import render as configuration

    table = source.load().haproxy
    members = [_member(node) for node in nodes] if nodes else _members(server)
    text = configuration(table, members)
    if check:
        _check(table, text)
    output.line(text.rstrip("\n"))


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


def _check(table: HAProxyTable, text: str) -> None:
    """Raises PlatformError when HAProxy will not have it, or is not there."""
    import tempfile
    from pathlib import Path

    from wsplatform.plugins.haproxy_control import check

    with tempfile.TemporaryDirectory(prefix="wsp-haproxy-") as folder:
        path = Path(folder, "haproxy.cfg")
        path.write_text(text, encoding="utf-8")
        asyncio.run(check(table.binary, path))
