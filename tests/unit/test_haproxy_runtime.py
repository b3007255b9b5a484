"""From what HAProxy has to what it should have: which commands, and what is told as drift."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core import haproxy_runtime as runtime
from wsplatform.core.haproxy_runtime import Running, drift, steps
from wsplatform.core.haproxy_servers import Server

COMMAND = re.compile(
    r"(add server|del server|enable health|set server) nodes/[A-Za-z0-9_.:-]+( [A-Za-z0-9_.:\[\] -]+)?"
)
DUMP = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change
3 nodes 1 n1 10.0.0.1 2 0 1 1 50 15 3 2 6 0 0 0 - 8000 - 0 0 - - 0
3 nodes 2 n2 fd00::2 0 1 4 3 49 15 3 2 14 0 0 0 - 8001 - 0 0 - - 0
3 nodes 3 n3 - 2 8 1 1 49 15 3 2 2 0 0 0 node-3 8000 - 0 0 - - 0
4 others 1 n4 10.0.0.4 2 0 100 100 50 15 3 2 6 0 0 0 - 8000 - 0 0 - - 0
"""


def wanted(name: str = "n1", **changes: object) -> Server:
    server = Server(name, "10.0.0.1", 8000, named=False, incarnation="a", ready=True)
    return replace(server, **changes)  # type: ignore[arg-type]


def present(name: str = "n1", **changes: object) -> Running:
    server = Running(name, "10.0.0.1", 8000, "", up=True, maintenance=False, drained=False, checked=True, weight=1)
    return replace(server, **changes)  # type: ignore[arg-type]


def by_name(*found: Running) -> dict[str, Running]:
    return {server.name: server for server in found}


def commands(server: Server | None, now: Running | None) -> list[str]:
    found = steps([server] if server else [], by_name(now) if now else {})
    return [command.replace("nodes/n1", "n1") for step in found for command in step.commands]


def test_a_dump_is_read() -> None:
    found = runtime.running(DUMP)
    assert list(found) == ["n1", "n2", "n3"]
    assert found["n1"] == present()
    assert (found["n2"].maintenance, found["n2"].checked, found["n2"].weight, found["n2"].port) == (True, True, 4, 8001)
    assert (found["n3"].address, found["n3"].looked_up, found["n3"].drained) == ("", "node-3", True)
    assert runtime.names(found.values()) == {
        ("10.0.0.1", 8000): "n1",
        ("[fd00::2]", 8001): "n2",
        ("node-3", 8000): "n3",
    }


@pytest.mark.parametrize(
    ("server", "now", "expected"),
    [
        (wanted(), present(), []),
        (wanted(ready=False), None, []),
        (wanted(ready=False), present(maintenance=True), []),
        (wanted(named=True, host="node-1"), None, []),
        (wanted(weight=3), present(), ["set server n1 weight 3"]),
        (wanted(), present(maintenance=True), ["set server n1 state ready"]),
        (wanted(), present(drained=True), ["set server n1 state ready"]),
        (wanted(), present(checked=False), ["enable health n1"]),
        (wanted(), present(checked=False, maintenance=True), ["enable health n1", "set server n1 state ready"]),
        (wanted(), present(address="10.6.6.6"), ["set server n1 addr 10.0.0.1 port 8000"]),
        (wanted(host="[::1]"), present(), ["set server n1 addr ::1 port 8000"]),
        (wanted(ready=False, draining=True), present(), ["set server n1 state maint"]),
        (wanted(ready=False, draining=True), present(maintenance=True), []),
        (None, present(), ["set server n1 state maint", "del server n1"]),
        (None, present(maintenance=True), ["del server n1"]),
        (
            wanted(weight=2),
            None,
            [
                "add server n1 10.0.0.1:8000 check inter 1s fastinter 250ms downinter 500ms rise 1 fall 2 weight 2",
                "enable health n1",
                "set server n1 state ready",
            ],
        ),
    ],
)
def test_what_leads_from_one_to_the_other(server: Server | None, now: Running | None, expected: list[str]) -> None:
    assert commands(server, now) == expected


def test_drift_is_what_changed_by_itself_and_not_what_is_on_its_way_out() -> None:
    applied = [wanted("n1"), wanted("n2"), wanted("n3")]
    now = by_name(present("n1", weight=9), present("n2", maintenance=True), present("old", maintenance=True))
    told = drift(applied, ["old"], now)
    assert told == ("n1 had weight 9 instead of 1", "n2 was in maintenance", "n3 was missing")
    assert drift(applied[:1], [], by_name(present("n1"), present("evil"))) == ("evil should not be there",) * 2


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)
flags = st.booleans()
servers = st.builds(
    Server,
    names,
    st.sampled_from(["10.0.0.1", "[::1]", "10.0.0.2"]),
    st.integers(1, 65535),
    st.just(False),
    st.just("a"),
    ready=st.just(True),
    weight=st.integers(1, 256),
)
states = st.builds(
    Running,
    names,
    st.sampled_from(["10.0.0.1", "::1", "", "10.9.9.9"]),
    st.integers(0, 65535),
    st.sampled_from(["", "node-1"]),
    flags,
    flags,
    flags,
    flags,
    st.integers(0, 256),
)


