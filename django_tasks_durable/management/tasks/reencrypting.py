"""The subcommand that seals stored values anew, after a key has been added."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from django_tasks_durable.management.tasks.subcommands import Options, Subcommand
from django_tasks_durable.management.tasks.terminal import Terminal
from django_tasks_durable.primitives.sealing import codec_in_use, tells_what_is_current
from django_tasks_durable.store import reencrypting, vendors
from django_tasks_durable.store.reencrypting import Ended


def _takes_a_dry_run(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="Only count.")


def _reencrypt(terminal: Terminal, options: Options) -> None:
    _expect_a_codec()
    is_dry = options["dry_run"]
    done = reencrypting.reencrypt(vendors.session(terminal.using), dry_run=is_dry)
    is_blind = not tells_what_is_current()
    if terminal.as_json:
        terminal.json(asdict(done) | {"dry_run": is_dry})
    else:
        would = "would be" if is_dry else "are"
        terminal.line(
            f"{done.resealed} value(s) in the database {terminal.using!r} {would} sealed with the newest key."
        )
        if is_blind and not is_dry:
            terminal.line(
                f"The codec has no is_current(): everything was sealed anew in {done.passes} passes, "
                "and whether anything of an older key is left cannot be told."
            )
    is_endless = not (done.is_settled or is_dry or is_blind)
    if done.unreadable or done.contended or is_endless:
        raise CommandError(_left(done, is_endless=is_endless), returncode=1)


def _expect_a_codec() -> None:
    try:
        codec = codec_in_use()
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    if codec is None:
        raise CommandError("OPTIONS['payload_codec'] is empty, so there is no key to encrypt anything with.")


def _left(done: Ended, *, is_endless: bool) -> str:
    told = []
    if done.unreadable:
        told.append(f"{done.unreadable} value(s) cannot be opened by any of these keys, and stay as they are.")
    if done.contended:
        told.append(f"{done.contended} value(s) were changed or held by others all the while: do it again.")
    elif is_endless:
        told.append(
            f"The last of {done.passes} passes still found values of an older key: something writes them. "
            "Restart every process that has the older settings, then do it again."
        )
    return " ".join(told)


SUBCOMMANDS = (
    Subcommand(
        "reencrypt", "Encrypt stored values with the newest key, to take an old one out.", _takes_a_dry_run, _reencrypt
    ),
)
