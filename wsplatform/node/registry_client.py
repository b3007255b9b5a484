"""The port from a node to the registry. `registry/service.py` gives the local one, this module the one over HTTP."""

from __future__ import annotations

from typing import Protocol

from wsplatform.model import Heartbeat, HeartbeatReply, Instance, Member, Registration

__all__ = ["Heartbeat", "RegistryClient"]


class RegistryClient(Protocol):
    """Every call raises RegistryUnavailable (temporary) when the registry cannot be asked,

    HandshakeError when it holds another secret or speaks another version, and RequestError with code `superseded` when a
    newer instance has this node's id, or `not_registered` when the registry does not know the instance (any more).
    """

    async def register(self, member: Member) -> Registration: ...

    async def heartbeat(self, beat: Heartbeat) -> HeartbeatReply: ...

    async def leave(self, instance: Instance) -> None: ...

    async def close(self) -> None: ...
