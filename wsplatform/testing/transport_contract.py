"""What every transport has to keep to (transports/base.py), as tests. An author proves a transport with one class:

    class TestMine(TransportContract):
        def create(self, context: TransportContext) -> Transport:
            return mine.create(context)

The cases are plain methods, which pytest finds; each runs an event loop of its own (`loop_factory`). They know nothing
but the port. A transport with the ability Inbound gets a listener on a loopback port.

Without a fault nothing that was accepted may be lost. Where a case brings a fault about (`cut`, a node that stands
still), a carrier may lose, and never double or reorder: the cases send again, as the link above does.
"""

from __future__ import annotations

from wsplatform.testing.contract.carriage import Carriage
from wsplatform.testing.contract.ending import Ending
from wsplatform.testing.contract.presence import Presence
from wsplatform.testing.contract.silence import OwnStall, Silence


class OneLoopContract(Presence, Carriage, OwnStall, Ending):
    """For a transport whose nodes all live on one event loop: without the cases in which one of them stands still."""


class TransportContract(OneLoopContract, Silence):
    """Override `create`, and where it applies `cut`, `heal`, `address`, `settings`, `loop_factory`, `patience`."""
