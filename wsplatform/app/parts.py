"""What the parts of one process have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wsplatform.app.addresses import Addresses
from wsplatform.core.handshake import Identity, Role
from wsplatform.core.metrics import Measured
from wsplatform.model import Instance
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.net.tls import Tls
from wsplatform.node.process import LoopLag, ProcessReadings
from wsplatform.settings import Settings


@dataclass(frozen=True, slots=True)
class Process:
    settings: Settings
    instance: Instance
    addresses: Addresses
    tasks: Tasks
    sweep: Sweep
    tls: Tls
    readings: ProcessReadings
    lag: LoopLag

    @property
    def measured(self) -> Sequence[Measured]:
        """What counts in every process."""
        return (self.readings, self.lag)

    def identity(self, role: Role) -> Identity:
        cluster = self.settings.cluster
        return Identity(cluster.name, role, self.instance, cluster.secrets)
