"""What the cluster has counted: values over time, the catalogue of metrics, and the busiest channels now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

import msgspec
from sanic import HTTPResponse

from wsplatform.core.metrics import CATALOGUE, Kind, Unit
from wsplatform.core.series import AGGREGATIONS, Aggregation, Asked, By
from wsplatform.registry.records import Answer, Busiest
from wsplatform.web.admin.requests import page
from wsplatform.web.admin.routes import Call, Reply, Route, json_reply
from wsplatform.web.admin.types import MAX_TEXT, PageQuery

_LATEST = 253_402_300_799  # the end of the year 9999
_Moment = Annotated[float, msgspec.Meta(ge=0, le=_LATEST)]


class Metrics(Protocol):
    """What is known (registry/metrics.py: Metrics)."""

    async def answer(self, asked: Asked) -> Answer: ...

    def busiest(self) -> Mapping[str, Busiest]: ...


class MetricQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    metric: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="Its name in the catalogue.")]
    node: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="Of this node; empty: of all together.")] = ""
    label: Annotated[
        str, msgspec.Meta(max_length=MAX_TEXT, description="With this value of its label; empty: of all together.")
    ] = ""
    by: Annotated[By, msgspec.Meta(description="What has a series of its own; empty: one series of everything.")] = ""
    begin: Annotated[
        _Moment | None,
        msgspec.Meta(description="Unix time, rounded down to a whole step. Without it: an hour before `to`."),
    ] = msgspec.field(default=None, name="from")
    to: Annotated[
        _Moment | None, msgspec.Meta(description="Unix time, rounded up to a whole step. Without it: now.")
    ] = None
    step: Annotated[
        Annotated[int, msgspec.Meta(ge=10, le=31_536_000)] | None,
        msgspec.Meta(description="Seconds, a multiple of 10. Without it: one that makes at most 300 points."),
    ] = None
    aggregation: Annotated[
        Aggregation,
        msgspec.Meta(
            description="What to make of the values of a step: of a counter rate or sum; of a gauge sum (of the nodes' "
            "means), mean, min, max (of all values) or last (of each node, added); of a histogram a percentile, max, "
            "count or rate. Empty: the default of the metric, which the catalogue tells."
        ),
    ] = ""
    most: Annotated[
        int,
        msgspec.Meta(ge=0, le=1000, description="How many series at most, those with the largest sums; 0: all."),
    ] = 0


class MetricSeries(msgspec.Struct, frozen=True, kw_only=True):
    """node, label: empty where all are together. values: one for each step from `from` on, null where nobody reported.

    partial: the sum or count of the step that `until` is in, which is null among the values because it still grows;
    else null.
    """

    node: str
    label: str
    values: list[float | None]
    partial: float | None


class MetricAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Values over time. from, to, until: Unix times; step: seconds.

    until: up to when all nodes have reported. What begins later is null. Of a step that `until` is in, rates are over
    the time up to then, so that the newest value of a chart is no drop; sums and counts are in `partial`.
    left_out: how many series are not here because of `most`.
    """

    metric: str
    kind: Kind
    unit: Unit
    aggregation: Aggregation
    begin: int = msgspec.field(name="from")
    to: int
    step: int
    until: int
    series: list[MetricSeries]
    left_out: int


class CatalogueItem(msgspec.Struct, frozen=True, kw_only=True):
    """A metric. label: the name of its label, empty if it has none. aggregations: those that it has."""

    name: str
    kind: Kind
    unit: Unit
    help: str
    label: str
    aggregations: list[Aggregation]
    default: Aggregation


class CataloguePage(msgspec.Struct, frozen=True, kw_only=True):
    """next: cursor of the next page, null at the end."""

    items: list[CatalogueItem]
    next: str | None


class BusiestQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    by: Annotated[Literal["publications", "subscribers"], msgspec.Meta(description="What they have most of.")] = (
        "publications"
    )
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000, description="How many items at most.")] = 100


