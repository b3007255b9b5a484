"""A node in a process of its own, which sends back whatever it gets. Usage: peer_process.py ID SETTINGS-AS-JSON KIND

Prints its Peer as one line of JSON, then takes the peers of its view from each line of its input, as a list of such.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from wsplatform.settings import ClusterTable
from wsplatform.testing.transport_nodes import TransportNode
from wsplatform.transports import http, websocket
from wsplatform.transports.base import Peer


async def main(node_id: str, settings: str, kind: str) -> None:
    create = {"websocket": websocket.create, "http": http.create}[kind]
    node = TransportNode(node_id, create, msgspec.json.decode(settings, type=ClusterTable))
    node.listener.on_received = lambda peer_id, envelope: _echo(node, peer_id, envelope)
    await node.start()
    sys.stdout.write(msgspec.json.encode(node.peer).decode() + "\n")
    sys.stdout.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        node.set_peers(msgspec.json.decode(line, type=frozenset[Peer]))
    await node.stop()


def _echo(node: TransportNode, peer_id: str, envelope: bytes) -> None:
    node.transport.send(peer_id, envelope)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
