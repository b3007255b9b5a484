from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsplatform.cli import output
from wsplatform.cli.options import Source, json_option, with_settings

if TYPE_CHECKING:
    from wsplatform.settings import Settings


@click.group("config")
def command() -> None:
    """Show the settings in force, or check them.

    Later wins: the built-in settings of --env, the file given with --config, WSP_SECTION__KEY variables (or
    WSP_SECTION__KEY_FILE, the name of a file that holds the value), --set.
    """


@command.command("show", short_help="Print the effective settings, secrets masked.")
@json_option
@with_settings
def show(json_: bool, source: Source) -> None:
    """Print the effective settings as TOML, secrets masked.

    \b
    Examples:
      wsplatform config show
      WSP_NODE__PORT=9000 wsplatform config show --env production --json
    """
    from wsplatform.settings_load import masked

    settings = masked(source.load())
    if json_:
        output.as_json(settings)
    else:
        output.line(f"# environment: {settings['environment']}\n\n{toml(settings)}")


@command.command("check", short_help="Check a settings file, or whether a process could start.")
@click.argument("path", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--role",
    type=click.Choice(["all", "node", "registry"]),
    default="all",
    show_default=True,
    help="Without FILE: check what a process of this role needs.",
)
@with_settings
def check(path: Path | None, role: str, source: Source) -> None:
    """Check a settings FILE by itself, or, without one, whether a process could start with the effective settings.

    \b
    Examples:
      wsplatform config check my-settings.toml
      wsplatform config check --env production --config my-settings.toml --role node
    """
    import asyncio

    from wsplatform.net.tls import Tls, TlsFiles
    from wsplatform.settings_load import check_file, check_production
    from wsplatform.supervisor.settings import check as check_workers

    if path is not None:
        check_file(path)
        output.line(f"{path} can be used")
        return
    settings = source.load()
    check_production(settings, node=role != "registry", registry=role != "node")
    Tls(TlsFiles(settings.cluster.tls_certificate, settings.cluster.tls_key, settings.cluster.tls_ca))
    if role != "registry":
        asyncio.run(_make_transports(settings))
    if role != "registry" and settings.node.workers > 1:
        check_workers(settings)
    output.line(f"the settings for {settings.environment} can be used (role {role})")


async def _make_transports(settings: Settings) -> None:
    """As a node does, but for the start. Within a loop, as a transport may expect. Raises PlatformError."""
    from wsplatform.app.transports import make_transport
    from wsplatform.net.sweep import Sweep
    from wsplatform.net.tasks import Tasks
    from wsplatform.transports.base import TransportContext

    context = TransportContext(settings.cluster, Tasks(), Sweep(1.0), nats=settings.nats)
    for name in settings.cluster.carriers:
        make_transport(name, context)


def toml(tables: Mapping[str, Any]) -> str:
    """Settings as plain data (`masked`), written as a settings file. What TOML has no word for, None, is left out."""
    lines: list[str] = []
    for section, table in tables.items():
        if isinstance(table, Mapping):
            _table(section, table, lines)
    return "\n".join(lines).strip()


def _table(name: str, table: Mapping[str, Any], lines: list[str]) -> None:
    lines += ["", f"[{name}]"]
    lines += [f"{key} = {_value(value)}" for key, value in table.items() if value is not None and not _is_table(value)]
    for key, value in table.items():
        if _is_table(value):
            _table(f"{name}.{key}", value, lines)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _value(value: object) -> str:
    """JSON's strings, booleans and lists are TOML's too, but for DEL, which TOML wants escaped."""
    import json

    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
