"""What an operator's shell says if an act on a family is refused, in English."""

from collections.abc import Mapping
from typing import Any

import click

from idp.families.refusals import Code, RefusedError
from idp.terminal import plain

SENTENCES: Mapping[Code, str] = {
    Code.GONE: "the account was removed meanwhile",
    Code.NOT_DISABLED: "{name} is not disabled",
    Code.NOT_MERGED: "{name} is not merged into another account",
    Code.MERGED: "{name} was merged into {other}, which has its children",
    Code.MERGED_TOO: "{name} was merged too: unlink {name} first",
    Code.MAILBOX_OF_OTHER: (
        "{name} stays disabled: another account has confirmed its mailbox meanwhile, and IDP_SHARED_MAILBOX=refuse; "
        "one of the two needs another mailbox"
    ),
    Code.NO_SUCH_CLOSING: "there is no such closing",
    Code.CLOSING_OVER: "the closing is over already",
    Code.ERASE_OTHER: "{name} was merged into {other}: erase that account",
    Code.MERGED_ACCOUNTS_CHANGED: "the accounts merged into {name} changed meanwhile: try again",
    Code.IN_DISPUTE: "{name} is in dispute: the school settles that at the desk, then erase",
    Code.CLOSED_WITHOUT_CHILD: (
        "{name} is closed and has no child, so that nothing can be kept of the closing: wait for its end, or "
        "reopen it with `idp account reopen {name}`, then erase"
    ),
    Code.EXCLUDED: (
        "the school has decided that {name} is not the guardian of a child whom its file still gives to them, and the "
        "next file would restore that tie: have the school take it out of its file, import that file, then erase"
    ),
    Code.PROMISED_NOTICE: (
        "a school was promised to hear about {name}, and has not answered: `idp account show {name}` names its "
        "notices, and the school answers at the desk, then erase"
    ),
}
"""The sentences of the refusals that a command can meet; all other acts are the desk's alone."""


class NotFoundError(Exception):
    """There is no such account or school for this operator; the message is the sentence to show."""


class RefusingGroup(click.Group):
    """Commands whose refusals are errors of the command."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(context)
        except NotFoundError as missing:
            raise click.ClickException(plain(missing)) from missing
        except RefusedError as refused:
            raise click.ClickException(plain(SENTENCES[refused.code].format(**refused.values))) from refused
