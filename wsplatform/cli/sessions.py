from __future__ import annotations

from typing import Any

import click

from wsplatform.cli import output
from wsplatform.cli.complete import channel_names, node_ids
from wsplatform.cli.figures import moment, size
from wsplatform.cli.options import Server, json_option, limit_option, with_registry


@click.group("sessions")
def command() -> None:
    """Sessions of the whole cluster: list, show, disconnect. Asks the registry, which asks the nodes.

    What a node that does not answer in time would say is missing; then a line on standard error says so.
    """


@command.command("list")
@click.option("--user", default=None, metavar="USER", help="Those of this user; '' for those without one.")
@click.option(
    "--channel",
    default="",
    metavar="CHANNEL",
    shell_complete=channel_names,
    help="Those that are subscribed to it.",
)
@click.option("--node", default="", metavar="ID", shell_complete=node_ids, help="Those on this node.")
@click.option("--contains", default="", metavar="TEXT", help="Those with TEXT in their id, user or address.")
@click.option("--slow", is_flag=True, help="Those whose client reads slowly: data waits for it.")
@limit_option
@json_option
@with_registry
def list_(user: str | None, slow: bool, limit: int, json_: bool, server: Server, **filters: Any) -> None:
    """List sessions: who they are, where from, on which node, since when, and what their client has not read yet.

    \b
    Examples:
      wsplatform sessions list --user 42
      wsplatform sessions list --channel chat:42 --node node-1
      wsplatform sessions list --slow
      wsplatform sessions list --contains 203.0.113. --limit 0 --json
    """
    from wsplatform.cli.http import ask_some

    exactly: dict[str, object] = {} if user is None else {"user": user}
    if slow:
        exactly["slow"] = "true"
    found = ask_some(server, "sessions", filters, limit, exactly)
    if json_:
        output.listing(found.items, found.more, found.missing)
        return
    rows = [
        [
            item["id"],
            item["user"] or "-",
            item["node"],
            item["address"],
            moment(item["connected_at"]),
            item["subscriptions"],
            size(item["waiting_bytes"]),
        ]
        for item in found.items
    ]
    output.table(["ID", "USER", "NODE", "ADDRESS", "CONNECTED", "SUBSCRIPTIONS", "WAITING"], rows)
    output.short(len(found.items), found.more, found.missing)


@command.command("show", short_help="Show one session.")
@click.argument("session_id", metavar="ID")
@json_option
@with_registry
def show(session_id: str, json_: bool, server: Server) -> None:
    """Show the session with this ID, which its client knows as its client id.

    \b
    Example:
      wsplatform sessions show 1f2e3d4c-0000-4000-8000-000000000000
    """
    import json
    from urllib.parse import quote

    from wsplatform.cli.http import ask

    found = ask(server, "GET", f"sessions/{quote(session_id, safe='')}")
    if json_:
        output.as_json(found)
        return
    more = found["subscriptions"] - len(found["channels"])
    output.pairs(
        [
            ("id", found["id"]),
            ("user", found["user"] or "-"),
            ("node", found["node"]),
            ("address", found["address"]),
            ("protocol", found["protocol"]),
            ("connected", moment(found["connected_at"])),
            ("token expires", moment(found["expires_at"])),
            ("info", "-" if found["info"] is None else json.dumps(found["info"], ensure_ascii=False)),
            ("waiting", size(found["waiting_bytes"])),
            ("channels", " ".join(found["channels"]) + (f" and {more} more" if more > 0 else "") or "-"),
        ]
    )


@command.command("disconnect", short_help="Disconnect one session.")
@click.argument("session_id", metavar="ID")
@click.option("--reconnect", is_flag=True, help="Its client is to come back, to any node; otherwise it stays away.")
@with_registry
def disconnect(session_id: str, reconnect: bool, server: Server) -> None:
    """Disconnect the session with this ID. All of a user's at once: see the server API's disconnect.

    \b
    Examples:
      wsplatform sessions disconnect 1f2e3d4c-0000-4000-8000-000000000000
      wsplatform sessions disconnect --reconnect 1f2e3d4c-0000-4000-8000-000000000000
    """
    from urllib.parse import quote

    from wsplatform.cli.http import ask

    ask(server, "DELETE", f"sessions/{quote(session_id, safe='')}?reconnect={str(reconnect).lower()}")
