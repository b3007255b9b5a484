"""Hosts on one machine, each in a network namespace of its own, and what can go wrong between two of them.

They hang on a bridge in a namespace; the tests reach them over one more cable. Needs root, iproute2 and nftables.
"""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Self

from tests.support.processes import Host

_DELAY = (sys.executable, "-m", "tests.support.delay")
_MESH: Final = "0x" + b"GET /cluster/mes".hex()  # what the websocket between two nodes begins with, as far as nft looks
_MARK: Final = "7"


class Network:
    """`with Network(4) as network`: network.hosts[0] to [3]. Faults are on packets by their sender."""

    def __init__(self, count: int) -> None:
        self._name = f"wsp{secrets.token_hex(2)}"
        # Addresses of the range for benchmarks, RFC 2544; any of its networks, for several runs at a time.
        self._net = f"198.18.{random.randrange(256)}"
        self._namespaces = [f"{self._name}-{number}" for number in range(count)]
        self.hosts = tuple(
            Host(f"{self._net}.{number + 1}", ("ip", "netns", "exec", name))
            for number, name in enumerate(self._namespaces)
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def lose(self, sender: Host, receiver: Host, percent: int = 100) -> None:
        """Packets from one to the other are lost from now on; the other direction stays as it is."""
        chance = () if percent == 100 else ("numgen", "random", "mod", "100", "<", str(percent))
        name = self._namespaces[self.hosts.index(receiver)]
        _inside(
            name, "nft", "add", "rule", "inet", "faults", "arriving", "ip", "saddr", sender.address, *chance, "drop"
        )

    def cut(self, one: Host, other: Host) -> None:
        """Nothing passes between the two; nobody is told."""
        self.lose(one, other)
        self.lose(other, one)

    def delay(self, host: Host, seconds: float) -> None:
        """Whatever comes to or from this host takes so much longer, until the end of the network."""
        number = self.hosts.index(host)
        plug, near, far = f"{self._name}p{number}", f"{self._name}n{number}", f"{self._name}f{number}"
        switch = f"{self._name}-switch"
        for name in self._namespaces:
            _inside(name, *_DELAY, "whole", "eth0")
        _run(*_DELAY, "whole", f"{self._name}here")
        _inside(switch, "ip", "link", "set", plug, "nomaster")
        _inside(switch, "ip", "link", "add", near, "type", "veth", "peer", "name", far)
        for device in (near, far):
            _inside(switch, "ip", "link", "set", device, "up")
        self._stack.enter_context(_slow_cable(switch, seconds, plug, near))
        _inside(switch, "ip", "link", "set", far, "master", "bridge")

    def drop_websockets(self, one: Host, other: Host) -> None:
        """As a firewall that looks inside: what belongs to a websocket between two nodes is lost, the rest passes."""
        for sender, receiver in ((one, other), (other, one)):
            name = self._namespaces[self.hosts.index(receiver)]
            where = ("faults", "arriving", "ip", "saddr", sender.address)
            _inside(name, "nft", "add", "rule", "inet", *where, "ct", "mark", _MARK, "drop")
            where = ("faults", "leaving", "ip", "daddr", sender.address)
            _inside(name, "nft", "add", "rule", "inet", *where, "ct", "mark", _MARK, "drop")

    def heal(self) -> None:
        """End all faults."""
        for name in self._namespaces:
            for chain in ("arriving", "leaving"):
                _inside(name, "nft", "flush", "chain", "inet", "faults", chain)

    def _build(self) -> None:
        switch = f"{self._name}-switch"
        for name in (switch, *self._namespaces):
            _run("ip", "netns", "add", name)
            self._stack.callback(_run, "ip", "netns", "del", name)
        _inside(switch, "ip", "link", "add", "bridge", "type", "bridge")
        _inside(switch, "ip", "link", "set", "bridge", "up")
        for number, name in enumerate(self._namespaces):
            plug = f"{self._name}p{number}"
            _run("ip", "link", "add", plug, "netns", switch, "type", "veth", "peer", "name", "eth0", "netns", name)
            _inside(switch, "ip", "link", "set", plug, "master", "bridge", "up")
            _inside(name, "ip", "address", "add", f"{self.hosts[number].address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _inside(name, "ip", "link", "set", device, "up")
            _inside(name, "nft", "add", "table", "inet", "faults")
            _inside(name, "nft", "add chain inet faults websockets { type filter hook input priority -1; }")
            _inside(name, "nft", f"add rule inet faults websockets @ih,0,128 {_MESH} ct mark set {_MARK}")
            _inside(name, "nft", "add chain inet faults arriving { type filter hook input priority 0; }")
            _inside(name, "nft", "add chain inet faults leaving { type filter hook output priority 0; }")
        here = f"{self._name}here"
        _run("ip", "link", "add", here, "type", "veth", "peer", "name", "tests", "netns", switch)
        self._stack.callback(_run, "ip", "link", "del", here)
        _inside(switch, "ip", "link", "set", "tests", "master", "bridge", "up")
        _run("ip", "address", "add", f"{self._net}.254/24", "dev", here)
        _run("ip", "link", "set", here, "up")


@contextmanager
def _slow_cable(namespace: str, seconds: float, *devices: str) -> Iterator[None]:
    command = ["ip", "netns", "exec", namespace, *_DELAY, str(seconds), *devices]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as cable:
        try:
            assert cable.stdout is not None
            assert cable.stdout.readline()
            yield
        finally:
            cable.kill()


def _inside(namespace: str, *command: str) -> None:
    _run("ip", "netns", "exec", namespace, *command)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=10)
