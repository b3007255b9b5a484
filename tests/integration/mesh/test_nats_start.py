"""What the transport nats needs before it can start; with a server it is tested in tests/e2e/nats/."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from wsplatform.errors import StartError
from wsplatform.model import Instance
from wsplatform.net.sweep import Sweep
from wsplatform.net.tasks import Tasks
from wsplatform.settings import NatsTable
from wsplatform.testing.transport_nodes import SETTINGS, Listener
from wsplatform.transports import nats
from wsplatform.transports.base import Peer, TransportContext

LOCAL = Peer(Instance("a", "1"))


def test_without_its_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(StartError, match=r"pip install 'wsplatform\[nats\]'") as caught:
        nats.create(TransportContext(SETTINGS, Tasks(), Sweep()))
    assert caught.value.code == "nats_missing"


async def test_with_a_ca_file_that_is_none_it_does_not_start(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for ca_file in (tmp_path / "missing.pem", tmp_path, empty):
        context = TransportContext(SETTINGS, Tasks(), Sweep(), nats=NatsTable(ca_file=str(ca_file)))
        with pytest.raises(StartError, match=r"nats\.ca_file") as caught:
            await nats.create(context).start(LOCAL, Listener())
        assert caught.value.code == "nats_ca_file"


async def test_without_a_cluster_secret_it_does_not_start() -> None:
    settings = msgspec.structs.replace(SETTINGS, secrets=())
    with pytest.raises(StartError) as caught:
        await nats.create(TransportContext(settings, Tasks(), Sweep())).start(LOCAL, Listener())
    assert caught.value.code == "no_cluster_secret"
