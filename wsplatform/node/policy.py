"""What the registry says may be done: channel rules and API keys, as this node last got them."""

from __future__ import annotations

from collections.abc import Callable

from wsplatform.core.channels import RuleBook, valid_channel
from wsplatform.core.keys import KeyRing
from wsplatform.errors import BAD_REQUEST, INTERNAL, PERMISSION_DENIED, UNKNOWN_CHANNEL, CommandError
from wsplatform.model import RESERVED_PREFIX, ApiKey, ChannelRule, ClusterConfig

MAX_CACHED = 100_000
"""Channel names whose rule is remembered: some 20 MB at the most."""


class Policy:
    """Holds while the registry is away. `loaded`: a configuration has arrived; before, nothing is admitted."""

    def __init__(self) -> None:
        self.loaded = False
        self._rules: tuple[ChannelRule, ...] = ()
        self._book = RuleBook(())
        self._keys = KeyRing(())
        self._cache: dict[str, ChannelRule] = {}
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after each change of the rules."""
        self._listeners.append(listener)

    def update(self, config: ClusterConfig) -> None:
        self._keys = KeyRing(config.keys)
        changed = not self.loaded or config.rules != self._rules
        self.loaded = True
        if changed:
            self._rules = config.rules
            self._book = RuleBook(config.rules)
            self._cache.clear()
            for listener in self._listeners:
                listener()

    def rule(self, channel: str) -> ChannelRule:
        """The rule that holds for the channel.

        Raises CommandError: BAD_REQUEST (not a name), PERMISSION_DENIED (the platform's own), UNKNOWN_CHANNEL (no
        rule admits it), or INTERNAL, which is temporary, before the rules have arrived.
        """
        return self._cache.get(channel) or self._find(channel)

    def key(self, text: str) -> ApiKey | None:
        """The API key whose text this is."""
        return self._keys.find(text)

    def has(self, key: ApiKey) -> bool:
        """Whether `key`, which was found before, is still there and the same."""
        return self._keys.get(key.id) == key

    def _find(self, channel: str) -> ChannelRule:
        if not valid_channel(channel):
            raise CommandError(
                BAD_REQUEST, "channel: 1 to 255 bytes without *, control characters or outer white space"
            )
        if channel.startswith(RESERVED_PREFIX):
            raise CommandError(PERMISSION_DENIED, f"channels that begin with {RESERVED_PREFIX} are the platform's own")
        if not self.loaded:
            raise CommandError(INTERNAL, "this node has no channel rules yet: try again")
        rule = self._book.match(channel)
        if rule is None:
            raise CommandError(UNKNOWN_CHANNEL)
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()  # cheaper than to know which names are used, and soon full of those that are
        self._cache[channel] = rule
        return rule
