"""A cable that takes its time: passes Ethernet frames between two devices, each after a delay. Needs root.

python -m tests.support.delay SECONDS DEVICE DEVICE     until it is killed
python -m tests.support.delay whole DEVICE              frames leave the device as they must be on a cable
"""

from __future__ import annotations

import ctypes
import fcntl
import select
import socket
import struct
import sys
import time
from collections import deque

_EVERY_PROTOCOL = 3  # ETH_P_ALL
_OUTGOING = 4  # PACKET_OUTGOING: what was sent on the device by this host is seen as well
_ETHTOOL = 0x8946  # SIOCETHTOOL
_OFFLOADS = (0x17, 0x19, 0x1F, 0x24, 0x2C)  # ETHTOOL_STXCSUM, SSG, STSO, SGSO, SGRO


def whole(device: str) -> None:
    """Between virtual devices a frame may have 64 KiB and no checksum: it would be dropped behind a cable of ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in _OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
            request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
            fcntl.ioctl(control, _ETHTOOL, request)


def carry(seconds: float, left: str, right: str) -> None:
    ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL)) for _ in range(2)]
    for end, device in zip(ends, (left, right), strict=True):
        end.bind((device, 0))
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    under_way: deque[tuple[float, socket.socket, bytes]] = deque()
    print("ready", flush=True)  # noqa: T201 - told to whoever waits
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        readable, _, _ = select.select(ends, [], [], wait)
        now = time.monotonic()
        for end in readable:
            frame, source = end.recvfrom(65_536)
            if source[2] != _OUTGOING:
                under_way.append((now + seconds, other[end], frame))
        while under_way and under_way[0][0] <= now:
            _, end, frame = under_way.popleft()
            end.send(frame)


if __name__ == "__main__":
    if sys.argv[1] == "whole":
        whole(sys.argv[2])
    else:
        carry(float(sys.argv[1]), sys.argv[2], sys.argv[3])
