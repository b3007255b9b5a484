"""What clients say: the same actions in the protocols of the servers. Format: native/generator.c."""

from __future__ import annotations

from dataclasses import dataclass

_STEP = "\x1d"


@dataclass(frozen=True, slots=True)
class Dialect:
    """path: of the websocket. join, connect: how many frames answer, and texts. publish, flood, subscribe: texts."""

    path: str
    join: tuple[int, str]
    connect: tuple[int, str]
    subscribe: str
    publish: str
    flood: str


def _flood_data(size: int) -> str:
    return "x" * size


CENTRIFUGE = Dialect(
    path="/connection/websocket",
    join=(2, '{"id":1,"connect":{}}' + _STEP + '{"id":2,"subscribe":{"channel":"c%c"}}'),
    connect=(1, '{"id":1,"connect":{}}'),
    subscribe='{"id":2,"subscribe":{"channel":"c%c"}}',
    publish='{"id":3,"publish":{"channel":"c%c","data":"%d"}}',
    flood='{"id":3,"publish":{"channel":"nobody","data":"' + _flood_data(128) + '"}}',
)
SOCKET_IO = Dialect(
    path="/socket.io/?EIO=4&transport=websocket",
    join=(3, _STEP + "40" + _STEP + '422["subscribe","c%c"]'),
    connect=(2, _STEP + "40"),
    subscribe='422["subscribe","c%c"]',
    publish='423["publish","c%c","%d"]',
    flood='423["publish","nobody","' + _flood_data(128) + '"]',
)
