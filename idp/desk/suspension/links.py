"""The actions of a suspension on the account's page."""

from collections.abc import Iterator

from flask import url_for
from flask_babel import lazy_gettext as _l

from idp.accounts.models import Account
from idp.desk import suspended
from idp.desk.access import Right
from idp.desk.families import actions
from idp.desk.families.actions import Action
from idp.operations.helpdesk.standing import Standing


def _page(account: Account) -> str:
    """Return the URL of « Suspendre l’accès », where all decisions are, also if a colleague has just reopened one."""
    return url_for("suspension.suspend", account=account.id)


def _reopenings(account: Account) -> Iterator[str]:
    """Yield the URLs that reopen the whole account; the note about a suspended tie has its own."""
    for item in suspended.decisions([account.id])[account.id]:
        if item.may_reopen and not item.is_tie:
            yield item.reopening_url


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
        label=_l("Rouvrir"),
        url=lambda account: next(_reopenings(account), _page(account)),
        is_offered=lambda subject: any(_reopenings(subject.account)),
        rank=70,
    )
)
