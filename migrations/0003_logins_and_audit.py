"""Logins of people with an admin key, and the record of what was changed."""

from peewee import BigAutoField, CharField, DoubleField, Model, TextField


def up(migrator, db):
    class Login(Model):
        digest = CharField(max_length=64, primary_key=True)
        key_id = CharField(max_length=32)
        binding = CharField(max_length=64)
        created_at = DoubleField()
        used_at = DoubleField()

        class Meta:
            database = db
            table_name = "logins"

    class Entry(Model):
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
            database = db
            table_name = "audit_log"
            indexes = ((("action", "id"), False),)

    db.create_tables([Login, Entry])


def down(migrator, db):
    for table in ("logins", "audit_log"):
        migrator.migrate(migrator.drop_table(table))
