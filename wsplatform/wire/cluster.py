"""What nodes say to each other: envelopes (msgpack), and batches of envelopes as a transport may carry them.

An envelope is an array whose first element is its kind; unknown elements at its end are ignored, so that a later
release of the same protocol version may add some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from wsplatform.errors import PlatformError
from wsplatform.model import ClientInfo, Publication

UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding can raise; the latter two for a string that is not UTF-8, and for very deep nesting."""


class EnvelopeError(PlatformError):
    """Bytes that are no envelope or batch of this protocol version."""

    def __init__(self) -> None:
        super().__init__(
            "malformed_envelope", "A peer sent something that is no envelope: run the same release on all nodes."
        )


class PublishedBy(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """model.ClientInfo; the two `…_info` are JSON."""

    user: str
    client: str
    conn_info: bytes | None = None
    chan_info: bytes | None = None


class Publish(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """One publication for the receiver's subscribers; never sent on. `data` is JSON as it was published."""

    channel: str
    data: bytes
    info: PublishedBy | None = None
    tags: dict[str, str] | None = None

    def publication(self) -> Publication:
        by = self.info
        info = None if by is None else ClientInfo(by.user, by.client, _raw(by.conn_info), _raw(by.chan_info))
        return Publication(msgspec.Raw(self.data), info, self.tags)


class InterestReset(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """A list of all channels that the sender wants follows, to replace what it has told; changes go on after `seq`."""

    seq: int


class InterestPart(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """A part of that list: `number` counts from 1, and the last one is marked."""

    number: int
    channels: tuple[str, ...]
    last: bool


class Interest(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """A change of what the sender wants; `seq` grows by one with each."""

    seq: int
    add: tuple[str, ...]
    remove: tuple[str, ...]


class InterestAck(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """The sender knows the receiver's list, with all changes up to `seq`."""

    seq: int


class Request(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """A question to one node; the format of `params` is the method's."""

    id: int
    method: str
    params: bytes


class Response(msgspec.Struct, frozen=True, array_like=True, tag=7, gc=False):
    """The answer to the Request of that id: a payload, or the code of an error."""

    id: int
    error: str | None
    payload: bytes


ENVELOPE_OVERHEAD: Final = 5
"""Bytes that a batch needs for each of its envelopes, and for itself, at most."""

Envelope = Publish | InterestReset | InterestPart | Interest | InterestAck | Request | Response

_encoder = msgspec.msgpack.Encoder()
_envelopes: msgspec.msgpack.Decoder[Envelope] = msgspec.msgpack.Decoder(Envelope)
_batches = msgspec.msgpack.Decoder(list[bytes])

encode = _encoder.encode
"""Envelope -> bytes."""


def encode_publication(channel: str, publication: Publication) -> bytes:
    """A Publish envelope, for any number of receivers."""
    info = publication.info
    by = None
    if info is not None:
        by = PublishedBy(info.user, info.client, _bytes(info.conn_info), _bytes(info.chan_info))
    return _encoder.encode(Publish(channel, bytes(publication.data), by, publication.tags))


def decode(envelope: bytes) -> Envelope:
    """Raises EnvelopeError."""
    try:
        return _envelopes.decode(envelope)
    except UNDECODABLE as error:
        raise EnvelopeError from error


def encode_batch(envelopes: Sequence[bytes]) -> bytes:
    return _encoder.encode(envelopes)


def decode_batch(batch: bytes) -> list[bytes]:
    """The envelopes of a batch, in order. Raises EnvelopeError."""
    try:
        return _batches.decode(batch)
    except UNDECODABLE as error:
        raise EnvelopeError from error


def split(envelopes: Iterable[bytes], limit: int) -> Iterator[list[bytes]]:
    """Cut into runs whose batches have at most `limit` bytes; an envelope too large for that is a run of its own."""
    run: list[bytes] = []
    size = ENVELOPE_OVERHEAD
    for envelope in envelopes:
        more = len(envelope) + ENVELOPE_OVERHEAD
        if run and size + more > limit:
            yield run
            run, size = [], ENVELOPE_OVERHEAD
        run.append(envelope)
        size += more
    if run:
        yield run


def _bytes(raw: msgspec.Raw | None) -> bytes | None:
    return None if raw is None else bytes(raw)


def _raw(data: bytes | None) -> msgspec.Raw | None:
    return None if data is None else msgspec.Raw(data)
