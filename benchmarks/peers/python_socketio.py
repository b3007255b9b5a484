"""python-socketio with rooms on aiohttp, websocket transport only, no compression. python python_socketio.py PORT"""

import sys

import socketio
import uvloop
from aiohttp import web

server = socketio.AsyncServer(async_mode="aiohttp", transports=["websocket"], http_compression=False, logger=False)


@server.event
async def subscribe(session: str, channel: str) -> None:
    await server.enter_room(session, channel)


@server.event
async def publish(session: str, channel: str, data: str) -> None:  # the return is the acknowledgement
    await server.emit("pub", {"channel": channel, "data": data}, room=channel)


async def make() -> web.Application:
    app = web.Application()
    server.attach(app)
    return app


uvloop.install()
web.run_app(make(), host="127.0.0.1", port=int(sys.argv[1]), backlog=4096, print=None, access_log=None)
