"""A registry process that changes views and rules as fast as it can and says what it has answered; to be killed.

    python -m tests.integration.registry.churn DATABASE         (a file, or a URL)

Lines: `view N` or `config N`, each after the change was committed; the first two are what it found.
"""

from __future__ import annotations

import asyncio
import random
import sys

from tests.integration.registry.support import Node, settings
from wsplatform.model import ChannelRule
from wsplatform.registry.service import Registry


def say(kind: str, number: int) -> None:
    sys.stdout.write(f"{kind} {number}\n")
    sys.stdout.flush()


async def nodes(registry: Registry, name: str) -> None:
    while True:
        node = Node(name, str(random.getrandbits(64)))
        say("view", (await node.register(registry)).view.number)
        if random.random() < 0.5:
            await registry.leave(node.instance)


async def rules(registry: Registry) -> None:
    while True:
        await registry.configuration.set_rule(ChannelRule(pattern=f"c{random.randrange(20)}"))
        say("config", registry.configuration.config.version)


async def main(database: str) -> None:
    registry = Registry(settings(database))
    await registry.start()
    say("view", registry.view.number)
    say("config", registry.configuration.config.version)
    await asyncio.gather(rules(registry), *(nodes(registry, f"n{number}") for number in range(8)))


asyncio.run(main(sys.argv[1]))
