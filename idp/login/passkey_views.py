"""`/connexion/cle-d-acces`: the challenge of a sign-in by a passkey, and the offer of a first passkey."""

from flask import Blueprint, Response, make_response, render_template, request

from idp.accounts.models import Account
from idp.interaction import store
from idp.passkeys import keys
from idp.passkeys.responses import as_json
from idp.services import services
from idp.sessions.guard import signed_in
from idp.sessions.models import Session
from idp.web.declarations import leads_to_ent

blueprint = Blueprint("passkey_sign_in", __name__)


@blueprint.post("/connexion/cle-d-acces/defi")
def challenge() -> Response:
    """Begin a sign-in by a passkey: return the options for the browser. Nothing is stored, and no account is read."""
    return as_json(keys.begin_sign_in(services().settings))


@blueprint.get("/connexion/cle-d-acces")
@leads_to_ent
@signed_in
def offer(_session: Session, _account: Account) -> Response:
    """Offer a passkey after the first sign-in; « Plus tard » leads to the next page at once."""
    interaction = store.current()
    html = render_template(
        "login/cle_d_acces.html",
        dest=None,
        add_url=store.page_url("account_passkeys.add", interaction),
        onward_url=store.resume_url(interaction),
        failed=request.args.get("fait") == "echec",
    )
    return make_response(html)
