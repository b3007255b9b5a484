"""HAProxy's words about its servers and processes, as it says them and as anything else might."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.haproxy_servers import Server
from wsplatform.core.haproxy_state import Processes, Worker, processes, server_state

DUMP = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change
3 nodes 1 n1 10.0.0.1 2 0 100 100 50 15 3 2 6 0 0 0 - 8000 - 0 0 - - 0
3 nodes 2 n2 10.0.0.2 0 0 100 100 49 15 3 2 6 0 0 0 - 8000 - 0 0 - - 0
3 nodes 3 n3 10.0.0.3 2 0 100 100 49 15 3 2 6 0 0 0 node-3 8000 - 0 0 - - 0
4 others 1 n4 10.0.0.4 2 0 100 100 50 15 3 2 6 0 0 0 - 8000 - 0 0 - - 0

"""
PROCESSES = """#<PID>          <type>          <reloads>       <uptime>        <version>
1162            master          5 [failed: 1]   0d00h02m07s     2.6.12-1+deb12u4
# workers
1271            worker          1               1d02h03m04s     2.6.12-1+deb12u4
# old workers
1233            worker          3               0d00h00m43s     2.6.12-1+deb12u4
# programs

"""


def server(name: str, address: str = "10.0.0.1:8000", *, named: bool = False, ready: bool = True) -> Server:
    host, _, port = address.rpartition(":")
    return Server(name, host, int(port), named, "a1", ready)


def names(state: str) -> dict[str, str]:
    """Server and operational state ("2" up, "0" down) of each line."""
    return {line.split()[3]: line.split()[5] for line in state.splitlines()[1:]}


def test_health_is_kept_over_a_reload_for_servers_that_stay_where_they_are() -> None:
    wanted = [server("n1"), server("n2", "10.0.0.2:8000"), server("n3", "node-3:8000", named=True)]
    assert names(server_state(DUMP, wanted)) == {"n1": "2", "n2": "0", "n3": "2"}


@pytest.mark.parametrize("moved", [server("n1", "10.0.0.1:8001"), server("n1", "10.0.0.9:8000")])
def test_health_of_another_address_is_not_inherited(moved: Server) -> None:
    assert names(server_state(DUMP, [moved])) == {}


def test_a_new_server_waits_for_its_first_check_unless_it_is_known_to_be_ready() -> None:
    new = [server("n8", ready=False), server("n9", ready=True), server("n7", "node-7:80", named=True, ready=False)]
    for dump in (DUMP, ""):
        assert names(server_state(dump, new)) == {"n8": "0", "n7": "0"}


@given(st.one_of(st.text(), st.lists(st.text(alphabet="1 nodes-.\n\x0b", max_size=80)).map("\n".join)))
def test_a_state_file_has_one_line_for_each_server_at_most_whatever_was_read(dump: str) -> None:
    lines = server_state(dump, [server("n1"), server("n", ready=False)]).split("\n")
    assert lines[0] == "1"
    assert lines[-1] == ""
    assert all(len(line.split(" ")) == 25 for line in lines[1:-1])
    assert len(lines) <= 4


def test_processes_are_read() -> None:
    found = processes(PROCESSES)
    assert found == Processes(5, 1, (Worker(1271, 1, 93784), Worker(1233, 3, 43)))
    assert found.newest == Worker(1271, 1, 93784)


@given(st.text())
def test_whatever_answers_instead_of_haproxy_is_no_processes(text: str) -> None:
    assert processes(text) is None
    assert processes("") is None
