"""The formats between nodes: what is encoded comes back, and anything else raises EnvelopeError and nothing more."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsplatform.model import ClientInfo, Publication
from wsplatform.wire import cluster
from wsplatform.wire.cluster import (
    Envelope,
    EnvelopeError,
    Interest,
    InterestAck,
    InterestPart,
    InterestReset,
    Publish,
    PublishedBy,
    Request,
    Response,
)

text = st.text(st.characters(codec="utf-8"), max_size=30)
number = st.integers(0, 2**63 - 1)
names = st.lists(text, max_size=5).map(tuple)
maybe_bytes = st.none() | st.binary(max_size=30)
tags = st.none() | st.dictionaries(text, text, max_size=3)
envelopes: st.SearchStrategy[Envelope] = st.one_of(
    st.builds(
        Publish, text, st.binary(), st.none() | st.builds(PublishedBy, text, text, maybe_bytes, maybe_bytes), tags
    ),
    st.builds(InterestReset, number),
    st.builds(InterestPart, number, names, st.booleans()),
    st.builds(Interest, number, names, names),
    st.builds(InterestAck, number),
    st.builds(Request, number, text, st.binary()),
    st.builds(Response, number, st.none() | text, st.binary()),
)
raw = st.binary(min_size=1, max_size=30).map(msgspec.Raw)
publications = st.builds(
    Publication, raw, st.none() | st.builds(ClientInfo, text, text, st.none() | raw, st.none() | raw), tags
)


@given(envelopes)
def test_an_envelope_comes_back(envelope: Envelope) -> None:
    assert cluster.decode(cluster.encode(envelope)) == envelope


@given(text, publications)
def test_a_publication_comes_back_with_its_json_untouched(channel: str, publication: Publication) -> None:
    envelope = cluster.decode(cluster.encode_publication(channel, publication))
    assert isinstance(envelope, Publish)
    assert (envelope.channel, envelope.publication()) == (channel, publication)


@given(envelopes, st.data())
def test_a_cut_envelope_is_refused(envelope: Envelope, data: st.DataObject) -> None:
    encoded = cluster.encode(envelope)
    with pytest.raises(EnvelopeError):
        cluster.decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@given(st.binary(max_size=300))
@example(b"\x92\x02" + b"\x91" * 5000)
@example(b"\x93\x02\x01" + b"\x91" * 5000)
@example(b"\x92\x05\xa2\xff\xff")
@example(b"\x92\x63\x01")
@example(b"")
def test_garbage_raises_nothing_but_the_documented_error(garbage: bytes) -> None:
    for decode in (cluster.decode, cluster.decode_batch):
        with contextlib.suppress(EnvelopeError):
            decode(garbage)


@given(envelopes, st.binary(min_size=1, max_size=5), st.integers(0, 200))
def test_a_changed_envelope_raises_nothing_but_the_documented_error(envelope: Envelope, new: bytes, at: int) -> None:
    encoded = cluster.encode(envelope)
    with contextlib.suppress(EnvelopeError):
        cluster.decode(encoded[:at] + new + encoded[at + len(new) :])


def test_a_later_release_may_append_to_an_envelope() -> None:
    assert cluster.decode(msgspec.msgpack.encode([5, 17, {"new": True}])) == InterestAck(17)


@given(st.lists(st.binary(max_size=50)))
def test_a_batch_comes_back_in_order(batch: list[bytes]) -> None:
    assert cluster.decode_batch(cluster.encode_batch(batch)) == batch


@given(st.lists(st.binary(max_size=50)), st.integers(1, 120))
def test_runs_hold_everything_in_order_and_stay_below_the_limit(batch: list[bytes], limit: int) -> None:
    runs = list(cluster.split(batch, limit))
    assert [envelope for run in runs for envelope in run] == batch
    for run in runs:
        assert run
        assert len(run) == 1 or len(cluster.encode_batch(run)) <= limit
