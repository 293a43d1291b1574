"""The actions of a suspension on the account's page."""

from collections.abc import Iterator

from flask import url_for
from flask_babel import lazy_gettext as _l

from idp.desk.access import Right
from idp.desk.families import actions
from idp.desk.families.actions import Action, Subject
from idp.families.standing import Standing


def _page(subject: Subject) -> str:
    """Return the URL of « Suspendre l’accès », where all decisions are, also if a colleague has just reopened one."""
    return url_for("suspension.suspend", account=subject.account.id)


def _reopenings(subject: Subject) -> Iterator[str]:
    """Yield the URLs that reopen the whole account; the note about a suspended tie has its own."""
    return (item.reopening_url for item in subject.decisions if item.may_reopen and not item.is_tie)


actions.register(
    Action(
        key="suspend",
        right=Right.SUSPEND,
        label=_l("Suspendre"),
        url=_page,
        is_offered=lambda subject: subject.standing is not Standing.MERGED,
        rank=80,
    )
)
actions.register(
    Action(
        key="reopen",
        right=Right.REOPEN,
        label=_l("Rouvrir tout le compte"),
        url=lambda subject: next(_reopenings(subject), _page(subject)),
        is_offered=lambda subject: any(_reopenings(subject)),
        rank=70,
    )
)
