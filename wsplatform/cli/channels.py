from __future__ import annotations

from typing import Any

import click

from wsplatform.cli import output
from wsplatform.cli.complete import channel_names
from wsplatform.cli.figures import amount
from wsplatform.cli.options import Server, json_option, limit_option, with_registry


@click.group("channels")
def command() -> None:
    """Channels of the whole cluster: list, busiest, show. Asks the registry, which asks the nodes.

    A channel is there as long as it has subscribers. What a node that does not answer in time would say is
    missing; then a line on standard error says so.
    """


@command.command("list")
@click.option("--contains", default="", metavar="TEXT", help="Those with TEXT in their name.")
@click.option("--pattern", default="", metavar="GLOB", help="Those that match, as in the server API: 'chat:*'.")
@limit_option
@json_option
@with_registry
def list_(contains: str, pattern: str, limit: int, json_: bool, server: Server) -> None:
    """List channels by name, with their subscribers and on which nodes they are.

    \b
    Examples:
      wsplatform channels list
      wsplatform channels list --pattern 'chat:*' --limit 0 --json
    """
    from wsplatform.cli.http import ask_some

    found = ask_some(server, "channels", {"contains": contains, "pattern": pattern}, limit)
    if json_:
        output.listing(found.items, found.more, found.missing)
        return
    rows = [[item["channel"], item["subscribers"], _nodes(item)] for item in found.items]
    output.table(["CHANNEL", "SUBSCRIBERS", "NODES"], rows)
    output.short(len(found.items), found.more, found.missing)


@command.command("busiest")
@click.option(
    "--by",
    type=click.Choice(["publications", "subscribers"]),
    default="publications",
    show_default=True,
    help="What they are busy with.",
)
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="How many.")
@json_option
@with_registry
def busiest(by: str, limit: int, json_: bool, server: Server) -> None:
    """List the busiest channels, as the nodes counted in their last ten seconds.

    \b
    Examples:
      wsplatform channels busiest
      wsplatform channels busiest --by subscribers --limit 5
    """
    from wsplatform.cli.http import ask

    answer = ask(server, "GET", f"metrics/busiest?by={by}&limit={limit}")
    if json_:
        output.as_json(answer)
        return
    rows = [[item["channel"], amount(item["publications"]), item["subscribers"]] for item in answer["items"]]
    output.table(["CHANNEL", "PUBLICATIONS/S", "SUBSCRIBERS"], rows)


@command.command("show", short_help="Show one channel.")
@click.argument("channel", shell_complete=channel_names)
@json_option
@with_registry
def show(channel: str, json_: bool, server: Server) -> None:
    """Show CHANNEL: its subscribers by node, and the rule that holds for it.

    \b
    Example:
      wsplatform channels show chat:42
    """
    from urllib.parse import quote

    from wsplatform.cli.http import ask

    found = ask(server, "GET", f"channels/{quote(channel, safe='')}")
    if json_:
        output.as_json(found)
        return
    rule = found["rule"]
    admitted = "none: it is refused" if rule is None else rule["pattern"]
    if rule is not None:
        admitted += f" (subscribe {rule['subscribe']}, publish {rule['publish']})"
    output.pairs(
        [
            ("channel", found["channel"]),
            ("subscribers", found["subscribers"]),
            ("nodes", _nodes(found) or "-"),
            ("rule", admitted + (", of the settings" if found["fallback"] else "")),
        ]
    )
    output.incomplete(found["missing"])


def _nodes(item: dict[str, Any]) -> str:
    return " ".join(f"{node}:{count}" for node, count in sorted(item["nodes"].items()))
