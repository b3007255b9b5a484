from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from loguru import logger

from tests.support.nats import Nodes, Server, program


@pytest.fixture(scope="session")
def make_server() -> Callable[..., Server]:
    """(lines of its configuration) -> a server that is not started."""

    def make(options: str = "") -> Server:
        path = program()
        if path is None:
            pytest.skip("nats-server is not installed")
        return Server(path, options)

    return make


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Iterator[Server]:
    with make_server() as server:
        yield server


@pytest.fixture
async def nodes(server: Server) -> AsyncIterator[Nodes]:
    nodes = Nodes(server)
    yield nodes
    await nodes.stop()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, diagnose=False)  # type: ignore[arg-type]
    yield lines
    logger.remove(sink)
