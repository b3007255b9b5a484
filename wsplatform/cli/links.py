from __future__ import annotations

from typing import Any

import click

from wsplatform.cli import output
from wsplatform.cli.complete import node_ids
from wsplatform.cli.nodes import unknown
from wsplatform.cli.options import Server, json_option, with_registry

_HEAD = ["NODE", "PEER", "STATE", "BY", "RTT", "CANARY", "WAITING", "SENT", "RECEIVED", "REPLAYED", "DROPPED", "MISSED"]


@click.command("links")
@click.option("--node", default="", metavar="ID", shell_complete=node_ids, help="Only those of this node.")
@json_option
@with_registry
def command(node: str, json_: bool, server: Server) -> None:
    """List the links between nodes: how long they take, and what they could not deliver. Asks the registry.

    BY is the transport that carries a link now; RTT its round trip, and CANARY that of a publication to the peer's
    subscribers and back; WAITING the bytes that the peer has not acknowledged. DROPPED are publications that the peer
    will never get, MISSED those of the peer that will never come. What was dropped for a node that was started anew or
    has gone is told below; wsplatform metrics link_dropped --by label says when, and why.

    \b
    Examples:
      wsplatform links --server http://127.0.0.1:8000 --key "$ADMIN_KEY"
      wsplatform links --node node-1 --json
    """
    from wsplatform.cli.http import ask_all

    links = ask_all(server, "links", node=node)
    nodes = ask_all(server, "nodes", contains=node)
    if node and not links and all(one["id"] != node for one in nodes):
        raise unknown(node)
    if json_:
        output.as_json(links)
        return
    output.table(_HEAD, [_row(link) for link in links])
    for one in nodes:
        lost = (one["status"] or {}).get("dropped", 0)
        lost -= sum(sum(link["dropped"].values()) for link in links if link["node"] == one["id"])
        if lost > 0 and node in ("", one["id"]):
            output.note(f"{one['id']} dropped {lost:,} more, for runs of nodes that are no more")


def _row(link: dict[str, Any]) -> list[object]:
    dropped = " ".join(f"{cause}:{count}" for cause, count in sorted(link["dropped"].items()))
    late = f" ({link['canary_late']} late)" if link["canary_late"] else ""
    return [
        link["node"],
        link["peer"],
        link["state"],
        link["transport"] or "-",
        _milliseconds(link["rtt"] or None),
        _milliseconds(link["canary"]) + late,
        link["queued"] + link["unacknowledged"],
        link["sent"],
        link["received"],
        link["replayed"],
        dropped or 0,
        link["gaps"],
    ]


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
