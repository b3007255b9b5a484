from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.api_nodes import Nodes


@pytest.fixture
async def node() -> AsyncIterator[Nodes]:
    """One node alone."""
    async with Nodes(1) as nodes:
        yield nodes


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """Three nodes, each of which knows what the others want."""
    async with Nodes(3) as nodes:
        await nodes.settled()
        yield nodes
