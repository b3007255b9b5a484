from __future__ import annotations

import re
import time

import click

from wsplatform.cli import output
from wsplatform.cli.options import Source, json_option, with_settings
from wsplatform.errors import PlatformError, SettingsError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command("token")
@click.option("--user", required=True, help="The user's id (claim sub).")
@click.option("--expires", default="1h", show_default=True, help="How long it is valid: 30s, 15m, 1h, 7d, or never.")
@click.option("--channel", default="", help="Make a subscription token, for this channel.")
@click.option("--info", metavar="JSON", help="What other clients see of the user (claim info).")
@json_option
@with_settings
def command(user: str, expires: str, channel: str, info: str | None, json_: bool, source: Source) -> None:
    """Print a token that lets --user connect, or, with --channel, subscribe to that channel.

    It is signed with the first of client.token_hmac_secrets: nodes accept it when they hold the same secret.
    Applications make such tokens themselves, with any JWT library.

    \b
    Examples:
      wsplatform token --user anna
      wsplatform token --user anna --expires 7d --info '{"name": "Anna"}'
      WSP_CLIENT__TOKEN_HMAC_SECRETS_FILE=/run/secrets/token wsplatform token --env production --user anna
    """
    import msgspec

    from wsplatform.core.channels import valid_channel
    from wsplatform.core.tokens import Claims, sign

    if channel and not valid_channel(channel):
        raise click.UsageError("--channel is no channel's name.")
    seconds = duration(expires)
    expires_at = None if seconds is None else time.time() + seconds
    client = source.load().client
    if not client.token_hmac_secrets:
        raise SettingsError(
            "client.token_hmac_secrets", "[]", "the secret that the nodes hold: tokens are signed with it"
        )
    if info is not None:
        try:
            msgspec.json.decode(info)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise PlatformError("invalid_json", f"--info is not JSON ({error}).") from error
    claims = Claims(user, expires_at, None if info is None else msgspec.Raw(info.encode()), channel)
    text = sign(claims, client.token_hmac_secrets[0], issuer=client.token_issuer, audience=client.token_audience)
    if json_:
        output.as_json({"token": text, "expires_at": None if expires_at is None else int(expires_at)})
    else:
        output.line(text)


def duration(text: str) -> int | None:
    """Seconds of `30s`, `15m`, `1h`, `7d`; None for `never`. Raises click.UsageError."""
    if text == "never":
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text, re.ASCII)
    if match is None:
        raise click.UsageError(f"--expires {text!r} is not a time like 30s, 15m, 1h, 7d or never.")
    return int(match[1]) * UNITS[match[2]]
