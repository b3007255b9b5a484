"""Listening sockets, with the kernel's own answers."""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from wsplatform.errors import StartError
from wsplatform.net.listen import LONGEST_PATH, bind, bind_group, bind_unix, socket_path, steer

AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closed with a reset, leaving no port in TIME_WAIT


def spread(group: list[socket.socket], connections: int = 200) -> Counter[int]:
    """How many of new connections arrive at each socket, by its number."""
    arrived: Counter[int] = Counter()
    with ExitStack() as stack:
        for _ in range(connections):
            client = stack.enter_context(socket.create_connection(group[0].getsockname()[:2]))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        for number, listener in enumerate(group):
            while True:
                try:
                    listener.accept()[0].close()
                except BlockingIOError:
                    break
                arrived[number] += 1
    return arrived


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_group_shares_a_port_and_connections_go_where_they_are_sent(host: str) -> None:
    with ExitStack() as stack:
        group = [stack.enter_context(each) for each in bind_group(host, 0, 3)]
        assert len({each.getsockname()[1] for each in group}) == 1
        assert set(spread(group)) == {0, 1, 2}
        for chosen in ([2], [0], [0, 1], [1, 2], [0, 1, 2]):
            steer(group[0], chosen)
            arrived = spread(group)
            assert set(arrived) == set(chosen)
            assert arrived.total() == 200
            assert min(arrived.values()) > 100 / len(chosen)


def test_connections_that_wait_at_a_socket_stay_when_others_are_sent_elsewhere() -> None:
    with ExitStack() as stack:
        group = [stack.enter_context(each) for each in bind_group("127.0.0.1", 0, 2)]
        steer(group[0], [1])
        client = stack.enter_context(socket.create_connection(group[0].getsockname()[:2]))
        steer(group[0], [0])
        accepted = stack.enter_context(group[1].accept()[0])
        client.sendall(b"still here")
        accepted.setblocking(True)
        assert accepted.recv(100) == b"still here"


@pytest.mark.parametrize("count", [1, 2])
def test_a_port_that_others_have_is_not_shared_with_them(count: int) -> None:
    """Not even with those who would share theirs."""
    with ExitStack() as stack:
        group = [stack.enter_context(each) for each in bind_group("127.0.0.1", 0, 2)]
        port = group[0].getsockname()[1]
        for attempt in (lambda: bind("127.0.0.1", port), lambda: bind_group("127.0.0.1", port, count)):
            with pytest.raises(StartError) as caught:
                attempt()
            assert caught.value.code == "port_in_use"
        assert set(spread(group)) == {0, 1}
    bind("127.0.0.1", port).close()


def test_a_unix_socket_takes_the_place_of_what_a_dead_process_left(tmp_path: Path) -> None:
    path = socket_path(tmp_path, "n1")
    bind_unix(path).close()  # a closed socket leaves its file
    assert stat.S_ISSOCK(path.stat().st_mode)
    with bind_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_path_too_long_for_a_socket_is_said_with_its_length(tmp_path: Path) -> None:
    room = LONGEST_PATH - len(os.fsencode(tmp_path)) - len("/.sock")
    if room < 1:
        pytest.skip("the temporary folder has too long a name")
    bind_unix(socket_path(tmp_path, "n" * room)).close()
    with pytest.raises(StartError, match=f"has {LONGEST_PATH + 1} bytes.*TMPDIR") as caught:
        bind_unix(socket_path(tmp_path, "n" * (room + 1)))
    assert caught.value.code == "address_unusable"
    with pytest.raises(StartError) as caught:
        bind_unix(tmp_path / "missing" / "n1.sock")
    assert caught.value.code == "address_unusable"
