"""PyPI websockets with its broadcast(), no compression. python websockets_broadcast.py PORT"""

import asyncio
import json
import sys
from collections import defaultdict

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

CONNECTED = '{"id":%d,"connect":{"client":"00000000-0000-0000-0000-000000000000","version":"1","ping":25,"pong":true}}'


async def main() -> None:
    channels: defaultdict[str, set[ServerConnection]] = defaultdict(set)

    async def handle(connection: ServerConnection) -> None:
        mine = []
        async for message in connection:
            command = json.loads(message)
            if "connect" in command:
                await connection.send(CONNECTED % command["id"])
            elif "subscribe" in command:
                channel = channels[command["subscribe"]["channel"]]
                channel.add(connection)
                mine.append(channel)
                await connection.send(f'{{"id":{command["id"]},"subscribe":{{}}}}')
            elif "publish" in command:
                push = json.dumps(
                    {"push": {"channel": command["publish"]["channel"], "pub": {"data": command["publish"]["data"]}}}
                )
                broadcast(channels[command["publish"]["channel"]], push)
                await connection.send(f'{{"id":{command["id"]},"publish":{{}}}}')
        for channel in mine:
            channel.discard(connection)

    async with serve(handle, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None, backlog=4096):
        await asyncio.Future()


uvloop.run(main())