@given(st.lists(servers, max_size=5), st.lists(states, max_size=5))
def test_commands_are_one_line_each_and_lead_to_what_is_wanted(goal: list[Server], found: list[Running]) -> None:
    goal = list({server.name: server for server in goal}.values())
    now = by_name(*found)
    for step in steps(goal, now):
        for command in step.commands:
            assert COMMAND.fullmatch(command), command
            obey(command, now)
    assert steps(goal, now) == ()
    assert set(now) == {server.name for server in goal}


def obey(command: str, now: dict[str, Running]) -> None:
    """What HAProxy does with it, as far as `show servers state` tells."""
    words = command.split()
    name = words[2].removeprefix("nodes/")
    match words[0], words[1]:
        case "add", _:
            host, _, port = words[3].rpartition(":")
            now[name] = present(
                name, address=host.strip("[]"), port=int(port), maintenance=True, checked=False, weight=int(words[-1])
            )
        case "del", _:
            assert now.pop(name).maintenance
        case "enable", _:
            now[name] = replace(now[name], checked=True)
        case _ if words[3] == "weight":
            now[name] = replace(now[name], weight=int(words[4]))
        case _ if words[3] == "addr":
            now[name] = replace(now[name], address=words[4], port=int(words[6]), looked_up="")
        case _:
            now[name] = replace(now[name], maintenance=words[4] == "maint", drained=False)


@given(st.one_of(st.text(), st.lists(st.text(alphabet="1 nodes-.;\n\x0b", max_size=80)).map("\n".join)))
def test_whatever_answers_instead_of_haproxy_is_understood_or_left_out(text: str) -> None:
    for server in runtime.running(text).values():
        assert re.fullmatch(r"[A-Za-z0-9_.:-]+", server.name)
    assert runtime.worker(text) is None or "Pid" in text
    assert runtime.certificate(text) == "" or "SHA1" in text
    assert runtime.expiry(text) is None or "notAfter" in text


def test_the_end_of_a_certificate_is_a_moment() -> None:
    assert runtime.expiry("Serial: 1\nnotAfter: Jun  1 12:00:00 2027 GMT\nSubject: /CN=x\n") == 1_811_851_200
    assert runtime.expiry("notAfter: some day\n") is None


def test_the_process_tells_what_it_has_read() -> None:
    info = "Name: HAProxy\nPid: 42\ndescription: wsplatform-0123456789abcdef\n"
    assert runtime.worker(info) == runtime.Worker(42, "0123456789abcdef")
    assert runtime.worker("Pid: 42\ndescription: our own\n") == runtime.Worker(42, "")


@given(st.text(alphabet="AB\n\r \x0b", max_size=60))
def test_no_text_ends_a_payload_early(text: str) -> None:
    assert "" not in runtime.payload(f"x{text}").split("\n")


@pytest.mark.parametrize(
    ("command", "reply", "obeyed"),
    [
        ("add server nodes/n1 1.2.3.4:5", "New server registered.\n\n", True),
        ("add server nodes/n1 1.2.3.4:5", "Already exists a server with the same name in backend.\n", False),
        ("set server nodes/n1 state maint", "\n", True),
        ("set server nodes/n1 state maint", "No such server.\n", False),
        ("set server nodes/n1 addr 1.1.1.1 port 5", "IP changed from '1.1.1.2' to '1.1.1.1' by 'x'\n", True),
        ("set server nodes/n1 addr 1.1.1.1 port 5", "no need to change the addr, no need to change the port\n", True),
        ("set server nodes/n1 addr 1.1.1.1 port 5", "Invalid addr format", False),
        ("del server nodes/n1", "Server deleted.\n", True),
        ("del server nodes/n1", "Server still has connections attached to it, cannot remove it.\n", False),
        ("set ssl cert /x", "Transaction created for certificate /x!\n", True),
        ("set ssl cert /x", "Can't load the payload\n", False),
        ("commit ssl cert /x", "Committing /x.\nSuccess!\n", True),
        ("commit ssl cert /x", "No ongoing transaction! !\n", False),
    ],
)
def test_whether_haproxy_obeyed(command: str, reply: str, obeyed: bool) -> None:
    assert runtime.done(command, reply) is obeyed
