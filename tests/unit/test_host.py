"""The addresses that a node tells the others."""

from __future__ import annotations

import socket

import pytest

from wsplatform.net.host import address_of
from wsplatform.net.listen import bind


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_an_address_of_ones_own_is_told_as_it_is(host: str) -> None:
    with bind(host, 0) as listener:
        assert address_of("ws", host, listener, "http://registry:8000") == f"ws://{host}:{listener.getsockname()[1]}"


def test_who_listens_everywhere_tells_the_address_from_which_it_reaches_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    class Probe(socket.socket):
        """The fault-free way to another network, without one."""

        def connect(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            asked.append(address[0])

        def getsockname(self) -> tuple[str, int]:
            return ("10.0.0.11", 5)

    listener = bind("0.0.0.0", 0)
    port = listener.getsockname()[1]
    monkeypatch.setattr(socket, "socket", Probe)
    assert address_of("ws", "0.0.0.0", listener, "http://10.0.0.10:8000") == f"ws://10.0.0.11:{port}"
    assert asked == ["10.0.0.10"]
    listener.close()


@pytest.mark.parametrize("registry", ["http://127.0.0.1:8000", "http://no.such.host.invalid:8000", ""])
def test_without_a_registry_elsewhere_it_is_the_address_of_the_hosts_name(registry: str) -> None:
    with bind("0.0.0.0", 0) as listener:
        own = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)[0][4][0]
        assert address_of("http", "0.0.0.0", listener, registry) == f"http://{own}:{listener.getsockname()[1]}"
