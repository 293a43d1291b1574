"""The actions of a suspension on the account's page, and the URL that reopens one decision."""

from flask import url_for
from flask_babel import lazy_gettext as _l

from idp.accounts.models import Account
from idp.desk.access import Right
from idp.desk.families import actions
from idp.desk.families.actions import Action, Subject
from idp.desk.suspension import shown
from idp.operations.helpdesk.standing import Standing


def reopening_url(account: Account, item: shown.Shown) -> str:
    """Return the URL that reopens one decision."""
    return url_for("suspension.reopen", account=account.id, decision=item.row.id)


def _reopens(subject: Subject) -> bool:
    return any(item.may_reopen for item in shown.decisions(subject.account))


def _first_reopening(account: Account) -> str:
    """Return the URL that reopens what was suspended first; the page of each decision leads to the next one."""
    return next(reopening_url(account, item) for item in shown.decisions(account) if item.may_reopen)


actions.register(
    Action(
        key="suspend",
        right=Right.SUSPEND,
        label=_l("Suspendre"),
        url=lambda account: url_for("suspension.suspend", account=account.id),
        is_offered=lambda subject: subject.standing is not Standing.MERGED,
        rank=80,
    )
)
actions.register(
    Action(key="reopen", right=Right.REOPEN, label=_l("Rouvrir"), url=_first_reopening, is_offered=_reopens, rank=70)
)
