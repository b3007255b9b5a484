"""What authors of transports import to prove them (docs/writing-a-transport.md)."""

import sys

if "pytest" in sys.modules:  # before the cases are imported: a failed assertion then tells its values
    import pytest

    pytest.register_assert_rewrite("wsplatform.testing.contract")

from wsplatform.testing.transport_contract import OneLoopContract, TransportContract

__all__ = ["OneLoopContract", "TransportContract"]
