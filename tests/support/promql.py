"""Which series and labels an expression of Prometheus names.

Source: prometheus.io, docs, prometheus/latest/querying (basics, operators).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')
_MATCHERS = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"\[[^\]]*\]")
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_NUMBER = re.compile(r"\b[0-9][0-9.]*(?:e[+-]?[0-9]+|[a-z]+)?\b|\$\w+")
_NAME = re.compile(r"[A-Za-z_:][\w:]*")
_WORDS = frozenset(
    {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring", "group_left", "group_right"}
)


@dataclass(frozen=True, slots=True)
class Used:
    metrics: frozenset[str]
    labels: frozenset[str]


def used(expression: str) -> Used:
    text = _STRING.sub('""', expression)
    labels = set(re.findall(r"([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)", " ".join(_MATCHERS.findall(text))))
    text = _RANGE.sub(" ", _MATCHERS.sub(" ", text))
    for group in _LABELS.findall(text):
        labels.update(_NAME.findall(group))
    text = _NUMBER.sub(" ", _LABELS.sub(" ", text))
    names = {match[0] for match in _NAME.finditer(text) if not text[match.end() :].lstrip().startswith("(")}
    return Used(frozenset(names - _WORDS), frozenset(labels))
