from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import click

from wsplatform.cli import output
from wsplatform.cli.options import json_option, server_url
from wsplatform.errors import PlatformError

if TYPE_CHECKING:
    from wsplatform.cli.bench_book import Plan
    from wsplatform.cli.bench_report import Report

SMALLEST = 64
OTHER_DESCRIPTORS = 64
"""Descriptors that are not clients' connections."""

LEAST_SECRET = 32


@click.command("bench")
@click.argument("channel", default="bench")
@click.option("--clients", type=click.IntRange(min=1), default=100, show_default=True, help="Subscribers to connect.")
@click.option(
    "--channels",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Over how many channels they are spread; from 2 on these are CHANNEL:1, CHANNEL:2, …",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, max=1_000_000),
    default=20,
    show_default=True,
    help="Publications a second, over all channels; 0: only connect.",
)
@click.option("--seconds", type=click.FloatRange(min=0.1), default=10, show_default=True, help="How long to publish.")
@click.option(
    "--size",
    type=click.IntRange(min=SMALLEST, max=1_000_000),
    default=128,
    show_default=True,
    help="Bytes of data in a publication.",
)
@click.option(
    "--publish-through",
    "through",
    type=click.Choice(["api", "client"]),
    default="api",
    show_default=True,
    help="As backends publish, over HTTP with --key, or as clients do, on channels whose rule allows it.",
)
@click.option(
    "--connect-rate",
    type=click.FloatRange(min=0),
    default=0,
    metavar="C",
    help="Connections to make a second.  [default: as many as the servers take]",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    envvar="WSP_SERVER",
    show_envvar=True,
    default=["http://127.0.0.1:8000"],
    show_default=True,
    metavar="URL",
    help="Address of the load balancer, or of several nodes (repeated, or separated by commas), which get a like share"
    " of clients and publications.",
)
@click.option("--key", envvar="WSP_KEY", default="", metavar="KEY", help="An API key.  [env var: WSP_KEY]")
@click.option(
    "--token", envvar="WSP_TOKEN", show_envvar=True, default="", help="A connection token, used by every client."
)
@click.option(
    "--token-secret",
    envvar="WSP_TOKEN_SECRET",
    show_envvar=True,
    default="",
    metavar="SECRET",
    help="One of the nodes' client.token_hmac_secrets: each client gets a token of its own (users bench-1, …).",
)
@json_option
def command(channel: str, channels: int, servers: tuple[str, ...], json_: bool, **options: Any) -> None:
    """Measure a running cluster: connect clients, publish at a rate, and report what arrived, and how fast.

    Every publication is numbered, so that what is lost, doubled or out of order is known exactly; then the exit status
    is 1. Other traffic on the channels does not disturb. Ctrl-C ends it early, with a report.

    \b
    Examples:
      wsplatform bench --key "$WSP_KEY"
      wsplatform bench --clients 5000 --rate 50 --seconds 60 --server http://127.0.0.1:8080
      wsplatform bench load --channels 100 --publish-through client --server http://n1:8000,http://n2:8000
    """
    from wsplatform.cli.bench_book import Plan

    plan = Plan(run=secrets.token_hex(6), servers=_servers(servers), channels=_channels(channel, channels), **options)
    _check(plan)
    result = _run(plan, quiet=json_)
    _print(result, json_)
    raise click.exceptions.Exit(0 if result.ok else 1)


def _servers(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Each once. Raises click.UsageError."""
    servers = [server_url(part.strip()) for text in texts for part in text.split(",") if part.strip()]
    if not servers:
        raise click.UsageError("--server names no address.")
    return tuple(dict.fromkeys(servers))


def _channels(name: str, count: int) -> tuple[str, ...]:
    """Raises click.UsageError."""
    from wsplatform.core.channels import valid_channel

    names = (name,) if count == 1 else tuple(f"{name}:{number}" for number in range(1, count + 1))
    if not valid_channel(names[-1]):
        raise click.UsageError("CHANNEL is no channel's name.")
    return names


def _check(plan: Plan) -> None:
    """Raises click.UsageError or PlatformError for what would fail later, and less clearly."""
    if not (plan.key.isascii() and plan.key.isprintable()):
        raise click.UsageError("--key holds characters that no key has.")
    if plan.token and plan.token_secret:
        raise click.UsageError("--token and --token-secret exclude each other.")
    if 0 < len(plan.token_secret.encode()) < LEAST_SECRET:
        raise click.UsageError(f"--token-secret has less than {LEAST_SECRET} bytes: no node accepts it.")
    if plan.rate and plan.through == "api" and not plan.key:
        raise PlatformError(
            "no_key", "Publishing as a backend needs an API key: --key or WSP_KEY. Without: --publish-through client."
        )
    _allow_descriptors(plan.clients)


def _allow_descriptors(clients: int) -> None:
    """Raise this process's limit as far as is needed and allowed. Raises PlatformError."""
    import resource

    needed = clients + OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise PlatformError(
            "too_few_descriptors",
            f"{clients} clients need {needed} file descriptors, and this process may have {hard}:"
            f" run `ulimit -Hn {needed}` as root in the shell that starts it (systemd: LimitNOFILE={needed}),"
            f" or use --clients {max(hard - OTHER_DESCRIPTORS, 1)} or less.",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _run(plan: Plan, *, quiet: bool) -> Report:
    import uvloop

    from wsplatform.cli.bench_run import Bench
    from wsplatform.cli.progress import Display

    async def main(display: Display) -> Report:
        return await Bench(plan, display).run()

    with Display(quiet=quiet) as display, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main(display))


def _print(result: Report, json_: bool) -> None:
    import msgspec

    from wsplatform.cli.bench_report import WARNING, for_people

    if json_:
        output.as_json(msgspec.to_builtins(result))
        return
    for text in for_people(result):
        output.line(text)
    if result.generator.bottleneck:
        output.note(WARNING)
