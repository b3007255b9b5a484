"""The port that several workers share.

Each worker accepts from a listening socket of its own; the kernel chooses the socket for each new connection, by a
program that knows which workers can be expected to answer (core/steering.py). The supervisor holds all of the sockets,
so that one whose worker has died stays: connections that already wait at it are served by the worker's next run,
and new ones go to the others meanwhile. Nobody is refused.

Tried instead, with 2,000 connections to four workers:
- One socket from which all accept. The worker that wakes up first takes the connection: 193 to 785 of them, at 300 a
  second, where chance among sockets gives 483 to 520.
- A supervisor that accepts and passes descriptors on. Exactly even, but 30 to 70 µs of CPU more for each connection, in
  a process that all of them wait for.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from loguru import logger

from wsplatform.core.steering import choose
from wsplatform.net.listen import steer


class Door:
    """`sockets`: of the workers, by their numbers from 0."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.sockets = tuple(sockets)
        self._chosen: tuple[int, ...] = ()
        self._can_steer = True

    def point(self, ranks: Sequence[int]) -> None:
        """New connections go to the workers of the highest rank."""
        chosen = choose(ranks)
        if chosen == self._chosen or not self._can_steer:
            return
        try:
            steer(self.sockets[0], chosen)
        except OSError as error:
            self._can_steer = False
            logger.warning(
                "This kernel takes no program for a shared port ({}): connections for a worker that has died wait"
                " until it runs again",
                error.strerror,
            )
        self._chosen = chosen
