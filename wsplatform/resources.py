"""Files that travel with the program: settings, migrations, pages, examples."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `name` ("config", "migrations", "examples/chat"), in an installed package or beside it in a checkout.

    Raises FileNotFoundError when neither exists, which means a broken installation.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise FileNotFoundError(f"wsplatform is not installed completely: {name} is missing")
