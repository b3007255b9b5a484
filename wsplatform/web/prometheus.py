"""`/metrics`: what a process measures, as Prometheus reads it (text 0.0.4), or as OpenMetrics 1.0 where asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Protocol

from prometheus_client import exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from sanic import Blueprint, HTTPResponse, Request

from wsplatform.core.metrics import CATALOGUE, REGISTRY_METRICS, Durations, Measured, Metric, Sample, bucket_of
from wsplatform.errors import RequestError
from wsplatform.model import ApiKey

PATH: Final = "/metrics"
SCOPES: Final = frozenset({"admin", "metrics"})

BOUNDS: Final = tuple(1 << power for power in range(7, 27))
"""Microseconds, 128 to 67 s: each bound of a histogram is one of its buckets, so that what it says is exact."""

_METRICS: Final[Mapping[str, Metric]] = {**CATALOGUE, **REGISTRY_METRICS}
_PLACES: Final = tuple(bucket_of(bound) for bound in BOUNDS)


class Keys(Protocol):
    """Who knows the API keys: a registry, or a node that has heard of them."""

    @property
    def loaded(self) -> bool: ...
    def key(self, text: str) -> ApiKey | None: ...


@dataclass(frozen=True, slots=True)
class About:
    """Of the process. node_id: "" for a registry by itself. began: Unix time of its start."""

    version: str
    node_id: str
    began: float


def prometheus_blueprint(
    measured: Sequence[Measured], about: About, keys: Keys | None, more: Callable[[], Iterable[Metric]] = tuple
) -> Blueprint:
    """keys: None: anybody may read. more: metrics that are in no catalogue, asked for at each reading."""
    page = Page(measured, about, more)

    async def metrics(request: Request[Any, Any]) -> HTTPResponse:
        if keys is not None:
            _admit(request, keys)
        encode, content_type = _format(request.headers.get("accept") or "")
        return HTTPResponse(encode(page), content_type=content_type, headers={"cache-control": "no-store"})

    blueprint = Blueprint("prometheus")
    blueprint.add_route(metrics, PATH, methods=["GET"], name="metrics")
    return blueprint


class Page:
    """prometheus_client.registry.Collector: everything is asked for when somebody reads."""

    def __init__(self, measured: Sequence[Measured], about: About, more: Callable[[], Iterable[Metric]]) -> None:
        self._measured = measured
        self._about = about
        self._more = more

    def collect(self) -> Iterator[Family]:
        about = self._about
        yield InfoMetricFamily("wsplatform", "What runs here.", value={"version": about.version, "node": about.node_id})
        began = GaugeMetricFamily(
            "process_start_time_seconds", "Unix time of the start of the process.", unit="seconds"
        )
        began.add_metric((), about.began)
        yield began
        found: defaultdict[str, list[Sample]] = defaultdict(list)
        for source in self._measured:
            for sample in source.measure():
                found[sample.metric].append(sample)
        for metric in (*_METRICS.values(), *self._more()):
            if metric.name in found:
                yield _family(metric, found[metric.name])


def _family(metric: Metric, samples: Sequence[Sample]) -> Family:
    name, labels = metric.prometheus, (metric.label,) if metric.label else ()
    if metric.kind == "histogram":
        times = HistogramMetricFamily(name, metric.help, labels=labels, unit=metric.unit)
        for sample in samples:
            if isinstance(sample.value, Durations):
                times.add_metric(_values(metric, sample), _buckets(sample.value), sample.value.sum)
        return times
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    numbers = kind(name.removesuffix("_total"), metric.help, labels=labels, unit=metric.unit)
    for sample in samples:
        if not isinstance(sample.value, Durations):
            numbers.add_metric(_values(metric, sample), sample.value)
    return numbers


def _values(metric: Metric, sample: Sample) -> tuple[str, ...]:
    return (sample.label,) if metric.label else ()


def _buckets(times: Durations) -> list[tuple[str, int]]:
    """Of each bound in seconds, how many took less."""
    until = list(accumulate(times.buckets))
    bounds = [(repr(bound / 1e6), until[place - 1]) for bound, place in zip(BOUNDS, _PLACES, strict=True)]
    return [*bounds, ("+Inf", until[-1])]


def _format(accept: str) -> tuple[Callable[[Any], bytes], str]:
    for offer in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in offer.split(";"))
        if kind == "application/openmetrics-text" and not {"q=0", "q=0.0"} & set(parameters):
            return openmetrics.generate_latest, openmetrics.CONTENT_TYPE_LATEST
    return exposition.generate_latest, exposition.CONTENT_TYPE_PLAIN_0_0_4


def _admit(request: Request[Any, Any], keys: Keys) -> None:
    """Raises RequestError 401, 403, or 503 as long as no keys are known."""
    if not keys.loaded:
        raise RequestError(503, "not_ready", "This node has not got its keys yet: try again.", temporary=True)
    text = request.headers.get("x-api-key") or _bearer(request)
    if not text:
        raise RequestError(
            401, "unauthorized", "Send a key with the scope metrics in Authorization: Bearer or X-API-Key."
        )
    key = keys.key(text)
    if key is None:
        raise RequestError(401, "unauthorized", "This key is not known: it is mistyped, or was revoked.")
    if not SCOPES & set(key.scopes):
        raise RequestError(403, "forbidden", "This key has neither scope metrics nor admin: make one that has.")


def _bearer(request: Request[Any, Any]) -> str:
    scheme, _, rest = (request.headers.get("authorization") or "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""
