from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from wsplatform.cli import output
from wsplatform.cli.options import Source, with_settings

if TYPE_CHECKING:
    from wsplatform.settings import NodeTable

_NEAR = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound


@click.command("health")
@click.option("--live", is_flag=True, help="Only whether it answers, not whether it is ready for clients.")
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(0.1, 600), help="How long to wait.")
@with_settings
def command(live: bool, seconds: float, source: Source) -> None:
    """Ask the process of this host that has these settings whether it is ready, for supervisors of containers.

    The exit status is 0 when it is. It is asked at node.port of this host, whatever its role.

    \b
    Examples:
      wsplatform health
      wsplatform health --live --set node.port=8001
    """
    status, reasons = _asked(source.load().node, "/health/live" if live else "/health/ready", seconds)
    if status == 200:
        output.line("live" if live else "ready")
        return
    output.line(f"not ready (status {status})" + (f": {'; '.join(reasons)}" if reasons else ""))
    raise click.exceptions.Exit(1)


def _asked(table: NodeTable, path: str, seconds: float) -> tuple[int, list[str]]:
    """Status and reasons. Raises PlatformError, code unreachable."""
    import http.client

    from wsplatform.errors import PlatformError

    host = _NEAR.get(table.host, table.host)
    connection = http.client.HTTPConnection(host, table.port, timeout=seconds)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, _reasons(reply.read(65_536))
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        message = f"Nothing answers at http://{host}:{table.port}{path} ({why}): are these the settings of its process?"
        raise PlatformError("unreachable", message) from error
    finally:
        connection.close()


def _reasons(body: bytes) -> list[str]:
    import json

    try:
        told: Any = json.loads(body)
    except ValueError:
        return []
    reasons = told.get("reasons") if isinstance(told, dict) else None
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else []
