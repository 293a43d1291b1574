"""Links between the page of an account and the page of its new letter."""

import uuid

from flask import url_for
from flask_babel import lazy_gettext as _l

from idp.desk.access import Right
from idp.desk.families import actions
from idp.desk.families.actions import Action
from idp.families.standing import Group, group_of


def letter_url(account_id: uuid.UUID) -> str:
    """Return the URL of « Nouveau courrier » for an account."""
    return url_for("letter.show", key=account_id)


actions.register(
    Action(
        key="letter",
        right=Right.PRINT_LETTER,
        label=_l("Nouveau courrier"),
        url=lambda subject: letter_url(subject.account.id),
        is_offered=lambda subject: group_of(subject.holding) is not Group.CLOSED and subject.cut_off is None,
        rank=40,
    )
)
