"""The link from the page of an account to the rights of its person."""

from flask import url_for
from flask_babel import lazy_gettext as _l

from idp.desk.access import Right
from idp.desk.families import actions
from idp.desk.families.actions import Action

actions.register(
    Action(
        key="rights",
        right=Right.SERVE_RIGHTS,
        label=_l("Droits de cette personne"),
        url=lambda subject: url_for("people.person", key=subject.account.id),
        is_offered=lambda _subject: True,
        rank=90,
    )
)
