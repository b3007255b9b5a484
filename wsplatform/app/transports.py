"""Transports by the names of their entry points. What is wrong with one is told with the name of its distribution."""

from __future__ import annotations

from collections.abc import Sequence

from wsplatform.app.parts import Process
from wsplatform.errors import PlatformError, StartError
from wsplatform.plugins.entry_points import TRANSPORTS, broken, distribution, find, load
from wsplatform.transports.base import Transport, TransportContext
from wsplatform.transports.fallback import FallbackTransport, Named

_METHODS = ("start", "stop", "set_peers", "send")
_ANYTHING = (Exception, SystemExit)


def make_transport(name: str, context: TransportContext) -> Transport:
    """The entry point's, called but not started.

    Raises StartError: not_installed, ambiguous, plugin_broken; and any PlatformError of the transport's own.
    """
    point = find(TRANSPORTS, name)
    factory = load(point)
    if not callable(factory):
        raise broken(point, "be made", TypeError(f"{point.value} cannot be called"))
    try:
        transport: Transport = factory(context)
    except PlatformError:
        raise
    except _ANYTHING as error:
        raise broken(point, "be made", error) from error
    missing = [method for method in _METHODS if not callable(getattr(transport, method, None))]
    if missing:
        lacks = f"{type(transport).__name__} is no transport, it has no {', '.join(missing)}"
        raise broken(point, "be used", TypeError(lacks))
    return transport


def process_transport(process: Process) -> Transport:
    """The one of the settings, and what takes over when that fails, as one. Raises as make_transport."""
    settings = process.settings
    context = TransportContext(
        settings.cluster,
        process.tasks,
        process.sweep,
        neighbours=process.addresses.folder,
        tls=process.tls.connecting,
        nats=settings.nats,
    )
    names = settings.cluster.carriers
    first, *second = [Named(name, make_transport(name, context)) for name in names]
    return FallbackTransport(context, first, *second) if second else first.transport


def start_failed(names: Sequence[str], error: BaseException) -> PlatformError:
    """The error for transports of which one has raised `error` in start: its own, if that was meant for people."""
    if isinstance(error, PlatformError):
        return error
    if len(names) == 1:
        return broken(find(TRANSPORTS, names[0]), "start", error)
    who = " or ".join(f"{name!r} of {distribution(find(TRANSPORTS, name))}" for name in names)
    return StartError("plugin_broken", f"{who} ({TRANSPORTS}) cannot start: {type(error).__name__}: {error}"[:400])
