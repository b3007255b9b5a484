"""The publications of one channel as they come, for an operator who looks on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Raw

from wsplatform.errors import RequestError
from wsplatform.model import ClientInfo, Publication
from wsplatform.web.admin.channels import CHANNEL, check_channel
from wsplatform.web.admin.cluster import Cluster
from wsplatform.web.admin.routes import Call, Reply, Route
from wsplatform.web.admin.streams import MEDIA, Outbox, Stream, event

MAX_WATCHES: Final = 50
"""At a time; other streams must have room as well."""

_WATCHING: Final = event("watching", {})


class Watched(msgspec.Struct, frozen=True):
    """A publication. info: which client published it, null for a backend."""

    data: Raw
    info: ClientInfo | None
    tags: dict[str, str] | None


def watch_routes(cluster: Cluster) -> tuple[Route[Any, Any], ...]:
    area = _Watches(cluster)
    return (
        Route(
            "GET",
            "/channels/{channel}/watch",
            "watch_channel",
            area.watch,
            "See what is published on a channel",
            {200: Reply("Event `watching` once every node knows, then `publication` for each.", Watched, MEDIA)},
            refusals=(403, 503),
            parameters=CHANNEL,
        ),
    )


class _Watches:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._open = 0

    async def watch(self, call: Call[None, None]) -> Stream:
        channel = call.path["channel"]
        check_channel(channel)

        async def feed(outbox: Outbox) -> Callable[[], None]:
            return self._begin(channel, outbox)

        return Stream(feed)

    def _begin(self, channel: str, outbox: Outbox) -> Callable[[], None]:
        if self._open >= MAX_WATCHES:
            raise RequestError(503, "too_many_watches", "As many channels are watched as may be: end a watch.")
        watch = _Watch(outbox)
        stop = self._cluster.watch(channel, watch.heard, watch.known)
        self._open += 1

        def end() -> None:
            self._open -= 1
            stop()

        return end


class _Watch:
    """Tells one reader."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._known = False

    def known(self) -> None:
        self._known = True
        self._outbox.send(_WATCHING)

    def heard(self, publication: Publication) -> None:
        if self._known:  # what some node has sent before that may lack what another one has not
            self._outbox.send(event("publication", Watched(publication.data, publication.info, publication.tags)))
