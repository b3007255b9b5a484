from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from wsplatform.cli import output
from wsplatform.cli.figures import clock
from wsplatform.cli.options import Server, with_registry
from wsplatform.cli.top_frame import KEYS
from wsplatform.errors import PlatformError

if TYPE_CHECKING:
    from wsplatform.cli.http import Caller
    from wsplatform.cli.top_figures import Snapshot
    from wsplatform.cli.top_frame import Line, Size

_ANSWER_SECONDS = 5.0
_PASSING = frozenset({"unreachable", "registry_unavailable"})


@click.command("top")
@click.option(
    "--interval", type=click.FloatRange(0.5, 3600), default=1.0, show_default=True, help="Seconds between two looks."
)
@click.option(
    "--sort", type=click.Choice([*KEYS.values()]), default="name", show_default=True, help="What nodes are sorted by."
)
@click.option("--once", is_flag=True, help="One look, of one interval. So it is where the output is no terminal.")
@click.option("--json", "json_", is_flag=True, help="One object a line per interval, for programs; with --once, one.")
@with_registry
def command(interval: float, sort: str, once: bool, json_: bool, server: Server) -> None:
    """Show the cluster, live: nodes with their sessions and traffic, links that are not well, the busiest channels.

    P99 is the time from a publication's arrival at the node to its write to the last subscriber that 99 of 100 do not
    exceed, LAG by how much the event loop was late, both since the node's last report; CPU is of one core. While the
    registry does not answer, the last figures stay, and a line says since when.

    \b
    Keys:
      q                       end
      n s p d t l c m         sort by name, sessions, publications, deliveries, p99, lag, CPU, memory

    \b
    Examples:
      wsplatform top --server http://127.0.0.1:8000 --key "$ADMIN_KEY"
      wsplatform top --sort deliveries
      wsplatform top --once
      wsplatform top --json --interval 10 > figures.jsonl
    """
    from wsplatform.cli import screen
    from wsplatform.cli.http import need_key

    need_key(server)
    top = Top(server, interval, sort)
    if json_:
        asyncio.run(top.lines(once))
    elif once or not screen.usable():
        asyncio.run(top.page())
    elif status := asyncio.run(top.live()):
        raise click.exceptions.Exit(status)


class Top:
    def __init__(self, server: Server, interval: float, sort: str) -> None:
        from wsplatform.cli.top_figures import Watch

        self._server = server
        self._interval = interval
        self._sort = sort
        self._watch = Watch()
        self._shot: Snapshot | None = None
        self._trouble: PlatformError | None = None
        self._status: int | None = None
        self._changed = asyncio.Event()

    async def lines(self, once: bool) -> None:
        """JSON until Ctrl-C."""
        import msgspec

        async with self._caller() as caller:
            await self._look(caller)
            while True:
                await asyncio.sleep(self._interval)
                await self._look(caller)
                found: dict[str, Any] = msgspec.to_builtins(self._shot)
                if self._trouble is not None:
                    error = {"code": self._trouble.code, "message": self._trouble.message}
                    found = {"at": time.time(), "error": error, "last": found}
                output.as_json(found)
                if once:
                    return

    async def page(self) -> None:
        """What the screen would show, without bounds."""
        from wsplatform.cli.top_frame import Size, frame

        async with self._caller() as caller:
            await self._look(caller)
            await asyncio.sleep(self._interval)
            await self._look(caller)
        if self._trouble is not None:
            raise self._trouble
        assert self._shot is not None
        for line in frame(self._shot, Size(120, sys.maxsize), self._sort):
            output.line(line.text.rstrip())

    async def live(self) -> int:
        """Until a key or a signal ends it; the exit status. Raises PlatformError for what does not pass by itself."""
        from wsplatform.cli.screen import Screen
        from wsplatform.net.tasks import Tasks

        tasks = Tasks()
        try:
            async with self._caller() as caller:
                await self._look(caller)
                with Screen(self._pressed, self._changed.set, self._end) as screen:
                    following = tasks.start(self._follow(caller), name="follow")
                    following.add_done_callback(lambda _: self._changed.set())
                    while self._status is None and not following.done():
                        self._changed.clear()
                        screen.draw(self._frame(screen.size))
                        await self._changed.wait()
                if following.done():
                    raise following.result()
        finally:
            await tasks.close()
        return self._status or 0

    async def _follow(self, caller: Caller) -> PlatformError:
        """Looks again and again, until there is an error that does not pass by itself: a key that was revoked."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._look(caller)
            except PlatformError as error:
                return error
            self._changed.set()

    async def _look(self, caller: Caller) -> None:
        """Takes the figures of now; or, when there were some and the registry does not answer, what the trouble is."""
        from wsplatform.cli.http import items_of

        try:
            nodes, links, busiest = await asyncio.gather(
                items_of(caller, "nodes", {}),
                items_of(caller, "links", {}),
                caller.ask("GET", "/admin/v1/metrics/busiest?by=publications&limit=20"),
            )
        except PlatformError as error:
            if self._shot is None or not (error.code in _PASSING or error.code.startswith("http_5")):
                raise
            self._trouble = error
            return
        self._trouble = None
        self._shot = self._watch.take(time.time(), nodes.items, links.items, busiest["items"])

    def _frame(self, size: Size) -> list[Line]:
        from wsplatform.cli.top_frame import frame

        assert self._shot is not None
        trouble = ""
        if self._trouble is not None:
            trouble = f"STALE since {clock(self._shot.at)}: {self._trouble.message}"
        return frame(self._shot, size, self._sort, trouble, keys=True)

    def _pressed(self, key: str) -> None:
        if key in ("q", "Q"):
            self._end(0)
        elif key in KEYS:
            self._sort = KEYS[key]
            self._changed.set()

    def _end(self, status: int) -> None:
        self._status = status
        self._changed.set()

    def _caller(self) -> Caller:
        import aiohttp

        from wsplatform.cli.http import Caller

        return Caller(self._server, "registry", aiohttp.ClientTimeout(total=_ANSWER_SECONDS))
