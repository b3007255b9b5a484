"""The alarms for Prometheus and the dashboard for Grafana that come with the platform."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.support.documents import ROOT

ALERTS = ROOT / "docker" / "prometheus" / "alerts.yml"
BOARD = ROOT / "docker" / "grafana" / "wsplatform.json"


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """Where each stands, and what it is."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in json.loads(BOARD.read_text(encoding="utf-8"))["panels"]:
        for number, target in enumerate(panel.get("targets", ())):
            yield f"{panel['title']} {number}", target["expr"]