class NodeShare(msgspec.Struct, frozen=True, kw_only=True):
    """A channel on a node. publications: per second, published or delivered there."""

    publications: float
    subscribers: int


class BusyItem(msgspec.Struct, frozen=True, kw_only=True):
    """publications: per second, as the node that has most of them counts; subscribers: of all nodes that tell of it."""

    channel: str
    publications: float
    subscribers: int
    nodes: dict[str, NodeShare]


class BusiestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The busiest first, of what each node tells: its busiest ones. as_of: Unix time of the newest report, or null."""

    items: list[BusyItem]
    as_of: float | None


def metric_routes(metrics: Metrics) -> tuple[Route[Any, Any], ...]:
    area = _Metrics(metrics)
    return (
        Route(
            "GET",
            "/metrics",
            "query_metrics",
            area.query,
            "Values of a metric over time",
            {200: Reply("By node and label.", MetricAnswer)},
            query=MetricQuery,
            refusals=(500, 503),
        ),
        Route(
            "GET",
            "/metrics/catalogue",
            "list_metrics",
            area.catalogue,
            "The metrics that there are",
            {200: Reply("By name.", CataloguePage)},
            query=PageQuery,
        ),
        Route(
            "GET",
            "/metrics/busiest",
            "busiest_channels",
            area.busiest,
            "The channels with most publications or subscribers",
            {200: Reply("The busiest first.", BusiestAnswer)},
            query=BusiestQuery,
        ),
    )


class _Metrics:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def query(self, call: Call[MetricQuery, None]) -> HTTPResponse:
        query = call.query
        asked = Asked(
            metric=query.metric,
            node=query.node,
            label=query.label,
            by=query.by,
            begin=query.begin,
            end=query.to,
            step=query.step,
            aggregation=query.aggregation,
            most=query.most,
        )
        found = await self._metrics.answer(asked)
        question = found.asked
        return json_reply(
            MetricAnswer(
                metric=question.metric.name,
                kind=question.metric.kind,
                unit=question.metric.unit,
                aggregation=question.aggregation,
                begin=question.begin,
                to=question.end,
                step=question.step,
                until=found.until,
                series=[
                    MetricSeries(node=one.node, label=one.label, values=one.values, partial=one.partial)
                    for one in found.series
                ],
                left_out=found.left_out,
            )
        )

    async def catalogue(self, call: Call[PageQuery, None]) -> HTTPResponse:
        taken, following = page(sorted(CATALOGUE.items()), lambda item: item[0], str, call.query)
        items = [
            CatalogueItem(
                name=metric.name,
                kind=metric.kind,
                unit=metric.unit,
                help=metric.help,
                label=metric.label,
                aggregations=list(AGGREGATIONS[metric.kind]),
                default=AGGREGATIONS[metric.kind][0],
            )
            for _, metric in taken
        ]
        return json_reply(CataloguePage(items=items, next=following))

    async def busiest(self, call: Call[BusiestQuery, None]) -> HTTPResponse:
        told = self._metrics.busiest()
        items = _busiest(told)
        if call.query.by == "publications":
            items.sort(key=lambda item: (-item.publications, item.channel))
        else:
            items.sort(key=lambda item: (-item.subscribers, item.channel))
        as_of = max((one.ended for one in told.values()), default=None)
        return json_reply(BusiestAnswer(items=items[: call.query.limit], as_of=as_of))


def _busiest(told: Mapping[str, Busiest]) -> list[BusyItem]:
    channels: dict[str, dict[str, NodeShare]] = {}
    for node, one in sorted(told.items()):
        for busy in one.channels:
            share = NodeShare(
                publications=max(busy.publications, 0) / one.seconds, subscribers=max(busy.subscribers, 0)
            )
            channels.setdefault(busy.channel, {})[node] = share
    return [
        BusyItem(
            channel=channel,
            publications=max(share.publications for share in nodes.values()),
            subscribers=sum(share.subscribers for share in nodes.values()),
            nodes=nodes,
        )
        for channel, nodes in channels.items()
    ]
