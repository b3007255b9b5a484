"""The whole cluster's answers to the server API: every node is asked, this one without a detour."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from loguru import logger

from wsplatform.core.glob import Glob
from wsplatform.errors import (
    FORCE_NO_RECONNECT,
    INTERNAL,
    LIMIT_EXCEEDED,
    PERMISSION_DENIED,
    UNKNOWN_CHANNEL,
    CommandError,
)
from wsplatform.node.local_directory import LocalDirectory
from wsplatform.node.survey import NOT_SENT, UNKNOWN_METHOD, Survey
from wsplatform.wire import directory as wire
from wsplatform.wire import server_api as api
from wsplatform.wire.questions import QuestionError

METHOD = "directory"
"""The name under which nodes ask each other."""

_TOO_LARGE = wire.Failed(LIMIT_EXCEEDED.number, "the answer does not fit into a message: ask for less")
_KINDS = {kind.number: kind for kind in (UNKNOWN_CHANNEL, PERMISSION_DENIED, LIMIT_EXCEEDED)}


class Directory:
    """Waits at most `seconds` for the other nodes, and not at all when there are none.

    Every method raises CommandError: INTERNAL, which names the nodes that did not answer in time, or what a node could
    not do. What an order asks for is done then on the nodes that did answer, and it can be given again.
    """

    def __init__(self, local: LocalDirectory, survey: Survey, seconds: float) -> None:
        self._local = local
        self._survey = survey
        self._seconds = seconds
        survey.serve_late(METHOD, local.serve)

    async def channels(self, pattern: str) -> Mapping[str, int]:
        """Subscribers by channel, of the channels that match (core/glob.py; empty: all) and have any."""
        Glob(pattern)
        counts: Counter[str] = Counter()
        for answer in await self._ask(wire.ListChannels(pattern)):
            if isinstance(answer, wire.ChannelList):
                counts.update(answer.counts)
        return counts

    async def info(self) -> Sequence[api.NodeInfo]:
        """All nodes, by name."""
        answers = await self._ask(wire.DescribeNode())
        nodes = [answer.node for answer in answers if isinstance(answer, wire.Description)]
        return sorted(nodes, key=lambda node: node.name)

    async def disconnect(self, request: api.Disconnect) -> None:
        advice = request.disconnect or api.DisconnectAdvice(FORCE_NO_RECONNECT.code, FORCE_NO_RECONNECT.reason)
        keep = frozenset(request.whitelist or ())
        await self._ask(wire.EndSessions(request.user, request.client or "", keep, advice.code, advice.reason))

    async def unsubscribe(self, request: api.Unsubscribe) -> None:
        await self._ask(wire.EndSubscriptions(request.user, request.client or "", request.channel))

    async def subscribe(self, request: api.Subscribe) -> None:
        await self._ask(wire.Subscribe(request.user, request.client or "", request.channel))

    async def _ask(self, question: wire.Question) -> Sequence[wire.Answer]:
        """The answers of all nodes. Raises CommandError when one is missing, or says that it could not."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        own: asyncio.Future[wire.Answer] = loop.create_future()
        self._local.ask(question, own.set_result)
        others = await self._survey.ask(METHOD, wire.encode(question), self._seconds)
        if not own.done():
            await asyncio.wait((own,), timeout=deadline - loop.time())
        answers = _decode(others.replies)
        answers |= {node_id: _TOO_LARGE for node_id, code in others.errors.items() if code == NOT_SENT}
        if own.done():
            answers[self._local.node_id] = own.result()
        # A peer that does not know the question is none that holds clients.
        asked = {self._local.node_id, *others.replies, *others.missing, *others.errors}
        clientless = {node_id for node_id, code in others.errors.items() if code == UNKNOWN_METHOD}
        self._check(answers, sorted(asked - clientless - answers.keys()))
        return tuple(answers.values())

    def _check(self, answers: Mapping[str, wire.Answer], missing: Sequence[str]) -> None:
        failed = {node_id: answer for node_id, answer in answers.items() if isinstance(answer, wire.Failed)}
        why = "".join(f" On {node_id}: {answer.message}." for node_id, answer in sorted(failed.items()))
        if missing:
            silent = f"No answer within {self._seconds:g} s from {', '.join(missing)}; all others have done their part."
            raise CommandError(INTERNAL, f"{silent}{why} Try again.")
        if failed:
            kind = _KINDS.get(min(answer.number for answer in failed.values()), INTERNAL)
            raise CommandError(kind, why.strip())


def _decode(replies: Mapping[str, bytes]) -> dict[str, wire.Answer]:
    """Without those that cannot be read."""
    answers: dict[str, wire.Answer] = {}
    for node_id, reply in replies.items():
        try:
            answers[node_id] = wire.decode_answer(reply)
        except QuestionError as error:
            logger.warning("The answer of node {} cannot be read: {}", node_id, error.message)
    return answers
