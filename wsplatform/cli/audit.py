from __future__ import annotations

import json
from typing import Any

import click

from wsplatform.cli import output
from wsplatform.cli.figures import Moment, check_range, moment
from wsplatform.cli.options import ACTIONS, Server, json_option, limit_option, with_registry


@click.command("audit")
@click.option("--actor", default="", metavar="KEY", help="What was done with the key of this id.")
@click.option("--action", type=click.Choice(ACTIONS), help="Only this.")
@click.option("--contains", default="", metavar="TEXT", help="Where what was acted on has TEXT in it.")
@click.option("--from", type=Moment(), help="From then on: 2h, 7d (ago), 2026-01-31T09:30 (UTC).")
@click.option("--to", type=Moment(), help="Before then.")
@limit_option
@json_option
@with_registry
def command(limit: int, json_: bool, server: Server, **asked: Any) -> None:
    """Show who changed what, when and from where; the newest first. Asks the registry.

    \b
    Examples:
      wsplatform audit
      wsplatform audit --action rule.set --from 7d
      wsplatform audit --contains chat: --limit 0 --json
    """
    from wsplatform.cli.http import ask_some

    check_range(asked["from"], asked["to"])
    found = ask_some(server, "audit", asked, limit)
    if json_:
        output.listing(found.items, found.more)
        return
    rows = [
        [
            moment(item["at"]),
            item["actor"]["name"] or "-",
            item["address"],
            item["action"],
            item["target"],
            _change(item),
        ]
        for item in found.items
    ]
    output.table(["WHEN", "WHO", "FROM", "ACTION", "TARGET", "CHANGE"], rows)
    output.short(len(found.items), found.more)


def _change(item: dict[str, Any]) -> str:
    """What is different; of what was made or deleted, all of it."""
    before, after = item["before"], item["after"]
    if isinstance(before, dict) and isinstance(after, dict):
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return " ".join(f"{name}: {_text(before.get(name))} → {_text(after.get(name))}" for name in names)
    return " → ".join(_text(value) for value in (before, after) if value is not None)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_text(part)}" for name, part in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
