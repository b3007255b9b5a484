"""Requests and replies of the server API, without HTTP."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.errors import UNKNOWN_CHANNEL, CommandError, RequestError
from wsplatform.wire import server_api as api


def body(**params: Any) -> bytes:
    return json.dumps(params).encode()


def refused(method: str, request: bytes) -> CommandError:
    with pytest.raises(CommandError) as caught:
        api.decode(method, request)
    return caught.value


def published(request: bytes) -> bytes:
    decoded = api.decode("publish", request)
    assert isinstance(decoded, api.Publish)
    return bytes(decoded.publication().data)


@pytest.mark.parametrize("data", [b"null", b'"text"', b"0", b"-1.5e300", b"[]", b'{"a":1}', b'"\\u2028\\n"', b"1e999"])
def test_any_json_is_data_and_stays_as_it_is(data: bytes) -> None:
    assert published(b'{"channel":"c","data":' + data + b"}") == data


def test_data_is_one_line_and_keeps_its_digits() -> None:
    request = b'{"channel": "c", "data": {\n  "a": 1.00000000000000000001,\r\n  "b": "x\\ny"\n}\n}'
    assert published(request) == b'{"a":1.00000000000000000001,"b":"x\\ny"}'


def test_tags_go_with_the_publication() -> None:
    request = api.decode("publish", body(channel="c", data=1, tags={"k": "v"}))
    assert isinstance(request, api.Publish)
    assert request.publication().tags == {"k": "v"}


def test_data_that_some_subscriber_could_not_read_is_refused() -> None:
    with pytest.raises(CommandError) as caught:
        published(b'{"channel":"c","data":' + b"[" * 100 + b"]" * 100 + b"}")
    assert caught.value.number == 107


@pytest.mark.parametrize(
    "harmless",
    [
        {"skip_history": True},
        {"b64data": ""},
        {"idempotency_key": ""},
        {"delta": False},
        {"version": 0, "version_epoch": ""},
        {"tags": None, "b64data": None, "idempotency_key": None, "delta": None, "version": None, "skip_history": None},
    ],
)
@pytest.mark.parametrize("method", ["publish", "broadcast"])
def test_parameters_that_ask_for_nothing_are_accepted(method: str, harmless: dict[str, Any]) -> None:
    api.decode(method, body(**({"channel": "c"} if method == "publish" else {"channels": ["c"]}), data={}, **harmless))


USER: dict[str, Any] = {"user": "u"}
SUB = {"user": "u", "channel": "c"}


@pytest.mark.parametrize(
    ("method", "params", "number", "named"),
    [
        ("publish", {"channel": "c"}, 107, "data"),
        ("publish", {"data": 1}, 107, "channel"),
        ("publish", {"channel": 5, "data": 1}, 107, "channel"),
        ("publish", {"channel": None, "data": 1}, 107, "channel"),
        ("publish", {"channel": "c", "data": 1, "tags": {"a": 1}}, 107, "tags"),
        ("publish", {"channel": "c", "data": 1, "skip_history": "yes"}, 107, "skip_history"),
        ("publish", {"channel": "c", "data": 1, "ttl": 5}, 107, "ttl"),
        ("publish", {"channel": "c", "b64data": "eA=="}, 108, "b64data"),
        ("publish", {"channel": "c", "data": 1, "idempotency_key": "k"}, 108, "idempotency_key"),
        ("publish", {"channel": "c", "data": 1, "delta": True}, 108, "delta"),
        ("publish", {"channel": "c", "data": 1, "version": 3}, 108, "version"),
        ("publish", {"channel": "c", "data": 1, "version_epoch": "e"}, 108, "version_epoch"),
        ("broadcast", {"data": 1}, 107, "channels"),
        ("broadcast", {"channels": [], "data": 1}, 107, "channels"),
        ("broadcast", {"channels": "c", "data": 1}, 107, "channels"),
        ("broadcast", {"channels": ["c"] * (api.MAX_CHANNELS + 1), "data": 1}, 107, "channels"),
        ("broadcast", {"channels": ["c"], "data": 1, "idempotency_key": "k"}, 108, "idempotency_key"),
        ("disconnect", {}, 107, "user"),
        ("disconnect", {"user": ""}, 107, "user"),
        ("disconnect", USER | {"session": "s"}, 108, "session"),
        ("disconnect", USER | {"whitelist": "c"}, 107, "whitelist"),
        ("disconnect", USER | {"disconnect": {"reason": "x"}}, 107, "code"),
        ("disconnect", USER | {"disconnect": {"code": 2999}}, 107, "disconnect.code"),
        ("disconnect", USER | {"disconnect": {"code": 5000}}, 107, "disconnect.code"),
        ("disconnect", USER | {"disconnect": {"code": 4000, "reason": "é" * 62}}, 107, "disconnect.reason"),
        ("disconnect", USER | {"disconnect": {"code": 4000, "reconnect": True}}, 107, "reconnect"),
        ("unsubscribe", USER, 107, "channel"),
        ("unsubscribe", SUB | {"session": "s"}, 108, "session"),
        ("unsubscribe", {"user": "", "channel": "c"}, 107, "user"),
        ("subscribe", USER, 107, "channel"),
        ("subscribe", SUB | {"info": {}}, 108, "info"),
        ("subscribe", SUB | {"b64info": "e30="}, 108, "b64info"),
        ("subscribe", SUB | {"data": {"a": 1}}, 108, "data"),
        ("subscribe", SUB | {"b64data": "e30="}, 108, "b64data"),
        ("subscribe", SUB | {"recover_since": {"offset": 1, "epoch": "e"}}, 108, "recover_since"),
        ("subscribe", SUB | {"expire_at": 2_000_000_000}, 108, "expire_at"),
        ("subscribe", SUB | {"override": {"presence": {"value": True}}}, 108, "override"),
        ("subscribe", SUB | {"override": {"size": {"value": True}}}, 107, "size"),
        ("channels", {"pattern": 1}, 107, "pattern"),
        ("info", {"all": True}, 107, "all"),
        ("batch", {}, 107, "commands"),
        ("batch", {"commands": {}}, 107, "commands"),
        ("batch", {"commands": [1]}, 107, "commands[0]"),
        ("batch", {"commands": [{"info": {}}] * (api.MAX_COMMANDS + 1)}, 107, "commands"),
        ("presence", {"channel": "c"}, 108, "presence"),
        ("presence_stats", {"channel": "c"}, 108, "presence_stats"),
        ("history", {"channel": "c", "limit": 5}, 108, "history"),
        ("history_remove", {"channel": "c"}, 108, "history_remove"),
        ("refresh", USER, 108, "refresh"),
        ("rpc", {"method": "m"}, 104, "rpc"),
        ("Publish", {"channel": "c", "data": 1}, 104, "Publish"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(method: str, params: dict[str, Any], number: int, named: str) -> None:
    error = refused(method, body(**params))
    assert error.number == number
    assert named in error.message
    if number == 107:
        assert error.message.startswith(named) or f"`{named}`" in error.message


def test_a_session_without_a_user_is_named_by_its_client() -> None:
    request = api.decode("disconnect", body(user="", client="id"))
    assert isinstance(request, api.Disconnect)
    assert request.client == "id"


def test_overrides_that_change_nothing_are_accepted() -> None:
    override = {"presence": {"value": False}, "force_recovery": None}
    api.decode("subscribe", body(user="u", channel="c", override=override, info=None, data=None, expire_at=0))


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"{",
        b"nonsense",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b'{"channel":"c","data":NaN}',
        b'{"channel":"c","data":"\n"}',
        b'{"channel":"c","data":"\xff"}',
        b'{"channel":"\xff","data":1}',
        b'{"channel":"c","data":"\\ud800"}',
        b'{"channel":"c","data":01}',
        b'{"channel":"c","data":[1,]}',
        b"[" * 100_000,
        b'{"channel":"c","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"channel":"c","data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_is_told_apart(request_: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        api.decode("publish", request_)
    assert caught.value.status == 400
    assert caught.value.code == "malformed_json"


@pytest.mark.parametrize("request_", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_json_that_is_no_object_is_a_bad_request(request_: bytes) -> None:
    assert refused("publish", request_).number == 107


def test_each_command_of_a_batch_is_read_on_its_own() -> None:
    batch = api.decode(
        "batch", b'{"commands":[{"publish":{"channel":"c","data":1},"info":null},{"info":{}}],"parallel":true}'
    )
    assert isinstance(batch, api.Batch)
    assert [api.decode_command(command)[0] for command in batch.commands] == ["publish", "info"]


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (b"{}", 107),
        (b'{"info":{},"channels":{}}', 107),
        (b'{"info":null}', 107),
        (b'{"info":1}', 107),
        (b'{"nothing":{}}', 104),
        (b'{"batch":{"commands":[]}}', 104),
        (b'{"presence":{"channel":"c"}}', 108),
    ],
)
def test_a_wrong_command_of_a_batch_is_refused(command: bytes, number: int) -> None:
    batch = api.decode("batch", b'{"commands":[' + command + b"]}")
    assert isinstance(batch, api.Batch)
    with pytest.raises(CommandError) as caught:
        api.decode_command(batch.commands[0])
    assert caught.value.number == number


def test_replies_look_as_the_api_has_them() -> None:
    error = api.failure(CommandError(UNKNOWN_CHANNEL, "no such channel"))
    assert json.loads(api.encode_reply(api.DONE)) == {"result": {}}
    assert json.loads(api.encode_reply(error)) == {"error": {"code": 102, "message": "no such channel"}}
    assert json.loads(api.encode_reply(api.Reply(result=api.BroadcastResult([api.DONE, error])))) == {
        "result": {"responses": [{"result": {}}, {"error": {"code": 102, "message": "no such channel"}}]}
    }
    assert json.loads(api.encode_batch([("publish", api.DONE), ("publish", error)])) == {
        "replies": [{"publish": {}}, {"error": {"code": 102, "message": "no such channel"}}]
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from([None, 0, 2, "\t"]))
def test_data_means_the_same_after_publishing(data: Any, indent: Any) -> None:
    text = published(json.dumps({"channel": "c", "data": data}, indent=indent).encode())
    assert b"\n" not in text
    assert json.loads(text) == data


@given(st.sampled_from([*api.METHODS, "history", "other"]), st.binary(max_size=60))
def test_any_bytes_are_a_request_or_refused(method: str, request: bytes) -> None:
    with suppress(CommandError, RequestError):
        api.decode(method, request)


FIELDS = sorted(
    {"channel", "channels", "user", "client", "data", "tags", "commands", "pattern", "disconnect", "override"}
)


@given(st.sampled_from(api.METHODS), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5))
def test_any_parameters_are_a_request_or_refused(method: str, params: dict[str, Any]) -> None:
    with suppress(CommandError):
        request = api.decode(method, body(**params))
        if isinstance(request, api.Batch):
            for command in request.commands:
                api.decode_command(command)
