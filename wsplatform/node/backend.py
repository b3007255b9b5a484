"""What backends may have done, each within the limits of its key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from loguru import logger

from wsplatform.core.channels import MAX_BYTES, Pattern
from wsplatform.core.throttle import Throttle
from wsplatform.errors import INTERNAL, LIMIT_EXCEEDED, PERMISSION_DENIED, CommandError
from wsplatform.model import RESERVED_PREFIX, ApiKey, ChannelRule, Publication
from wsplatform.node.counts import ApiCounts
from wsplatform.node.directory import Directory
from wsplatform.node.policy import Policy
from wsplatform.node.publisher import Publisher
from wsplatform.wire import server_api as api

BATCH_SECONDS = 30.0
"""A batch that takes longer is ended: what is left of it is answered with a temporary error."""

_LOG_SECONDS = 60.0

TURN = 256
"""Commands, or channels of a broadcast, that are carried out before other work gets its turn."""

TURN_BYTES = 4_194_304
"""The same for a broadcast of large data: it is encoded anew for each channel that has subscribers."""


class Backend:
    """Carries out the commands of the server API. `max_bytes`: of one publication, its tags included."""

    def __init__(self, policy: Policy, publisher: Publisher, directory: Directory, max_bytes: int) -> None:
        self.counts = ApiCounts()
        self._policy = policy
        self._publisher = publisher
        self._directory = directory
        self._max_bytes = max_bytes
        self._throttle = Throttle(_LOG_SECONDS)
        self._reach: dict[tuple[str, ...], tuple[Pattern, ...]] = {}

    async def run(self, key: ApiKey, request: api.Command) -> api.Reply:
        self.counts.commands[type(request).__name__.lower()] += 1
        try:
            return await self._run(key, request)
        except CommandError as error:
            self._tell(key, request, error)
            return self.failure(error)

    def publish(self, channel: str, publication: Publication) -> None:
        """For an operator, whom no key limits. Raises CommandError."""
        self._publish(_OPERATOR, channel, (publication, size_of(publication, self._max_bytes)))

    async def run_batch(self, key: ApiKey, batch: api.Batch) -> list[tuple[str, api.Reply]]:
        """The method and reply of each command, carried out one after the other."""
        now = asyncio.get_running_loop().time
        deadline = now() + BATCH_SECONDS
        replies: list[tuple[str, api.Reply]] = []
        for command in batch.commands:
            if now() > deadline:
                late = CommandError(INTERNAL, f"Not carried out: the batch took more than {BATCH_SECONDS:.0f} s.")
                replies.append(("", self.failure(late)))
                continue
            try:
                method, request = api.decode_command(command)
            except CommandError as error:
                replies.append(("", self.failure(error)))
                continue
            replies.append((method, await self.run(key, request)))
            if not len(replies) % TURN:
                await asyncio.sleep(0)
        return replies

    def failure(self, error: CommandError) -> api.Reply:
        """The reply; it is counted."""
        self.counts.errors[error.code] += 1
        return api.failure(error)

    def _tell(self, key: ApiKey, request: api.Command, error: CommandError) -> None:
        """The log names whose fault it is: counts know the error only."""
        held_back = self._throttle.allow(f"{key.id} {error.code}", asyncio.get_running_loop().time())
        if held_back is None:
            return
        method = type(request).__name__.lower()
        channel = getattr(request, "channel", "")
        where = f" on {channel[:MAX_BYTES]!r}" if channel else ""
        more = f" ({held_back} more since the last such line)" if held_back else ""
        logger.info("Backend with key {!r} ({}): {}{} refused: {}{}", key.name, key.id, method, where, error, more)

    async def _run(self, key: ApiKey, request: api.Command) -> api.Reply:
        match request:
            case api.Publish():
                self._publish(key, request.channel, self._publication(request))
            case api.Broadcast():
                return api.Reply(result=api.BroadcastResult(await self._broadcast(key, request)))
            case api.Channels():
                reach = self._reach_of(key)
                counts = await self._directory.channels(request.pattern or "")
                named = {name: api.ChannelInfo(count) for name, count in counts.items() if _within(reach, name)}
                return api.Reply(result=api.ChannelsResult(named))
            case api.Info():
                return api.Reply(result=api.InfoResult(await self._directory.info()))
            case api.Disconnect():
                if key.channels:
                    raise CommandError(PERMISSION_DENIED, f"{_limited(key)} A disconnect ends all of them.")
                await self._directory.disconnect(request)
            case api.Unsubscribe():
                self._admit(key, request.channel)
                await self._directory.unsubscribe(request)
            case api.Subscribe():
                self._admit(key, request.channel)
                await self._directory.subscribe(request)
        return api.DONE

    def _publication(self, request: api.Publish | api.Broadcast) -> tuple[Publication, int]:
        publication = request.publication()
        return publication, size_of(publication, self._max_bytes)

    def _publish(self, key: ApiKey, channel: str, sized: tuple[Publication, int]) -> None:
        publication, size = sized
        rule = self._admit(key, channel)
        if 0 < rule.max_bytes < size:
            raise CommandError(LIMIT_EXCEEDED, f"data: {size} bytes, the channel's rule accepts {rule.max_bytes}")
        self._publisher.publish(channel, publication)

    async def _broadcast(self, key: ApiKey, request: api.Broadcast) -> Sequence[api.Reply]:
        sized = self._publication(request)
        self.counts.broadcasts += 1
        turn = max(1, min(TURN, TURN_BYTES // max(1, sized[1])))
        responses: list[api.Reply] = []
        for channel in request.channels:
            try:
                self._publish(key, channel, sized)
                responses.append(api.DONE)
            except CommandError as error:
                responses.append(self.failure(error))
            if not len(responses) % turn:
                await asyncio.sleep(0)
        return responses

    def _admit(self, key: ApiKey, channel: str) -> ChannelRule:
        """The channel's rule. Raises CommandError when the key may not use the channel, or no rule admits it."""
        if channel.startswith(RESERVED_PREFIX):
            raise CommandError(PERMISSION_DENIED, f"Channels that begin with {RESERVED_PREFIX} are the platform's own.")
        if not _within(self._reach_of(key), channel):
            raise CommandError(PERMISSION_DENIED, _limited(key))
        return self._policy.rule(channel)

    def _reach_of(self, key: ApiKey) -> tuple[Pattern, ...]:
        """The key's patterns, ready to match; none: it reaches every channel."""
        if not key.channels:
            return ()
        reach = self._reach.get(key.channels)
        if reach is None:
            if len(self._reach) >= 1024:
                self._reach.clear()  # keys that are gone; there are never so many at a time that matter
            reach = self._reach[key.channels] = tuple(map(Pattern, key.channels))
        return reach


def size_of(publication: Publication, limit: int) -> int:
    """In bytes, its tags included. Raises CommandError when that is more than `limit`."""
    tags = publication.tags or {}
    size = len(memoryview(publication.data)) + sum(len(name) + len(value) for name, value in tags.items())
    if size > limit:
        raise CommandError(LIMIT_EXCEEDED, f"data: {size} bytes, at most {limit} are accepted")
    return size


_OPERATOR = ApiKey(id="", name="", digest="", scopes=("api",))


def _within(reach: Sequence[Pattern], channel: str) -> bool:
    return not reach or any(pattern.matches(channel) for pattern in reach)


def _limited(key: ApiKey) -> str:
    return f"This API key is limited to the channels {', '.join(key.channels)}."
