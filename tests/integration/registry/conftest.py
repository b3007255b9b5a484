from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from wsplatform.registry.database import locate


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that waits 0.3 s for a locked database."""
    monkeypatch.setattr("wsplatform.registry.service.locate", partial(locate, busy_seconds=0.3))
