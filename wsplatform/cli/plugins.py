from __future__ import annotations

import click

from wsplatform.cli import output
from wsplatform.cli.options import Server, json_option, with_registry


@click.group("plugins")
def command() -> None:
    """Plugins run in the registry's process and follow the cluster; the one for HAProxy comes with wsplatform."""


@command.command("list", short_help="The plugins that are switched on, and how they are.")
@json_option
@with_registry
def list_(json_: bool, server: Server) -> None:
    """The plugins that are installed beside the registry and switched on, and how they are. Asks the registry.

    \b
    Example:
      wsplatform plugins list --server http://127.0.0.1:8000 --key "$ADMIN_KEY"
    """
    from wsplatform.cli.http import ask_all

    plugins = ask_all(server, "plugins")
    if json_:
        output.as_json(plugins)
        return
    rows = [
        (plugin["name"], plugin["distribution"], "working" if plugin["healthy"] else "failing", plugin["detail"])
        for plugin in plugins
    ]
    output.table(("PLUGIN", "DISTRIBUTION", "STATE", "DETAIL"), rows)
