from __future__ import annotations

import sys
import time
from typing import Any

import click

from wsplatform.cli import output
from wsplatform.cli.complete import node_ids
from wsplatform.cli.figures import duration
from wsplatform.cli.options import Server, json_option, with_registry
from wsplatform.errors import PlatformError

_POLL_SECONDS = 0.5


@click.group("nodes", invoke_without_command=True)
@json_option
@with_registry
@click.pass_context
def command(ctx: click.Context, json_: bool, server: Server) -> None:
    """List the cluster's nodes: their address, whether they serve, what they carry; or drain one. Asks the registry.

    \b
    Examples:
      wsplatform nodes --server http://127.0.0.1:8000 --key "$ADMIN_KEY"
      wsplatform nodes --json
    """
    if ctx.invoked_subcommand is not None:
        return
    from wsplatform.cli.http import ask_all

    nodes = ask_all(server, "nodes")
    if json_:
        output.as_json(nodes)
        return
    rows = []
    for node in nodes:
        status = node.get("status") or {}
        counts = [status.get(name, "-") for name in ("sessions", "channels", "subscriptions")]
        rows.append([node["id"], node["client_url"], state_of(node), *counts])
    output.table(["NODE", "ADDRESS", "STATE", "SESSIONS", "CHANNELS", "SUBSCRIPTIONS"], rows)
    for node in nodes:
        if node.get("clock_ahead"):
            output.note(wrong_clock(node))


@command.command("drain", short_help="Have a node end in order.")
@click.argument("node", metavar="ID", shell_complete=node_ids)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", is_flag=True, help="Return when it is gone, and show how far it is.")
@json_option
@with_registry
def drain(node: str, yes: bool, wait: bool, json_: bool, server: Server) -> None:
    """Have the node with this ID end in order: its clients go to other nodes, then its process ends, as at SIGTERM.

    What started it (a supervisor, systemd) may start it again.

    \b
    Examples:
      wsplatform nodes drain node-2
      wsplatform nodes drain node-2 --yes --wait
    """
    from urllib.parse import quote

    from wsplatform.cli.http import ask

    if not yes:
        _confirm(node, server)
    answer = ask(server, "POST", f"nodes/{quote(node, safe='')}/drain")
    if wait:
        _wait(node, server)
    if json_:
        output.as_json(answer)
    elif not wait:
        output.line(f"{answer['node']}: {answer['state']}")
    else:
        output.line(f"{node}: gone")


def find(node: str, server: Server) -> dict[str, Any] | None:
    """What the registry knows of a node."""
    from wsplatform.cli.http import ask_all

    return next((item for item in ask_all(server, "nodes", contains=node) if item["id"] == node), None)


def unknown(node: str) -> PlatformError:
    return PlatformError("unknown_node", f"There is no node {node}: wsplatform nodes lists those that there are.")


def wrong_clock(node: dict[str, Any]) -> str:
    ahead = node["clock_ahead"]
    side = "ahead of" if ahead > 0 else "behind"
    return f"the clock of {node['id']} is {duration(abs(ahead))} {side} the registry's: set it"


def state_of(node: dict[str, Any]) -> str:
    return "draining" if node["draining"] else "ready" if node["ready"] else "not ready"


def _confirm(node: str, server: Server) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("There is nobody to ask whether to drain it: --yes does not ask.")
    found = find(node, server)
    if found is None:
        raise unknown(node)
    sessions = (found["status"] or {}).get("sessions", 0)
    click.confirm(
        f"Drain {node}? Its {sessions:,} sessions go to other nodes, and its process ends.", abort=True, err=True
    )


def _wait(node: str, server: Server) -> None:
    """Until this run of it is gone: one that was started again has another incarnation."""
    from wsplatform.cli.progress import Display

    first = find(node, server)
    with Display() as display:
        while first is not None and (now := find(node, server)) is not None:
            if now["incarnation"] != first["incarnation"]:
                return
            display.tell(f"{node}: {(now['status'] or {}).get('sessions', 0):,} sessions left")
            time.sleep(_POLL_SECONDS)
