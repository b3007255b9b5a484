"""What is written into HAProxy's configuration: nothing but the servers asked for, whatever members call themselves."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.haproxy_config import plan, render, render_for_view, untouched
from wsplatform.core.haproxy_sections import SECTIONS, Snippets
from wsplatform.core.haproxy_servers import server
from wsplatform.errors import PlatformError, SettingsError
from wsplatform.model import Member, View
from wsplatform.settings import HAProxyTable

GOLDEN = Path(__file__).parent / "golden" / "haproxy.cfg"
TABLE = HAProxyTable()
SERVER = re.compile(
    r"    server [A-Za-z0-9][A-Za-z0-9_.-]{0,63} (\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5} weight [0-9]{1,3}"
)
OURS = re.compile(r"    description wsplatform-[0-9a-f]{16}\Z|# Seal: [0-9a-f]{64}\Z")
REMARK = re.compile(r"    # [A-Za-z0-9][A-Za-z0-9_.-]{0,63} is run [A-Za-z0-9_.-]{1,64}")


def member(node_id: str = "n1", url: str = "http://10.0.0.1:8000", incarnation: str = "a1") -> Member:
    return Member(node_id=node_id, incarnation=incarnation, cluster_url="ws://10.0.0.1:8000", client_url=url)


def servers(text: str) -> list[str]:
    found = [line.strip() for line in text.splitlines() if line.startswith("    server ")]
    return [line.removesuffix(" weight 1") for line in found]


wild = st.one_of(
    st.text(max_size=80),
    st.text(alphabet=st.sampled_from("n1.-_ \n\r\t\"'\\#${}%:/;@[]\x00\u2028\u0661"), max_size=20),
    st.builds(
        "{}{}{}".format, st.sampled_from(["n1", "a.b"]), st.sampled_from("\n\r \x0b\x85\u2028"), st.text(max_size=9)
    ),
)
urls = st.one_of(
    wild,
    st.builds("http://{}:{}".format, wild, st.one_of(st.integers(-1, 70000), wild)),
    st.builds("http://10.0.0.1:8000{}".format, wild),
    st.builds("http://{}:{}".format, st.ip_addresses(v=4), st.integers(0, 70000)),
    st.builds("http://[{}]:{}".format, st.ip_addresses(v=6), st.integers(0, 70000)),
)
members = st.lists(
    st.builds(member, st.one_of(wild, st.from_regex(r"[a-z0-9]{1,4}", fullmatch=True)), urls, wild), max_size=6
)


@given(members)
def test_no_member_adds_anything_but_its_own_server(found: list[Member]) -> None:
    result = plan(TABLE, found)
    empty = [line for line in render(TABLE, ()).splitlines() if not OURS.match(line)]
    lines = [line for line in result.text.split("\n") if not OURS.match(line)]
    assert lines.pop() == ""
    before = empty.index("listen status")
    added = lines[before : len(lines) - len(empty) + before]
    assert [*lines[:before], *lines[before + len(added) :]] == empty
    assert all(SERVER.fullmatch(line) or REMARK.fullmatch(line) for line in added)
    assert len([line for line in added if SERVER.fullmatch(line)]) == len(result.servers)
    assert len({entry.address for entry in result.servers}) == len(result.servers)
    for each in found:
        alone = plan(TABLE, [each])
        assert len(alone.servers) + len(alone.refused) == (1 if each.client_url else 0)


@given(
    st.permutations(
        [
            member("n1"),
            member("n2", "http://node-2:80"),
            member("n10", "http://[::1]:80"),
            member("N1", "http://10.0.0.2:80"),
        ]
    )
)
def test_equal_members_in_any_order_give_equal_bytes(found: list[Member]) -> None:
    assert render(TABLE, found) == render(TABLE, reversed(found))
    assert [entry.name for entry in plan(TABLE, found).servers] == ["N1", "n1", "n10", "n2"]


@given(
    st.sampled_from(
        [
            "bind",
            "tls_bind",
            "status_bind",
            "operators_url",
            "certificate",
            "config_file",
            "master_socket",
            "stats_socket",
            "user",
            "group",
        ]
    ),
    st.one_of(wild, st.builds("/{}".format, wild), st.builds("{}:80".format, wild), st.builds("x{}".format, wild)),
)
def test_no_setting_adds_a_word_to_the_configuration(name: str, value: str) -> None:
    full = HAProxyTable(certificate="/c.pem", user="u", group="g", operators_url="http://10.0.0.9:80")
    table = msgspec.structs.replace(full, **{name: value})
    try:
        text = render(table, [member()])
    except SettingsError:
        return
    words = [len(line.split(" ")) for line in render(full, [member()]).splitlines()]
    found = [len(line.split(" ")) for line in text.splitlines()]
    if value:
        assert found == words
        assert not re.search(r"[^ -~\n]", text)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (member("n1\n    server evil 10.6.6.6:80"), "id"),
        (member("n1 10.6.6.6:80 check\x00"), "id"),
        (member("n1\n"), "id"),
        (member(""), "id"),
        (member("n" * 65), "id"),
        (member("n1", incarnation="a\nlisten evil"), "incarnation"),
        (member(url="http://10.0.0.1:8000 backup"), "address"),
        (member(url="http://10.0.0.1:8000\n"), "address"),
        (member(url="http://10.0.0.1:8000/path"), "address"),
        (member(url="http://user@10.0.0.1:8000"), "address"),
        (member(url="http://10.0.0.1:0"), "address"),
        (member(url="http://10.0.0.1:65536"), "address"),
        (member(url="http://-x:80"), "address"),
        (member(url="http://a..b:80"), "address"),
        (member(url="http://[10.0.0.1:80"), "address"),
        (member(url="https://10.0.0.1:8000"), "address"),
        (member(url="unix@/run/docker.sock"), "address"),
    ],
)
def test_a_member_that_cannot_be_written_is_refused_with_a_code_and_harms_no_other(bad: Member, why: str) -> None:
    with pytest.raises(PlatformError, match=why) as caught:
        render_for_view(TABLE, View(1, (bad, member("good"))))
    assert caught.value.code == "bad_member"
    assert "\n" not in caught.value.message
    assert servers(plan(TABLE, [bad, member("good")]).text) == ["server good 10.0.0.1:8000"]


def test_of_two_members_with_one_id_one_is_listed() -> None:
    result = plan(TABLE, [member(incarnation="b", url="http://10.0.0.2:8000"), member(incarnation="a")])
    assert servers(result.text) == ["server n1 10.0.0.1:8000"]
    assert [error.code for error in result.refused] == ["bad_member"]


def test_workers_behind_one_address_are_one_server_that_is_ready_when_one_of_them_is() -> None:
    first, second, third = (member(f"host-{number}") for number in (1, 2, 3))
    for ready in ((), (first,), (second,), (first, third)):
        members = [msgspec.structs.replace(each, ready=each in ready) for each in (third, second, first)]
        result = plan(TABLE, [*members, member("other", "http://10.0.0.1:8001")])
        assert [entry.name for entry in result.servers] == ["host-1", "other"]
        assert [entry.ready for entry in result.servers] == [bool(ready), False]
        assert [entry.weight for entry in result.servers] == [max(len(ready), 1), 1]
        assert result.refused == ()


def test_the_workers_of_a_host_keep_their_name_while_one_of_them_is_there() -> None:
    first, second = member("host-1"), member("host-2")
    place = ("10.0.0.1", 8000)
    for known, found, expected in (
        ("host-1", [second], "host-1"),  # clients have it in their cookies
        ("host-2", [first, second], "host-2"),
        ("other", [second], "host-2"),
        ("host", [second], "host-2"),
        ("host-1", [second, member("host-1", "http://10.0.0.2:8000")], "host-2"),  # it is elsewhere now
        ("host-1", [member("n1")], "n1"),
    ):
        chosen = plan(TABLE, found, names={place: known}).servers
        assert [entry.name for entry in chosen if entry.place == place] == [expected]


def test_what_can_be_done_at_run_time_does_not_change_the_structure() -> None:
    def structure(*found: Member, table: HAProxyTable = TABLE) -> str:
        return plan(table, found).structure

    ready = msgspec.structs.replace(member("w-2", "http://node-1:80"), ready=True)
    assert structure() == structure(member()) == structure(member("n2", "http://[::1]:1"), member())
    assert structure(member("w-1", "http://node-1:80")) == structure(member("w-1", "http://node-1:80"), ready)
    assert structure() != structure(member(url="http://node-1:80"))
    assert structure() != structure(table=msgspec.structs.replace(TABLE, max_connections=9))


def test_every_edit_by_hand_shows() -> None:
    text = render(TABLE, [member()])
    assert untouched(text)
    for edited in (text + "#\n", text.replace("weight 1", "weight 2"), text[:-2], text[1:], "", "global\n"):
        assert not untouched(edited)


def test_a_users_own_lines_are_at_the_ends_of_their_sections() -> None:
    own = Snippets({section: f"    # mine for {section}\n" for section in SECTIONS})
    lines = render(TABLE, [member()], own).splitlines()
    mine = [lines.index(f"    # mine for {section}") for section in SECTIONS]
    heads = [lines.index(head) for head in ("global", "defaults", "frontend clients", "backend nodes", "listen status")]
    assert mine == sorted(mine)
    assert all(head < place for head, place in zip(heads, mine, strict=True))
    assert all(place < head for place, head in zip(mine, heads[1:], strict=False))


def test_limits_and_routes_are_there_only_where_they_are_set() -> None:
    plain = render(TABLE, ())
    assert "stick-table" not in plain
    assert "/cluster /metrics /admin /dashboard" in plain
    full = HAProxyTable(
        address_connections=5, address_connection_rate=2, address_request_rate=3, operators_url="http://10.0.0.9:8000"
    )
    text = render(full, ())
    assert "store conn_rate(10s),conn_cur,http_req_rate(10s)" in text
    assert "sc0_conn_rate gt 20 " in text
    assert "m beg /cluster /metrics\n" in text
    assert "server registry 10.0.0.9:8000" in text


def test_the_registry_takes_no_clients_and_a_node_that_is_not_ready_yet_is_listed() -> None:
    registry = Member(node_id="registry", incarnation="a", cluster_url="ws://10.0.0.9:1", client_url="")
    assert servers(render(TABLE, [registry, member()])) == ["server n1 10.0.0.1:8000"]
    assert not member().ready


def test_the_run_of_a_node_shows_only_where_its_address_must_be_looked_up_again() -> None:
    def text(url: str, incarnation: str) -> str:
        return render(TABLE, [member(url=url, incarnation=incarnation)])

    assert text("http://10.0.0.1:80", "a") == text("http://10.0.0.1:80", "b")
    assert text("http://node-1:80", "a") != text("http://node-1:80", "b")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://10.0.0.1", "10.0.0.1:80"),
        ("http://10.0.0.1:8000/", "10.0.0.1:8000"),
        ("http://[fd00::1]:8000", "[fd00::1]:8000"),
        ("http://node_1.wsplatform.svc:8000", "node_1.wsplatform.svc:8000"),
    ],
)
def test_addresses(url: str, address: str) -> None:
    assert server(member(url=url)).address == address


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bind", "127.0.0.1:8080 ssl"),
        ("bind", "127.0.0.1:0"),
        ("bind", "127.0.0.1:65536"),
        ("bind", "127.0.0.1:80-90"),
        ("bind", ""),
        ("certificate", "site.pem"),
        ("certificate", "/a b.pem"),
        ("stats_socket", "/" + "x" * 90),
        ("user", "root\n"),
        ("tunnel_seconds", float("inf")),
        ("tunnel_seconds", 0.0),
        ("max_connections", 0),
        ("status_bind", "127.0.0.1:8080"),
        ("status_bind", "x y:1"),
        ("operators_url", "https://x"),
        ("operators_url", "http://x y"),
        ("redirect", True),
        ("snippets", "a b"),
        ("address_connections", -1),
        ("check_seconds", 0.0),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(key: str, value: object) -> None:
    table = msgspec.structs.replace(TABLE, **{key: value})
    with pytest.raises(SettingsError) as caught:
        render(table, ())
    assert caught.value.key == f"haproxy.{key}"


def test_tls_is_served_once_there_is_a_certificate_and_plain_http_only_where_wanted() -> None:
    def binds(table: HAProxyTable) -> list[str]:
        text = render(msgspec.structs.replace(table, status_bind=""), ())
        return [line.split()[1] for line in text.splitlines() if line.startswith("    bind ")]

    assert binds(HAProxyTable(bind="*:80", tls_bind="*:443")) == ["*:80"]
    assert binds(HAProxyTable(bind="*:80", tls_bind="*:443", certificate="/c.pem")) == ["*:80", "*:443"]
    assert binds(HAProxyTable(bind="", tls_bind="*:443", certificate="/c.pem")) == ["*:443"]
    with pytest.raises(SettingsError):
        render(HAProxyTable(bind="*:443", tls_bind="*:443", certificate="/c.pem"), ())


def test_a_typical_configuration_is_what_it_was_when_people_last_read_it() -> None:
    table = HAProxyTable(
        bind="*:80", tls_bind="*:443", certificate="/etc/haproxy/site.pem", user="haproxy", group="haproxy"
    )
    assert render(table, [member("n2", "http://node-2:8000"), member("n1")]) == GOLDEN.read_text()
