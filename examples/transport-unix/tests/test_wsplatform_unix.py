"""The transport keeps to the contract of wsplatform."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import wsplatform_unix

from wsplatform.errors import StartError
from wsplatform.model import Instance
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.testing import TransportContract
from wsplatform.testing.transport_nodes import SETTINGS, TransportNode
from wsplatform.transports.base import Peer, Transport, TransportContext


class TestUnix(TransportContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tmp_path.chmod(0o700)
        monkeypatch.setenv(wsplatform_unix.VARIABLE, str(tmp_path))

    def create(self, context: TransportContext) -> Transport:
        return wsplatform_unix.create(context)

    def cut(self, left: TransportNode, right: TransportNode) -> None:
        for node, other in ((left, right), (right, left)):
            wire = node.transport._up.get(other.id)  # type: ignore[attr-defined] # noqa: SLF001
            if wire is not None:
                wire.abort()


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, mode, code in (("", 0o700, "no_folder"), (str(tmp_path), 0o770, "folder_open")):
        tmp_path.chmod(mode)
        monkeypatch.setenv(wsplatform_unix.VARIABLE, folder)
        transport = wsplatform_unix.create(TransportContext(SETTINGS, Tasks(), Sweep()))
        with pytest.raises(StartError) as caught:
            asyncio.run(transport.start(Peer(Instance("a", "1")), None))  # type: ignore[arg-type]
        assert caught.value.code == code
