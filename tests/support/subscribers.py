from __future__ import annotations

from wsplatform.node.subscriptions import Subscriptions


def subscribers(subscriptions: Subscriptions) -> dict[str, int]:
    """How many, by channel that has any."""
    counts = {name: subscriptions.subscribers(name) for name in subscriptions.names()}
    return {name: count for name, count in counts.items() if count}
