from __future__ import annotations

import click

from wsplatform.cli import output
from wsplatform.cli.options import Server, json_option, with_registry


@click.group("key")
def command() -> None:
    """API keys: create, list, revoke. Asks the registry, with an admin key."""


@command.command("create")
@click.option("--name", required=True, help="What it is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=["api"],
    show_default=True,
    type=click.Choice(["api", "admin", "metrics"]),
    help="api: publish and the rest of /api; admin: rules, keys, nodes; metrics: /metrics. May be repeated.",
)
@click.option("--channel", "channels", multiple=True, help="Only these channels or patterns; may be repeated.")
@json_option
@with_registry
def create(name: str, scopes: tuple[str, ...], channels: tuple[str, ...], json_: bool, server: Server) -> None:
    """Make a key and print it. It is shown this once: only its digest is kept.

    \b
    Examples:
      wsplatform key create --name shop
      wsplatform key create --name chat-service --channel 'chat:*'
    """
    from wsplatform.cli.http import ask

    made = ask(server, "POST", "keys", {"name": name, "scopes": scopes, "channels": channels})
    if json_:
        output.as_json(made)
    else:
        output.line(made["key"])


@command.command("list")
@json_option
@with_registry
def list_(json_: bool, server: Server) -> None:
    """List the keys that were created.

    \b
    Example:
      wsplatform key list
    """
    from datetime import UTC, datetime

    from wsplatform.cli.http import ask_all

    keys = ask_all(server, "keys")
    if json_:
        output.as_json(keys)
        return
    rows = [
        [
            key["id"],
            key["name"],
            ",".join(key["scopes"]),
            ",".join(key["channels"]) or "all",
            datetime.fromtimestamp(key["created_at"], UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
        ]
        for key in keys
    ]
    output.table(["ID", "NAME", "SCOPES", "CHANNELS", "CREATED"], rows)


@command.command("revoke", short_help="Revoke the key with this ID.")
@click.argument("key_id", metavar="ID")
@with_registry
def revoke(key_id: str, server: Server) -> None:
    """Revoke the key with this ID (wsplatform key list); nodes refuse it within two seconds.

    \b
    Example:
      wsplatform key revoke 5f3a9c01d2e4b687
    """
    from urllib.parse import quote

    from wsplatform.cli.http import ask

    ask(server, "DELETE", f"keys/{quote(key_id, safe='')}")
