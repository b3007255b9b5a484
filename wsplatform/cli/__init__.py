"""The command line: `wsplatform COMMAND`.

Each subcommand is a module of this package, imported when it is called: `wsplatform --help` loads click only.
Errors are one line on standard error, `error: sentence [code]`, an object with --json; exit status 1, or 2 for a
command not understood.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from wsplatform import __version__
from wsplatform.cli.lazy import LazyGroup
from wsplatform.cli.output import fail
from wsplatform.errors import PlatformError

INTERRUPTED = 130
COMMANDS = {
    "audit": ("audit", "Who changed what, when and from where."),
    "bench": ("bench", "Measure a running cluster: what arrives, and how fast."),
    "channels": ("channels", "The cluster's channels: list, busiest, show."),
    "cluster": ("cluster", "Start a registry, nodes and HAProxy on this machine."),
    "config": ("config", "Show the settings in force, or check them."),
    "health": ("health", "Whether the process of this host is ready."),
    "haproxy": ("haproxy", "The load balancer's configuration."),
    "key": ("key", "API keys: create, list, revoke."),
    "links": ("links", "The links between nodes: delays, and what was lost."),
    "metrics": ("metrics", "What the nodes counted, as a chart."),
    "migrate": ("migrate", "Bring the registry's database up to date."),
    "nodes": ("nodes", "The cluster's nodes and their state; drain one."),
    "plugins": ("plugins", "The registry's plugins, and how they are."),
    "publish": ("publish", "Publish to a channel."),
    "rules": ("rules", "Channel rules: set, list, delete, test."),
    "serve": ("serve", "Run a node, the registry, or both."),
    "sessions": ("sessions", "The cluster's sessions: list, show, disconnect."),
    "subscribe": ("subscribe", "Print what is published to channels."),
    "token": ("token", "Make a connection or subscription token."),
    "top": ("top", "The cluster, live in the terminal."),
}


@click.group(
    cls=LazyGroup,
    commands_of="wsplatform.cli",
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        'Shell completion: add  eval "$(_WSPLATFORM_COMPLETE=bash_source wsplatform)"  to ~/.bashrc'
        " (zsh_source and fish_source for those shells)."
    ),
)
@click.version_option(__version__, prog_name="wsplatform", message="%(prog)s %(version)s")
def root() -> None:
    """Self-hosted realtime messaging: WebSocket clients on many nodes, published to over HTTP.

    To try it: wsplatform cluster
    """


def main() -> NoReturn:
    if os.getpid() == 1:
        # Of the first process of a container, the kernel withholds every signal that it has no handler for.
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command; returns the exit status."""
    # What serves has a log on standard error, for people or as log.format says.
    as_json = "--json" in arguments and arguments[0] not in ("serve", "cluster")
    try:
        status = root.main(list(arguments), prog_name="wsplatform", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.message, err=True)
        return error.exit_code
    except click.UsageError as error:
        hint = f" Try '{error.ctx.command_path} --help'." if error.ctx else ""
        fail(error.format_message() + hint, "usage", as_json=as_json)
        return error.exit_code
    except click.ClickException as error:
        fail(error.format_message(), "failed", as_json=as_json)
        return error.exit_code
    except PlatformError as error:
        fail(error.message, error.code, as_json=as_json)
        return 1
    except click.Abort:
        return INTERRUPTED
    return status if isinstance(status, int) else 0
