"""The admin API's way to the nodes (web/admin/cluster.py) in the process of one of them; and where there is none."""

from __future__ import annotations

from collections.abc import Callable

from wsplatform.errors import PlatformError, RequestError
from wsplatform.model import Publication
from wsplatform.node.inquiry import Findings, Inquiry, Peers
from wsplatform.node.inspection import Inspection
from wsplatform.node.watch import Listener, LocalWatch
from wsplatform.wire import inspect as wire


class NodeCluster:
    def __init__(self, local: Inspection, survey: Peers, watch: LocalWatch, seconds: float) -> None:
        self.holder = local.instance.node_id
        self._inquiry = Inquiry(survey, seconds, local)
        self._watch = watch

    async def ask(self, question: wire.Question, node_id: str = "") -> Findings:
        return await self._inquiry.ask(question, node_id)

    async def publish(self, channel: str, publication: Publication) -> None:
        await self._inquiry.publish(channel, publication, self.holder)

    def watch(self, channel: str, listener: Listener, known: Callable[[], None]) -> Callable[[], None]:
        return self._watch.watch(channel, listener, known)


class NoCluster:
    """For a registry that can take no part in the mesh. `why`: what has to be changed."""

    holder = ""

    def __init__(self, why: PlatformError) -> None:
        self._why = why

    async def ask(self, question: wire.Question, node_id: str = "") -> Findings:
        raise self._refusal()

    async def publish(self, channel: str, publication: Publication) -> None:
        raise self._refusal()

    def watch(self, channel: str, listener: Listener, known: Callable[[], None]) -> Callable[[], None]:
        raise self._refusal()

    def _refusal(self) -> RequestError:
        return RequestError(503, "no_mesh", f"The registry cannot ask the nodes. {self._why.message}")
