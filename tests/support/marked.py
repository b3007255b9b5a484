"""All the processes that something has started, known by a variable of the environment that they inherit."""

from __future__ import annotations

from pathlib import Path

MARK = "WSP_TEST_MARK"


def marked_processes(mark: str) -> dict[int, str]:
    """Process id -> command line of those that have the mark."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in environment:
            found[int(folder.name)] = command.replace(b"\0", b" ").decode().strip()
    return found
