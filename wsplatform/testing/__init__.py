"""What authors of transports import to prove them (docs/writing-a-transport.md)."""

from wsplatform.testing.transport_contract import OneLoopContract, TransportContract

__all__ = ["OneLoopContract", "TransportContract"]
