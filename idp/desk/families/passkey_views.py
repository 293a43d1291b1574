"""`/comptes/<account>/cles` of the desk: « Retirer les clés d’accès »."""

import uuid

from flask import Blueprint, Response, make_response, render_template, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from idp.accounts.models import Account
from idp.desk import access, fields, reading
from idp.desk.access import Right, needs
from idp.desk.families import actions
from idp.desk.families.actions import Action
from idp.desk.kept_forms import DeskForm, keeps
from idp.families import acts
from idp.families.refusals import RefusedError
from idp.mail.emails import masked
from idp.operations import reasons
from idp.passkeys import keys
from idp.web.forms import PlainField
from idp.web.redirects import see_other

blueprint = Blueprint("passkey_removal", __name__)


class RemovalForm(DeskForm):
    """Why the passkeys are removed."""

    reason = PlainField(_l("Motif"), longest=reasons.LONGEST)

    def check(self) -> bool:
        """Write the fault of the form; return whether it has none."""
        if not fields.is_sentence(fields.one_line(self.reason.data)):
            self.reason.errors = [_l("Écrivez le motif en quelques mots. Il reste au journal.")]
        return not self.errors


@blueprint.get("/comptes/<uuid:account>/cles")
@needs(Right.HELP_FAMILIES, fresh=True)
def show(account: uuid.UUID) -> Response:
    """Show what the removal does; an account without a passkey has its own page."""
    row = reading.open_account(account)
    return _page(row, RemovalForm()) if keys.count(row.id) else see_other(url_for("accounts.show", account=row.id))


@blueprint.post("/comptes/<uuid:account>/cles")
@needs(Right.HELP_FAMILIES, fresh=True)
@keeps("reason")
def remove(account: uuid.UUID) -> Response:
    """Remove all passkeys of an account, and end its sessions; a second click finds it done."""
    row, form = access.account(account), RemovalForm()
    if not form.check():
        return _page(row, form)
    try:
        acts.remove_passkeys(row.id, fields.one_line(form.reason.data))
    except RefusedError:
        return see_other(url_for("accounts.show", account=row.id))
    return see_other(url_for("accounts.show", account=row.id, fait="cles"))


def _page(account: Account, form: RemovalForm) -> Response:
    mail = (
        gettext("La personne sera prévenue par mail : %(emails)s.", emails=masked(account.email))
        if account.email
        else gettext("Aucun mail ne part : le compte n’a pas d’adresse confirmée.")
    )
    page = render_template(
        "desk/families/cles.html",
        account=account,
        form=form,
        mail=mail,
        back=url_for("accounts.show", account=account.id),
    )
    return make_response(page)


actions.register(
    Action(
        key="passkeys",
        right=Right.HELP_FAMILIES,
        label=_l("Retirer les clés d’accès"),
        url=lambda subject: url_for("passkey_removal.show", account=subject.account.id),
        is_offered=lambda subject: subject.has_passkeys,
        rank=35,
    )
)
