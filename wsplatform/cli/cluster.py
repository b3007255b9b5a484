from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsplatform.cli import output
from wsplatform.cli.options import Source, json_option, with_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wsplatform.cli.cluster_files import Keys
    from wsplatform.cli.local_cluster import Addresses, Plan
    from wsplatform.settings import Settings

ROOM = 46
"""Bytes of a path that HAProxy's sockets, in a folder of their own, may need below the temporary one."""

DRAIN_SECONDS = "1"
"""When all of it ends, there is no node to go to: no need to wait long."""


@click.command("cluster")
@click.option("--nodes", type=click.IntRange(1, 64), default=3, show_default=True, help="How many nodes.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The balancer's port, 0 for a free one.  [default: that of haproxy.bind, 8080]",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep keys and the registry's database in this folder. Without it they are made anew each time.",
)
@json_option
@with_settings
def command(nodes: int, port: int | None, data: Path | None, json_: bool, source: Source) -> None:
    """Start a registry, nodes and HAProxy on this machine, for trying things out, until Ctrl-C.

    Prints the addresses and keys once everything is ready; the processes' logs go to standard error, each line after
    its process's name. Secrets are random unless the settings given here hold some. All but the balancer listen on
    free ports of 127.0.0.1. Without HAProxy installed there is no balancer.

    A process that ends by itself is reported and not started again: the others go on, which is how the platform can be
    watched coping (kill -9 a node, or the registry). The exit status is then 1. When no node is left, everything ends.

    With --json, one line on standard output once everything is ready: {"balancer": URL or null, "registry": URL,
    "nodes": [{"id", "url", "pid"}, …], "admin_key": …, "api_key": …}.

    \b
    Examples:
      wsplatform cluster
      wsplatform cluster --nodes 5 --port 9000 --data ./cluster
      wsplatform cluster --env production --set haproxy.bind=0.0.0.0:80
    """
    from wsplatform.cli.cluster_files import data_folder, write_keys
    from wsplatform.folders import temporary_folder

    settings = source.load()
    with ExitStack() as stack:
        temporary = stack.enter_context(temporary_folder(ROOM))
        folder = stack.enter_context(data_folder(data)) if data else temporary
        plan = _plan(source, settings, nodes, port, folder, temporary)

        def show(addresses: Addresses) -> None:
            import msgspec

            keys = msgspec.structs.replace(plan.keys, api_key=addresses.api_key)
            if data:
                write_keys(folder, keys)
            if json_:
                output.as_json(_as_json(addresses, keys))
            else:
                output.line(_for_people(addresses, keys))

        status = asyncio.run(_run(plan, show))
    raise click.exceptions.Exit(status)


def _plan(source: Source, settings: Settings, nodes: int, port: int | None, folder: Path, temporary: Path) -> Plan:
    import msgspec

    from wsplatform import settings_load
    from wsplatform.cli.cluster_files import new_keys, read_keys
    from wsplatform.cli.local_cluster import Plan, free_port
    from wsplatform.resources import folder as resource

    builtin = settings_load.load(source.environment, resource("config"))
    keys = read_keys(folder) or new_keys()
    ours = {
        "node.host": "127.0.0.1",
        "node.port": "0",
        "node.url": "",
        "node.workers": "1",
        "cluster.host": "127.0.0.1",
        "cluster.port": "0",
        "cluster.url": "",
    }
    if settings.cluster.secrets == builtin.cluster.secrets:
        ours["cluster.secrets"] = keys.cluster_secret
    if settings.client.token_hmac_secrets == builtin.client.token_hmac_secrets:
        ours["client.token_hmac_secrets"] = keys.token_secret
    else:
        keys = msgspec.structs.replace(keys, token_secret=next(iter(settings.client.token_hmac_secrets), ""))
    if settings.registry.admin_key == builtin.registry.admin_key:
        ours["registry.admin_key"] = keys.admin_key
    else:
        keys = msgspec.structs.replace(keys, admin_key=settings.registry.admin_key)
    if settings.node.drain_seconds == builtin.node.drain_seconds:
        ours["node.drain_seconds"] = DRAIN_SECONDS
    environment = _environment(source, ours)
    bind = settings.haproxy.bind
    if port is not None or not bind:
        bind = f"{bind.rpartition(':')[0] or '127.0.0.1'}:{port or free_port()}"
    return Plan(settings, environment, nodes, bind, keys, folder, temporary)


