from __future__ import annotations

import click

from wsplatform.cli import output
from wsplatform.cli.options import Source, json_option, with_settings


@click.command("migrate")
@click.option("--dry-run", is_flag=True, help="Only say what would be applied.")
@json_option
@with_settings
def command(dry_run: bool, json_: bool, source: Source) -> None:
    """Bring the registry's database (registry.database) up to date. All pending migrations are applied, or none.

    The registry does this itself when it starts, unless registry.auto_migrate is false.

    \b
    Examples:
      wsplatform migrate --dry-run
      WSP_REGISTRY__DATABASE_FILE=/run/secrets/database wsplatform migrate --env production
    """
    from wsplatform.registry.migrate import migrate

    names = migrate(source.load().registry.database, dry_run=dry_run)
    if json_:
        output.as_json({"pending" if dry_run else "applied": names})
    elif not names:
        output.line("the database is up to date")
    else:
        for name in names:
            output.line(f"{'pending' if dry_run else 'applied'}: {name}")
