from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator

import click

from wsplatform.cli import output
from wsplatform.cli.options import Server, json_option, with_node
from wsplatform.errors import PlatformError


@click.command("publish")
@click.argument("channel")
@click.argument("data")
@click.option("--text", is_flag=True, help="DATA is plain text, sent as a JSON string.")
@json_option
@with_node
def command(channel: str, data: str, text: bool, json_: bool, server: Server) -> None:
    """Publish DATA, which is JSON, to CHANNEL.

    With - for DATA, each line of standard input is a publication; they are sent in order. Any node may be asked, and
    the load balancer; the key needs the scope api.

    \b
    Examples:
      wsplatform publish news '{"title": "Hello"}'
      wsplatform publish --text news 'Hello'
      tail -f log | wsplatform publish --text log -
    """
    lines: Iterable[str] = [data]
    if data == "-":
        lines = _standard_input()
    elif not text:
        _check(data)
    if not server.key:
        raise PlatformError("no_key", "This command needs an API key: --key or WSP_KEY.")
    count = asyncio.run(_publish(server, channel, lines, text))
    if json_:
        output.as_json({"published": count})


def _standard_input() -> Iterator[str]:
    for line in sys.stdin.buffer:
        try:
            yield line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise PlatformError("invalid_text", f"Standard input is not UTF-8 ({error}).") from error


async def _publish(server: Server, channel: str, lines: Iterable[str], text: bool) -> int:
    import msgspec

    from wsplatform.cli.http import Caller, command_error

    count = 0
    async with Caller(server, "node") as caller:
        for line in lines:
            if not text:
                if not line.strip():
                    continue
                _check(line)
            data = msgspec.Raw(msgspec.json.encode(line) if text else line.encode())
            answer = await caller.ask("POST", "/api/publish", {"channel": channel, "data": data})
            if not isinstance(answer, dict) or "result" not in answer:
                raise command_error(answer.get("error") if isinstance(answer, dict) else None)
            count += 1
    return count


def _check(data: str) -> None:
    import msgspec

    try:
        msgspec.json.decode(data, type=msgspec.Raw)
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise PlatformError("invalid_json", f"The data is not JSON ({error}). --text sends it as a string.") from error
