"""What other distributions add: objects found by entry point (`[project.entry-points]` in their pyproject.toml)."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wsplatform.errors import StartError

PLUGINS = "wsplatform.plugins"
TRANSPORTS = "wsplatform.transports"


def available(group: str) -> tuple[EntryPoint, ...]:
    """By name; the same one found twice (a checkout and a wheel of it) counts once."""
    found: dict[tuple[str, str], EntryPoint] = {}
    for point in entry_points(group=group):
        found.setdefault((point.name, point.value), point)
    return tuple(found[key] for key in sorted(found))


def find(group: str, name: str) -> EntryPoint:
    """The one that `name` stands for in `group`.

    Raises StartError: not_installed (with the names that are), or ambiguous (two distributions offer the name).
    """
    points = available(group)
    chosen = [point for point in points if point.name == name]
    if not chosen:
        names = ", ".join(sorted({point.name for point in points})) or "none"
        raise StartError(
            "not_installed", f"No installed package offers {name!r} in {group}: install it, or take one of: {names}."
        )
    if len(chosen) > 1:
        owners = " and ".join(distribution(point) for point in chosen)
        raise StartError("ambiguous", f"{owners} both offer {name!r} in {group}: uninstall one of them.")
    return chosen[0]


def load_one(group: str, name: str) -> Any:
    """What is found, loaded. Raises StartError: those of `find`, or plugin_broken."""
    return load(find(group, name))


def load(point: EntryPoint) -> Any:
    """Raises StartError, code plugin_broken: importing a module runs code of its author, which may raise anything."""
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        raise broken(point, "be imported", error) from error


def distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown distribution"


def broken(point: EntryPoint, what: str, error: BaseException) -> StartError:
    """The error for an entry point that could not `what`."""
    why = _short(error)
    return StartError("plugin_broken", f"{point.name!r} of {distribution(point)} ({point.group}) cannot {what}: {why}")


def _short(error: BaseException) -> str:
    lines = str(error).splitlines()
    kind = type(error).__name__
    return f"{kind}: {lines[0]}"[:300] if lines else kind
