"""A registry that is killed in the middle of writing."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from tests.integration.registry.support import running

ROUNDS = 6


async def churn_until_killed(database: Path | str, lines: int) -> list[tuple[str, int]]:
    """What a registry process said until it was killed, after at least `lines` answers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.registry.churn", str(database), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said = b""
    while said.count(b"\n") < lines:
        part = await process.stdout.read(4096)
        assert part, "the registry ended by itself"
        said += part
    process.send_signal(signal.SIGKILL)
    said += await process.stdout.read()
    await process.wait()
    whole = said[: said.rfind(b"\n")].decode().split("\n")
    return [(kind, int(number)) for kind, number in (line.split() for line in whole)]


async def crash_again_and_again(database: Path | str) -> None:
    newest = {"view": 0, "config": 0}
    for turn in range(ROUNDS):
        said = await churn_until_killed(database, lines=20 + 37 * turn)
        for kind, before in tuple(newest.items()):
            numbers = [number for what, number in said if what == kind]
            assert numbers[0] >= before
            assert numbers == sorted(numbers)
            newest[kind] = numbers[-1]
    async with running(database) as registry:
        assert registry.view.number >= newest["view"]
        assert registry.configuration.config.version >= newest["config"]
        assert {rule.pattern for rule in registry.configuration.rules()} <= {f"c{number}" for number in range(20)}


async def test_what_was_answered_is_there_and_no_number_goes_back(file):
    await crash_again_and_again(file)
