"""Writes the tables of all settings into docs/configuration.md, between two markers:  python scripts/settings_table.py

They are made from wsplatform/settings.py: types, defaults and the docstrings of its tables, and from config/*.toml.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from wsplatform.resources import folder
from wsplatform.settings import SECRET_KEYS, Settings
from wsplatform.settings_load import load

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
BEGIN = "<!-- scripts/settings_table.py writes what follows, from wsplatform/settings.py -->"
END = "<!-- up to here -->"
_HEAD = "| key | type | default | |\n|---|---|---|---|"
_PLAIN = {bool: "`true` or `false`", int: "integer", float: "number", str: "text"}
_ENTRY = re.compile(r"^([a-z_]+): (.*)")


def tables() -> str:
    """Markdown: a heading, a sentence and a table for each section."""
    return "\n\n".join(_section(name, kind) for name, kind in _sections())


def rewritten(page: str) -> str:
    """`page` with the tables as they are now. Raises ValueError when the markers are not there, once and in order."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"{PAGE.name} has to hold {BEGIN!r} and {END!r}, each once")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def meanings(table: type[msgspec.Struct]) -> tuple[str, dict[str, str]]:
    """What a table's docstring says of the whole, and of each key."""
    about: list[str] = []
    keys: dict[str, list[str]] = {}
    lines = about
    for line in cleandoc(table.__doc__ or "").splitlines():
        entry = _ENTRY.match(line)
        if entry:
            lines = keys.setdefault(entry[1], [])
        lines.append(entry[2] if entry else line.strip())
    return " ".join(filter(None, about)), {key: " ".join(filter(None, text)) for key, text in keys.items()}


def _sections() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for name, kind in get_type_hints(Settings).items():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield name, kind


def _section(section: str, table: type[msgspec.Struct]) -> str:
    about, described = meanings(table)
    hints = get_type_hints(table, include_extras=True)
    if list(described) != list(hints):
        differing = sorted(set(described) ^ set(hints)) or "their order"
        raise ValueError(f"the docstring of {table.__name__} and its keys differ: {differing}")
    rows = [
        f"| `{key}` | {_kind(hint)} | {_default(section, key, table)} "
        f"| {_cell(described[key])} {_variable(section, key)} |"
        for key, hint in hints.items()
    ]
    return "\n".join([f"### [{section}]", "", about, "", _HEAD, *rows])


def _variable(section: str, key: str) -> str:
    name = f"WSP_{section}__{key}".upper()
    return f"`{name}_FILE`" if f"{section}.{key}" in SECRET_KEYS else f"`{name}`"


def _kind(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        metas = [item for item in arguments[1:] if isinstance(item, msgspec.Meta)]
        described = [meta.description for meta in metas if meta.description]
        return _cell(described[0]) if described else " ".join([_kind(arguments[0]), *map(_bounds, metas)])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return "list of texts"
    if origin in (types.UnionType, Union):
        return "table"
    return _PLAIN[hint]


def _bounds(meta: msgspec.Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f"from {_number(meta.ge)} to {_number(meta.le)}"
    return f"of {_number(meta.ge)} or more" if meta.ge is not None else f"above {_number(meta.gt)}"


def _number(value: float | None) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}"


def _default(section: str, key: str, table: type[msgspec.Struct]) -> str:
    own = getattr(table(), key)
    shown = _value(own)
    for environment in ("development", "production"):
        value = getattr(getattr(load(environment, folder("config")), section), key)
        if value != own:
            secret = f"{section}.{key}" in SECRET_KEYS
            shown += f"; in {environment} " + ("one that is public" if secret else _value(value))
    return shown


def _value(value: Any) -> str:
    if value in ("", (), None):
        return "none"
    if isinstance(value, msgspec.Struct):
        pairs = msgspec.to_builtins(value).items()
        return " ".join(f"`{key} = {_toml(part)}`" for key, part in pairs if part)
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:_}" if isinstance(value, int) else f"{value:g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*:", "\\*:")


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
