from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import click

from wsplatform.cli import output
from wsplatform.cli.complete import channel_names, rule_patterns
from wsplatform.cli.options import Server, json_option, with_registry
from wsplatform.errors import PlatformError

if TYPE_CHECKING:
    from wsplatform.model import ChannelRule


@click.group("rules")
def command() -> None:
    """Channel rules: set, list, delete, test. Asks the registry, with an admin key.

    A rule says what holds for a channel's name or for a pattern, in which * stands for any characters. Of several that
    match, the most specific one holds; a channel without a rule is refused.
    """


@command.command("set", short_help="Make the rule for PATTERN, or replace it.")
@click.argument("pattern", shell_complete=rule_patterns)
@click.argument("options", metavar="[OPTION=VALUE]...", nargs=-1)
@json_option
@with_registry
def set_(pattern: str, options: tuple[str, ...], json_: bool, server: Server) -> None:
    """Make the rule for PATTERN, or replace it; options that are not given have their defaults.

    \b
    Options:
      subscribe=anyone|users|token|nobody        who may subscribe [users]
      publish=anyone|users|subscribers|nobody    which clients may publish; backends always may [nobody]
      max_bytes=NUMBER                           the largest publication, in bytes; 0: no limit of its own [0]

    \b
    Examples:
      wsplatform rules set news subscribe=anyone
      wsplatform rules set 'chat:*' publish=subscribers max_bytes=4096
    """
    from urllib.parse import quote

    import msgspec

    from wsplatform.cli.http import ask

    made = ask(server, "PUT", f"rules/{quote(pattern, safe='')}", msgspec.to_builtins(_rule(pattern, options)))
    if json_:
        output.as_json(made)


@command.command("list")
@json_option
@with_registry
def list_(json_: bool, server: Server) -> None:
    """List the rules.

    \b
    Example:
      wsplatform rules list --server http://127.0.0.1:8000 --key "$ADMIN_KEY"
    """
    from wsplatform.cli.http import ask_all

    rules = ask_all(server, "rules")
    if json_:
        output.as_json(rules)
        return
    output.table(
        ["PATTERN", "SUBSCRIBE", "PUBLISH", "MAX BYTES"],
        [[rule["pattern"], rule["subscribe"], rule["publish"], rule["max_bytes"] or "-"] for rule in rules],
    )


@command.command("delete", short_help="Delete the rule for PATTERN.")
@click.argument("pattern", shell_complete=rule_patterns)
@with_registry
def delete(pattern: str, server: Server) -> None:
    """Delete the rule for PATTERN; clients that no other rule admits are unsubscribed.

    \b
    Example:
      wsplatform rules delete 'chat:*'
    """
    from urllib.parse import quote

    from wsplatform.cli.http import ask

    ask(server, "DELETE", f"rules/{quote(pattern, safe='')}")


@command.command("test")
@click.argument("channel", shell_complete=channel_names)
@json_option
@with_registry
def test(channel: str, json_: bool, server: Server) -> None:
    """Show which rule holds for CHANNEL. Exit status 1 when none does.

    \b
    Example:
      wsplatform rules test chat:lobby
    """
    from urllib.parse import quote

    from wsplatform.cli.http import ask

    answer = ask(server, "GET", f"rules/test?channel={quote(channel, safe='')}")
    rule = answer["rule"]
    if json_:
        output.as_json(answer)
    elif rule is None:
        output.line(f"{channel}: no rule, refused")
    else:
        origin = ", the fallback rule of the settings" if answer["fallback"] else ""
        limit = f", at most {rule['max_bytes']} bytes" if rule["max_bytes"] else ""
        rights = f"subscribe {rule['subscribe']}, publish {rule['publish']}{limit}"
        output.line(f"{channel}: rule {rule['pattern']}{origin}: {rights}")
    if rule is None:
        raise click.exceptions.Exit(1)


def _rule(pattern: str, options: tuple[str, ...]) -> ChannelRule:
    import msgspec

    from wsplatform.model import ChannelRule

    names = [name for name in ChannelRule.__struct_fields__ if name != "pattern"]
    types = get_type_hints(ChannelRule)
    values: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or name not in names:
            raise click.UsageError(f"{option} is not one of " + ", ".join(f"{known}=…" for known in names) + ".")
        words = get_args(types[name])
        if words and value not in words:
            raise click.UsageError(f"{name} is one of {', '.join(words)}, not {value}.")
        values[name] = value
    try:
        return msgspec.convert({**values, "pattern": pattern}, ChannelRule, strict=False)
    except msgspec.ValidationError as error:
        raise PlatformError("invalid_rule", f"A rule cannot be so: {error}.") from error
