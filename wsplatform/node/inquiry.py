"""Questions of the admin API to all nodes, or to one: this process's, without a detour, and those of its peers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from loguru import logger

from wsplatform.errors import (
    BAD_REQUEST,
    INTERNAL,
    LIMIT_EXCEEDED,
    PERMISSION_DENIED,
    TOO_MANY_REQUESTS,
    UNKNOWN_CHANNEL,
    CommandError,
)
from wsplatform.model import Publication
from wsplatform.node.inspection import Inspection
from wsplatform.node.survey import Answers, LateHandler
from wsplatform.wire import inspect as wire
from wsplatform.wire.questions import QuestionError

_KINDS = {
    kind.number: kind for kind in (BAD_REQUEST, LIMIT_EXCEEDED, PERMISSION_DENIED, TOO_MANY_REQUESTS, UNKNOWN_CHANNEL)
}


@dataclass(frozen=True, slots=True)
class Findings:
    """By node id. missing: nodes that did not answer in time, or do not know the question."""

    answers: dict[str, wire.Answer]
    missing: tuple[str, ...]


class Peers(Protocol):
    """node/survey.py: Survey."""

    def serve_late(self, method: str, handler: LateHandler) -> None: ...
    async def ask(self, method: str, params: bytes, timeout: float, only: str = ...) -> Answers: ...


class Inquiry:
    """`seconds`: how long answers are waited for. `local`: the node of this process, None where there is none."""

    def __init__(self, survey: Peers, seconds: float, local: Inspection | None = None) -> None:
        self._survey = survey
        self._seconds = seconds
        self._local = local
        if local is not None:
            survey.serve_late(wire.METHOD, local.serve)

    async def ask(self, question: wire.Question, node_id: str = "") -> Findings:
        """The answers of all nodes, or of the one that is named."""
        loop = asyncio.get_running_loop()
        own: asyncio.Future[wire.Answer] | None = None
        deadline = loop.time() + self._seconds
        if self._local is not None and node_id in ("", self._local.instance.node_id):
            own = loop.create_future()
            self._local.ask(question, own.set_result)
        others = await self._survey.ask(wire.METHOD, wire.encode(question), self._seconds, node_id)
        answers = _decoded(others.replies)
        missing = {*others.missing, *others.errors, *others.replies} - answers.keys()
        if own is not None and self._local is not None:
            await asyncio.wait((own,), timeout=deadline - loop.time())
            if own.done():
                answers[self._local.instance.node_id] = own.result()
            else:
                missing.add(self._local.instance.node_id)
        return Findings(answers, tuple(sorted(missing)))

    async def publish(self, channel: str, publication: Publication, node_id: str) -> None:
        """Have the node publish it for the whole cluster. Raises CommandError; INTERNAL when it has not answered.

        The publication may have gone out all the same then, so it is not given to another node.
        """
        order = wire.PublishHere(channel, bytes(publication.data), publication.tags)
        found = await self.ask(order, node_id)
        answer = found.answers.get(node_id)
        if isinstance(answer, wire.Failed):
            raise CommandError(_KINDS.get(answer.number, INTERNAL), answer.message)
        if answer is None:
            within = f"within {self._seconds:g} s"
            raise CommandError(INTERNAL, f"Node {node_id} has not said {within} whether it was published.")


def _decoded(replies: dict[str, bytes]) -> dict[str, wire.Answer]:
    """Without those that cannot be read."""
    answers = {}
    for node_id, reply in replies.items():
        try:
            answers[node_id] = wire.decode_answer(reply)
        except QuestionError as error:
            logger.warning("The answer of node {} cannot be read: {}", node_id, error.message)
    return answers
