"""What the shell is offered for an argument. What asks the registry gives up soon, and says nothing about failures."""

from __future__ import annotations

import os
from typing import Any

import click

SECONDS = 1.5
_SOME = 1000


def metric_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from wsplatform.core.metrics import CATALOGUE

    return [name for name in ("list", *CATALOGUE) if name.startswith(incomplete)]


def node_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [item["id"] for item in _items(ctx, "nodes") if item["id"].startswith(incomplete)]


def channel_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Some: of a million, nobody reads all."""
    found = [item["channel"] for item in _items(ctx, "channels", limit=_SOME, contains=incomplete)]
    return [name for name in found if name.startswith(incomplete)]


def rule_patterns(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [item["pattern"] for item in _items(ctx, "rules") if item["pattern"].startswith(incomplete)]


def _items(ctx: click.Context, path: str, limit: int = 0, **query: str) -> list[dict[str, Any]]:
    import asyncio

    import aiohttp

    from wsplatform.cli.http import Caller, items_of, need_key
    from wsplatform.cli.options import Server, server_url
    from wsplatform.errors import PlatformError

    url = ctx.params.get("url") or os.environ.get("WSP_SERVER") or "http://127.0.0.1:8000"
    key = ctx.params.get("key") or os.environ.get("WSP_KEY") or ""

    async def found(server: Server) -> list[dict[str, Any]]:
        async with Caller(server, "registry", aiohttp.ClientTimeout(total=SECONDS)) as caller:
            return (await items_of(caller, path, query, limit)).items  # without a display: the shell's line is there

    try:
        server = Server(server_url(url), key)
        need_key(server)
        return asyncio.run(found(server))
    except (PlatformError, click.UsageError):
        return []
