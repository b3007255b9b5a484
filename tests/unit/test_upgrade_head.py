"""The request that opens a websocket: what is let through, and how everything else is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.net.upgrade import Refuse, UpgradeRequest, read_upgrade, refusal, request_path

GOOD = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def head(line: str = "GET /ws HTTP/1.1", more: str = "", **changed: str | None) -> bytes:
    fields = GOOD | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [line, *(f"{name}: {value}" for name, value in fields.items() if value is not None), more]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n"


def read(data: bytes) -> UpgradeRequest:
    request = read_upgrade(data, "10.0.0.1")
    assert isinstance(request, UpgradeRequest), request
    return request


def test_a_browser_is_let_in() -> None:
    more = "Origin: https://example.com\r\nX-Forwarded-For: 1.1.1.1\r\nx-forwarded-for:  2.2.2.2 \r\nX-Empty:\r\n"
    request = read(head("GET /ws/a%20b?token=x&y=?z HTTP/1.1", more))
    assert request.path == "/ws/a%20b"
    assert request.query == "token=x&y=?z"
    assert request.headers["origin"] == "https://example.com"
    assert request.headers["x-forwarded-for"] == "1.1.1.1, 2.2.2.2"
    assert request.headers["x-empty"] == ""
    assert request.remote == "10.0.0.1"
    assert request.subprotocols == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"Upgrade": "WebSocket"},
        {"Upgrade": "h2c, websocket"},
        {"Connection": "keep-alive, upgrade"},
        {"Sec_WebSocket_Protocol": ""},
        {"Content_Length": "0"},
    ],
)
def test_what_clients_vary_is_let_in(changed: dict[str, str]) -> None:
    read(head(**changed))


def test_subprotocols_are_listed_in_order() -> None:
    assert read(head(Sec_WebSocket_Protocol="b.v1, a,c")).subprotocols == ("b.v1", "a", "c")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(head("POST /ws HTTP/1.1"), 405, id="method"),
        pytest.param(head("GET /ws HTTP/1.0"), 400, id="HTTP/1.0"),
        pytest.param(head("GET /ws HTTP/2.0"), 400, id="HTTP/2.0"),
        pytest.param(head("GET /w s HTTP/1.1"), 400, id="space in the target"),
        pytest.param(head(Host=None), 400, id="no host"),
        pytest.param(head(Upgrade=None), 426, id="no upgrade"),
        pytest.param(head(Upgrade="h2c"), 426, id="another upgrade"),
        pytest.param(head(Connection="close"), 426, id="connection without upgrade"),
        pytest.param(head(Sec_WebSocket_Version="8"), 426, id="version"),
        pytest.param(head(Sec_WebSocket_Version=None), 426, id="no version"),
        pytest.param(head(Sec_WebSocket_Key=None), 400, id="no key"),
        pytest.param(head(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25j"), 400, id="short key"),
        pytest.param(head(Sec_WebSocket_Key="?" * 24), 400, id="key not base64"),
        pytest.param(head(Sec_WebSocket_Protocol="a b"), 400, id="subprotocol"),
        pytest.param(head(Sec_WebSocket_Protocol="a,,b"), 400, id="empty subprotocol"),
        pytest.param(head(Content_Length="5"), 400, id="body"),
        pytest.param(head(Transfer_Encoding="chunked"), 400, id="chunked body"),
        pytest.param(head(more="Host: other\r\n"), 400, id="two hosts"),
        pytest.param(head(more="Origin: a\r\nOrigin: b\r\n"), 400, id="two origins"),
        pytest.param(head(more="Folded: a\r\n b\r\n"), 400, id="folded line"),
        pytest.param(head(more="No colon\r\n"), 400, id="no colon"),
        pytest.param(head(more="Name : x\r\n"), 400, id="space before the colon"),
        pytest.param(head(more=": x\r\n"), 400, id="no name"),
        pytest.param(head(more="X: a\nY: b\r\n"), 400, id="bare line feed"),
        pytest.param(head(more="X: a\x00b\r\n"), 400, id="zero byte"),
    ],
)
def test_everything_else_is_refused(data: bytes, status: int) -> None:
    refuse = read_upgrade(data, "")
    assert isinstance(refuse, Refuse)
    assert refuse.status == status


@given(st.binary(max_size=300))
def test_any_head_can_be_read(data: bytes) -> None:
    read_upgrade(data + b"\r\n\r\n", "")
    request_path(data)
    read_upgrade(head(more="X: ")[:-4] + data.replace(b"\r\n\r\n", b"") + b"\r\n\r\n", "")


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60))
def test_any_target_in_ascii_is_split_at_its_first_question_mark(target: str) -> None:
    request = read(head(f"GET {target} HTTP/1.1"))
    assert f"{request.path}?{request.query}".rstrip("?") == target.rstrip("?")


def test_a_refusal_is_json_with_its_headers() -> None:
    response = refusal(Refuse(405, "method_not_allowed", "Use GET.", (("Allow", "GET"),)))
    start, _, body = response.partition(b"\r\n\r\n")
    lines = start.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 405 Method Not Allowed"
    assert {"Allow: GET", "Connection: close", f"Content-Length: {len(body)}"} < set(lines)
    assert json.loads(body) == {"error": {"code": "method_not_allowed", "message": "Use GET."}}
    assert refusal(Refuse(599, "odd", "Odd.")).startswith(b"HTTP/1.1 599 \r\n")
