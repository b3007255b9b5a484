"""Metric reports and what they are folded into, in place of samples of the nodes' status."""

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


def up(migrator, db):
    class Reporter(Model):
        node_id = CharField(max_length=64)
        incarnation = CharField(max_length=64)
        number = BigIntegerField()
        seen_at = DoubleField()

        class Meta:
            database = db
            table_name = "metric_reporters"
            primary_key = CompositeKey("node_id", "incarnation")

    class Report(Model):
        id = BigAutoField()
        node_id = CharField(max_length=64)
        ended = BigIntegerField()
        data = BlobField()

        class Meta:
            database = db
            table_name = "metric_reports"

    class Chunk(Model):
        id = BigAutoField()
        metric = CharField(max_length=64)
        step = IntegerField()
        begin = BigIntegerField()
        fresh = BooleanField()
        data = BlobField()

        class Meta:
            database = db
            table_name = "metric_chunks"
            indexes = ((("metric", "step", "begin"), False), (("step", "fresh", "begin"), False))

    migrator.migrate(migrator.drop_table("metric_samples"))
    db.create_tables([Reporter, Report, Chunk])


def down(migrator, db):
    class Sample(Model):
        id = BigAutoField()
        node_id = CharField(max_length=64)
        incarnation = CharField(max_length=64)
        taken_at = DoubleField(index=True)
        status = TextField()

        class Meta:
            database = db
            table_name = "metric_samples"

    for table in ("metric_reporters", "metric_reports", "metric_chunks"):
        migrator.migrate(migrator.drop_table(table))
    db.create_tables([Sample])
