"""Hosts that nothing can listen on."""

from __future__ import annotations

import pytest

from wsplatform.errors import StartError
from wsplatform.net.listen import bind


@pytest.mark.parametrize("host", ["300.1.1.1", "..", "a..b", "a" * 64, "\udcff", "192.0.2.1"])
async def test_a_host_that_is_no_address_of_this_machine_is_told(host: str) -> None:
    with pytest.raises(StartError) as caught:
        bind(host, 0)
    assert caught.value.code == "address_unusable"
    assert "node.host" in caught.value.message