def _environment(source: Source, ours: Mapping[str, str]) -> dict[str, str]:
    """What every process gets: this one's environment, its options as variables, and on top of them `ours`."""
    values = {_variable(key): text for key, text in {**source.flags, **ours}.items()}
    values["WSP_ENV"] = source.environment
    if source.file is not None:
        values["WSP_CONFIG"] = str(source.file.absolute())
    overridden = {f"{name}_FILE" for name in values}
    return {name: text for name, text in {**os.environ, **values}.items() if name not in overridden}


def _variable(key: str) -> str:
    section, _, name = key.partition(".")
    return f"WSP_{section}__{name}".upper()


async def _run(plan: Plan, show: Callable[[Addresses], None]) -> int:
    """Returns the exit status."""
    from wsplatform.cli.local_cluster import LocalCluster
    from wsplatform.cli.signals import Signals
    from wsplatform.net.tasks import Tasks

    tasks = Tasks()
    cluster = LocalCluster(plan, output.note, tasks)
    signals = Signals(cluster.kill)
    try:
        show(await cluster.start())
        await cluster.run()
    except asyncio.CancelledError:
        if not signals.received:
            raise
        output.note("stopping")
    finally:
        await cluster.stop()
        await tasks.close()
    return 1 if cluster.lost else 0


def _as_json(addresses: Addresses, keys: Keys) -> dict[str, object]:
    return {
        "balancer": addresses.balancer,
        "registry": addresses.registry,
        "nodes": [{"id": node.id, "url": node.url, "pid": node.pid} for node in addresses.nodes],
        "admin_key": keys.admin_key,
        "api_key": keys.api_key,
    }


def _for_people(addresses: Addresses, keys: Keys) -> str:
    entry = addresses.balancer or addresses.nodes[0].url
    socket = entry.replace("http", "ws", 1) + "/connection/websocket"
    nodes = "\n".join(f"  {node.id:<12} {node.url}   (process {node.pid})" for node in addresses.nodes)
    return f"""
Everything is ready. Ctrl-C ends it.

  balancer     {addresses.balancer or "none: HAProxy is not installed"}
{nodes}
  registry     {addresses.registry}

  API key      {keys.api_key}   for backends, on the balancer and every node
  admin key    {keys.admin_key}   for operators, on the registry
  token secret {keys.token_secret}   signs the tokens of your users (HS256)

To try, in another terminal. What the commands of the documentation need:
{_shell(entry, addresses, keys)}

  Subscribe, with the JavaScript SDK, in a folder of its own:
    npm install centrifuge ws && node --input-type=module -e '
      import {{ Centrifuge }} from "centrifuge"; import WebSocket from "ws"
      const client = new Centrifuge("{socket}", {{ websocket: WebSocket }})
      const news = client.newSubscription("news")
      news.on("publication", ({{ data }}) => console.log(data)); news.subscribe(); client.connect()'

  Publish:
    curl -H 'X-API-Key: {keys.api_key}' -d '{{"channel": "news", "data": {{"hello": "world"}}}}' {entry}/api/publish

  Open the documentation of the HTTP APIs:
    python3 -m webbrowser {addresses.registry}/admin/docs

  Open the dashboard, and log in with the admin key:
    python3 -m webbrowser {addresses.registry}/dashboard/

  The cluster, live, from the command line:
    {program()} top --server {addresses.registry} --key {keys.admin_key}

  Chat, in a browser: {entry}/examples/chat/
"""


def _shell(entry: str, addresses: Addresses, keys: Keys) -> str:
    """What the README and docs/ call by these names; and the program itself, where it is in a virtual environment."""
    activate = Path(sys.executable).parent / "activate"
    lines = [f". {shlex.quote(str(activate))}"] if activate.exists() else []
    lines.append(f"export WSP_SERVER={entry} WSP_API_KEY={keys.api_key}")
    lines.append(f"export REGISTRY={addresses.registry} ADMIN_KEY={keys.admin_key}")
    return "\n".join(f"    {line}" for line in lines)


def program() -> str:
    """How this program is called from a shell as this one: by its name where that is on the PATH."""
    return "wsplatform" if shutil.which("wsplatform") else f"{shlex.quote(sys.executable)} -m wsplatform"
