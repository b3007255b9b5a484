from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from typing import TYPE_CHECKING, Literal

import click

from wsplatform.cli import output
from wsplatform.cli.options import Source, json_option, with_settings

if TYPE_CHECKING:
    from wsplatform.app import ProcessInfo
    from wsplatform.settings import Settings
    from wsplatform.supervisor import Started

Role = Literal["all", "node", "registry"]


@click.command("serve")
@click.option(
    "--role",
    type=click.Choice(["all", "node", "registry"]),
    default="all",
    show_default=True,
    help="node: clients and backends connect here; registry: knows nodes, rules and keys; all: both in one process.",
)
@click.option("--host", help="The address to listen on (node.host).")
@click.option("--port", help="The port to listen on, 0 for a free one (node.port).")
@click.option("--workers", help="How many node processes share that port (node.workers).")
@json_option
@with_settings
def command(role: Role, host: str | None, port: str | None, workers: str | None, json_: bool, source: Source) -> None:
    """Run a node, the registry, or both, until SIGTERM or Ctrl-C.

    Then clients are asked to reconnect elsewhere, within node.drain_seconds; a second signal ends the process at once.
    With --json, one line tells the address when the process listens: {"role", "node_id", "url", "registry_url"}.

    Several workers are nodes of the cluster like any others, started again when they end; with the role all, the
    registry then has a process and a port of its own. --json adds their process ids: {…, "registry_pid": number or
    null, "workers": [{"node_id", "pid"}, …]}.

    \b
    Examples:
      wsplatform serve
      wsplatform serve --workers 4
      wsplatform serve --env production --config /etc/wsplatform.toml --role registry
      WSP_CLUSTER__SECRETS_FILE=/run/secrets/cluster wsplatform serve --env production --role node --port 8001
    """
    from wsplatform import logs
    from wsplatform.net.descriptors import take_all

    take_all()
    settings = source.load(node__host=host, node__port=port, node__workers=workers)
    logs.set_up(settings.log, settings.node.id)
    settings = _named(settings)
    logs.name_node(settings.node.id)
    if role == "registry" or settings.node.workers == 1:
        _run(settings, role, json_)
    else:
        raise click.exceptions.Exit(asyncio.run(_supervise(settings, role, json_)))


def _named(settings: Settings) -> Settings:
    """With the node's id, which every log line carries from the first one on."""
    import msgspec

    from wsplatform.net.host import new_node_id

    node = msgspec.structs.replace(settings.node, id=settings.node.id or new_node_id())
    return msgspec.structs.replace(settings, node=node)


def _run(settings: Settings, role: Role, json_: bool) -> None:
    import uvloop

    from wsplatform.app import serve, tune_interpreter

    def ready(info: ProcessInfo) -> None:
        tune_interpreter()
        if json_:
            output.as_json(
                {"role": info.role, "node_id": info.node_id, "url": info.url, "registry_url": info.registry_url}
            )

    async def main() -> None:
        stop = asyncio.Event()
        _on_signals(stop)
        await serve(settings, role=role, ready=ready, stop=stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def _supervise(settings: Settings, role: Literal["all", "node"], json_: bool) -> int:
    """Returns the exit status."""
    from wsplatform.cli.signals import Signals
    from wsplatform.supervisor import Supervisor

    def started(info: Started) -> None:
        if json_:
            output.as_json(dataclasses.asdict(info))

    supervisor = Supervisor(settings, role)
    signals = Signals(supervisor.kill)
    try:
        await supervisor.run(started)
    except asyncio.CancelledError:
        if not signals.received:
            raise
    if len(signals.received) > 1:
        return 128 + signals.received[-1]
    return 0 if supervisor.ended_well else 1


def _on_signals(stop: asyncio.Event) -> None:
    """The first signal asks for a clean end; another one, of either kind, is taken as impatience."""

    def received(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received, number)
