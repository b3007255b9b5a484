from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from wsplatform.cli import output
from wsplatform.cli.options import Server, with_client_face

if TYPE_CHECKING:
    import msgspec


@click.command("subscribe")
@click.argument("channels", metavar="CHANNEL...", nargs=-1, required=True)
@click.option(
    "--token", envvar="WSP_TOKEN", show_envvar=True, default="", help="A connection token (wsplatform token)."
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many publications.")
@click.option("--json", "whole", is_flag=True, help="Print channel, data, info and tags as one object a line.")
@with_client_face
def command(channels: tuple[str, ...], token: str, count: int | None, whole: bool, server: Server) -> None:
    """Print what is published to each CHANNEL: the data of one publication a line.

    Connects as any client does, to a node or the load balancer, and comes back by itself when the connection is lost.

    \b
    Examples:
      wsplatform subscribe news
      wsplatform subscribe --json news 'chat:lobby'
      wsplatform subscribe --token "$(wsplatform token --user anna)" --count 1 news
    """
    from wsplatform.cli.tail import Tail

    left = count

    def show(channel: str, publication: dict[str, msgspec.Raw]) -> bool:
        nonlocal left
        output.line(_line(channel, publication, whole))
        if left is not None:
            left -= 1
        return left != 0

    asyncio.run(Tail(server.url, tuple(dict.fromkeys(channels)), token, show, output.note).run())


def _line(channel: str, publication: dict[str, msgspec.Raw], whole: bool) -> str:
    import msgspec

    shown: object = {"channel": channel, **publication} if whole else publication["data"]
    return msgspec.json.encode(shown).decode()
