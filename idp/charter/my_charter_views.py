"""`/mon-compte/charte`: « Ma charte », for a person who is signed in."""

import uuid

from flask import Blueprint, Response, make_response, render_template
from flask_babel import gettext
from markupsafe import Markup

from idp.accounts.models import Account
from idp.charter import markdown, my_charter
from idp.sessions.guard import signed_in
from idp.sessions.models import Session
from idp.web.errors import not_found

blueprint = Blueprint("my_charter", __name__)


@blueprint.get("/mon-compte/charte")
@signed_in
def show(_session: Session, account: Account) -> Response:
    """Show each ENT's charter, and whether it is accepted."""
    html = render_template("charter/ma_charte.html", dest=None, charters=my_charter.charters(account))
    return make_response(html)


@blueprint.get("/mon-compte/charte/<version>")
@signed_in
def read(_session: Session, account: Account, version: str) -> Response:
    """Show the text of a version, when it was published, and when it was accepted."""
    try:
        reading = my_charter.find(account, uuid.UUID(version))
    except ValueError:
        not_found()
    if reading is None:
        not_found()
    html = render_template(
        "charter/charte_lue.html",
        dest=None,
        reading=reading,
        body=Markup(markdown.render(reading.acceptance.version.text)),  # noqa: S704 - Markdown rendered without raw HTML
    )
    return make_response(html)


@blueprint.app_template_global("accepted_charters")
def accepted_charters(account: Account) -> str:
    """Return the sentence for the account's page: « Acceptée pour 1 ENT sur 2 ».

    That page is in another slice, and slices do not import one another: its template calls this function.
    """
    current = [charter.current for charter in my_charter.charters(account) if charter.current]
    accepted = sum(1 for acceptance in current if acceptance.accepted_at)
    if not current:
        return str(gettext("Aucune charte à accepter"))
    return str(gettext("Acceptée pour %(n)s ENT sur %(all)s", n=accepted, all=len(current)))
