"""The sessions of this node, by id and by user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wsplatform.core.metrics import Sample

if TYPE_CHECKING:
    from wsplatform.node.session import Session


class Sessions:
    """Connected sessions only: one is added when its connect command was accepted, removed when it has ended."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self._by_user: dict[str, set[Session]] = {}

    def add(self, session: Session) -> None:
        self._by_id[session.id] = session
        self._by_user.setdefault(session.user, set()).add(session)

    def remove(self, session: Session) -> None:
        if self._by_id.pop(session.id, None) is None:
            return
        of_user = self._by_user[session.user]
        of_user.discard(session)
        if not of_user:
            del self._by_user[session.user]

    def get(self, session_id: str) -> Session | None:
        return self._by_id.get(session_id)

    def of_user(self, user: str) -> tuple[Session, ...]:
        return tuple(self._by_user.get(user, ()))

    def ids(self) -> tuple[str, ...]:
        return tuple(self._by_id)

    @property
    def users(self) -> int:
        return len(self._by_user)

    def measure(self) -> Iterator[Sample]:
        yield Sample("sessions", len(self._by_id))
        yield Sample("users", self.users)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)
