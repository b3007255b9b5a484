"""Views, nodes, channel rules, API keys, metric samples and single values."""

from peewee import BigAutoField, BigIntegerField, BooleanField, CharField, DoubleField, Model, TextField


def up(migrator, db):
    class View(Model):
        number = BigIntegerField(primary_key=True)
        members = TextField()
        issued_at = DoubleField()

        class Meta:
            database = db
            table_name = "views"

    class Node(Model):
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
            database = db
            table_name = "nodes"

    class Rule(Model):
        pattern = CharField(max_length=255, primary_key=True)
        rule = TextField()
        changed_at = DoubleField()

        class Meta:
            database = db
            table_name = "channel_rules"

    class Key(Model):
        id = CharField(max_length=32, primary_key=True)
        name = CharField(max_length=100)
        digest = CharField(max_length=64, unique=True)
        scopes = TextField()
        channels = TextField()
        created_at = DoubleField()

        class Meta:
            database = db
            table_name = "api_keys"

    class Sample(Model):
        id = BigAutoField()
        node_id = CharField(max_length=64)
        incarnation = CharField(max_length=64)
        taken_at = DoubleField(index=True)
        status = TextField()

        class Meta:
            database = db
            table_name = "metric_samples"

    class Meta(Model):
        name = CharField(max_length=64, primary_key=True)
        value = TextField()

        class Meta:
            database = db
            table_name = "meta"

    db.create_tables([View, Node, Rule, Key, Sample, Meta])


def down(migrator, db):
    for table in ("views", "nodes", "channel_rules", "api_keys", "metric_samples", "meta"):
        migrator.migrate(migrator.drop_table(table))
