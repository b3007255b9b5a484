"""The words that all areas of the admin API share."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

MAX_TEXT: Final = 1024
"""Characters in one parameter of a query."""


class ErrorText(msgspec.Struct, frozen=True):
    """What went wrong: a stable word for programs, a sentence for people."""

    code: str
    message: str


class ErrorReply(msgspec.Struct, frozen=True):
    error: ErrorText


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a list: at most `limit` items, after the place of `cursor` (`next` of the page before)."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000, description="How many items at most.")] = 100
    cursor: Annotated[str, msgspec.Meta(max_length=MAX_TEXT, description="`next` of the page before.")] = ""
