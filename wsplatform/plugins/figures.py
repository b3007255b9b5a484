"""What plugins measure, checked before it is shown among the platform's: one bad name or value would spoil the page."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final, get_args

from wsplatform.core.metrics import CATALOGUE, REGISTRY_METRICS, Metric, Sample, Unit
from wsplatform.core.samples import MAX_LABEL
from wsplatform.plugins.base import MAX_SERIES

PLATFORM: Final = frozenset(metric.prometheus for metric in (*CATALOGUE.values(), *REGISTRY_METRICS.values()))
"""Names in Prometheus that are taken."""

_WORD = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_NO_ENDINGS = ("_total", "_bucket", "_count", "_sum", "_created", "_info")
"""Prometheus gives them a meaning."""


def declared(plugin: str, metrics: Iterable[Metric], taken: Collection[str] = PLATFORM) -> dict[str, Metric]:
    """By name. plugin: its name; taken: names in Prometheus that others have. Raises ValueError."""
    beginning = re.sub(r"[^a-z0-9]+", "_", plugin.lower()) + "_"
    found: dict[str, Metric] = {}
    names = set(taken)
    for metric in metrics:
        if not metric.name.startswith(beginning) or metric.exported:
            raise ValueError(f"the metric {metric.name!r} is not named {beginning}…")
        if not _WORD.fullmatch(metric.name) or metric.name.endswith(_NO_ENDINGS):
            raise ValueError(f"the name {metric.name!r} is not a-z, 0-9 and _, or ends in a word of Prometheus")
        if metric.prometheus in names:
            raise ValueError(f"the name {metric.prometheus} is taken")
        if metric.kind not in ("counter", "gauge") or metric.unit not in get_args(Unit):
            raise ValueError(f"{metric.name} is no counter or gauge, or its unit is none of {get_args(Unit)}")
        if metric.label and not _WORD.fullmatch(metric.label):
            raise ValueError(f"the label of {metric.name} is not a-z, 0-9 and _")
        metric.help.encode()
        names.add(metric.prometheus)
        found[metric.name] = metric
    return found


def checked(metrics: Mapping[str, Metric], samples: Iterable[Sample]) -> list[Sample]:
    """Those of a plugin that has declared `metrics`. Raises ValueError for the first that cannot be shown."""
    most = len(metrics) * MAX_SERIES
    found: dict[tuple[str, str], Sample] = {}
    counts = dict.fromkeys(metrics, 0)
    for name, value, label in islice(samples, most + 1):
        metric = metrics.get(name)
        if metric is None:
            raise ValueError(f"{name!r} is not among its metrics")
        if not isinstance(value, int | float) or not math.isfinite(value) or (metric.kind == "counter" and value < 0):
            raise ValueError(f"{value!r} is no value for {name}")
        if bool(label) != bool(metric.label) or len(label) > MAX_LABEL:
            raise ValueError(f"{label!r:.200} is no label for {name}")
        label.encode()
        counts[name] += 1
        if counts[name] > MAX_SERIES or (name, label) in found:
            raise ValueError(f"{name} has more than {MAX_SERIES} labels, or one of them twice")
        found[name, label] = Sample(name, float(value), label)
    return list(found.values())
