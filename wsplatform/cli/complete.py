"""What the shell is offered for an argument. What asks the registry gives up soon, and says nothing about failures."""

from __future__ import annotations

import os
from typing import Any

import click

SECONDS = 1.5


def metric_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from wsplatform.core.metrics import CATALOGUE

    return [name for name in ("list", *CATALOGUE) if name.startswith(incomplete)]


def node_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [item["id"] for item in _items(ctx, "nodes") if item["id"].startswith(incomplete)]


def rule_patterns(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [item["pattern"] for item in _items(ctx, "rules") if item["pattern"].startswith(incomplete)]


def _items(ctx: click.Context, path: str) -> list[dict[str, Any]]:
    from wsplatform.cli.http import ask_all
    from wsplatform.cli.options import Server, server_url
    from wsplatform.errors import PlatformError

    url = ctx.params.get("url") or os.environ.get("WSP_SERVER") or "http://127.0.0.1:8000"
    key = ctx.params.get("key") or os.environ.get("WSP_KEY") or ""
    try:
        return ask_all(Server(server_url(url), key), path, seconds=SECONDS)
    except (PlatformError, click.UsageError):
        return []
