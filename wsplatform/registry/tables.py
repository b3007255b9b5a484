"""The registry's tables. `migrations/` makes them; a test keeps both equal.

The models know no database: two registries may live in one process. Every query says where it runs, with
`.bind(database)` or `.execute(database)`. Times are seconds since 1970 (UTC); what a comment calls a list or a type is
JSON.
"""

from __future__ import annotations

from peewee import (
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    CompositeKey,
    DoubleField,
    IntegerField,
    Model,
    TextField,
)


class ViewRow(Model):
    """One view as it was issued. members: list of Member."""

    number = BigIntegerField(primary_key=True)
    members = TextField()
    issued_at = DoubleField()

    class Meta:
        table_name = "views"


class NodeRow(Model):
    """One node id and who holds it (core/roster.py: Seat). present: whether that instance is in the view, since when.

    ready, draining: as last known. predecessors: list of Predecessor.
    """

    node_id = CharField(max_length=64, primary_key=True)
    incarnation = CharField(max_length=64)
    cluster_url = CharField(max_length=255)
    client_url = CharField(max_length=255)
    ready = BooleanField()
    draining = BooleanField()
    present = BooleanField()
    since = DoubleField()
    predecessors = TextField()

    class Meta:
        table_name = "nodes"


class RuleRow(Model):
    """One channel rule. rule: a ChannelRule, its pattern among it."""

    pattern = CharField(max_length=255, primary_key=True)
    rule = TextField()
    changed_at = DoubleField()

    class Meta:
        table_name = "channel_rules"


class KeyRow(Model):
    """One API key, without its text. scopes, channels: lists of text."""

    id = CharField(max_length=32, primary_key=True)
    name = CharField(max_length=100)
    digest = CharField(max_length=64, unique=True)
    scopes = TextField()
    channels = TextField()
    created_at = DoubleField()

    class Meta:
        table_name = "api_keys"


class ReporterRow(Model):
    """How far an instance's metric reports are stored: its highest number. seen_at: when that was."""

    node_id = CharField(max_length=64)
    incarnation = CharField(max_length=64)
    number = BigIntegerField()
    seen_at = DoubleField()

    class Meta:
        table_name = "metric_reporters"
        primary_key = CompositeKey("node_id", "incarnation")


class ReportRow(Model):
    """A metric report until it is folded into chunks. ended: milliseconds of Unix time. data: a KeptReport."""

    id = BigAutoField()
    node_id = CharField(max_length=64)
    ended = BigIntegerField()
    data = BlobField()

    class Meta:
        table_name = "metric_reports"


class ChunkRow(Model):
    """A chunk of a metric's values (core/rollups.py). step, begin: seconds. There may be several of one time.

    fresh: one of minutes, which is not counted in those of hours yet.
    """

    id = BigAutoField()
    metric = CharField(max_length=64)
    step = IntegerField()
    begin = BigIntegerField()
    fresh = BooleanField()
    data = BlobField()

    class Meta:
        table_name = "metric_chunks"
        indexes = ((("metric", "step", "begin"), False), (("step", "fresh", "begin"), False))


class LoginRow(Model):
    """One login (core/logins.py): nothing in it opens anything."""

    digest = CharField(max_length=64, primary_key=True)
    key_id = CharField(max_length=32)
    binding = CharField(max_length=64)
    created_at = DoubleField()
    used_at = DoubleField()

    class Meta:
        table_name = "logins"


class EntryRow(Model):
    """What somebody did (registry/records.py: Entry). before, after: objects, or null."""

    id = BigAutoField()
    at = DoubleField()
    key_id = CharField(max_length=32)
    key_name = CharField(max_length=100)
    address = CharField(max_length=64)
    action = CharField(max_length=32)
    target = TextField()
    before = TextField(null=True)
    after = TextField(null=True)

    class Meta:
        table_name = "audit_log"
        indexes = ((("action", "id"), False),)


class MetaRow(Model):
    """What there is one of, by name."""

    name = CharField(max_length=64, primary_key=True)
    value = TextField()

    class Meta:
        table_name = "meta"


TABLES: tuple[type[Model], ...] = (
    ViewRow,
    NodeRow,
    RuleRow,
    KeyRow,
    ReporterRow,
    ReportRow,
    ChunkRow,
    LoginRow,
    EntryRow,
    MetaRow,
)
