from __future__ import annotations

import click

from wsplatform.cli import output
from wsplatform.cli.options import Server, json_option, with_registry


@click.command("nodes")
@json_option
@with_registry
def command(json_: bool, server: Server) -> None:
    """List the cluster's nodes: their address, whether they serve, and what they carry. Asks the registry.

    \b
    Examples:
      wsplatform nodes --server http://127.0.0.1:8000 --key "$ADMIN_KEY"
      wsplatform nodes --json
    """
    from wsplatform.cli.http import ask_all

    nodes = ask_all(server, "nodes")
    if json_:
        output.as_json(nodes)
        return
    rows = []
    for node in nodes:
        status = node.get("status") or {}
        state = "draining" if node["draining"] else "ready" if node["ready"] else "not ready"
        counts = [status.get(name, "-") for name in ("sessions", "channels", "subscriptions")]
        rows.append([node["id"], node["client_url"], state, *counts])
    output.table(["NODE", "ADDRESS", "STATE", "SESSIONS", "CHANNELS", "SUBSCRIPTIONS"], rows)
