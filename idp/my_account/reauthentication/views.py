"""`/mon-compte/verification`: « Confirmez que c’est vous »."""

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext

from idp.accounts.authentication import Refused, Throttled
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import HasherBusyError
from idp.my_account.reauthentication import rules
from idp.my_account.reauthentication.proof_forms import ProofForm
from idp.services import services
from idp.sessions import attempts, devices, manager
from idp.sessions.guard import sign_in_first, signed_in
from idp.sessions.models import Session
from idp.web.browser import renew_form_token
from idp.web.errors import ServiceBusyError, with_retry_after
from idp.web.redirects import see_other

blueprint = Blueprint("reauthentication", __name__)

_NEXT = {
    "connexions": "connections.show",
    "courrier": "letter.link",
    "adresse": "account_email.show",
    "cles": "account_passkeys.show",
}
"""The pages that follow, by name: a URL is never taken from a request (security row I-14)."""
_ACT_AGAIN = frozenset({"connections.show", "account_passkeys.show"})
"""The pages that ask for the button again that led to the question."""


@blueprint.get("/mon-compte/verification")
@signed_in
def verify(_session: Session, account: Account) -> Response:
    """Ask for the password."""
    return _page(account, ProofForm(), 200)


@blueprint.post("/mon-compte/verification")
def confirm() -> Response:
    """Verify the password; redirect to the page that asked, with a new cookie."""
    current = manager.current()
    if current is None:
        return _again()
    session, account = current
    form = ProofForm()
    outcome = _try(form, session, account)
    match outcome:
        case Throttled(seconds):
            return with_retry_after(_page(account, form, 429, wait=seconds), seconds)
        case Refused():
            if manager.find(manager.cookie_value() or "") is None:  # ended meanwhile, perhaps by a first click
                return _again()
            form.password.errors = [gettext("Ce n’est pas votre mot de passe. Retapez-le lettre par lettre.")]
            return _page(account, form, 200)
        case cookie:
            return _back_to_page(cookie, account)


def _again() -> Response:
    """Show the second of two clicks the result of the first, if it has the right password."""
    former = manager.cookie_value()
    renewed = rules.find_renewed(former) if former else None
    outcome = _try(ProofForm(), *renewed) if renewed else None
    return _back_to_page(outcome, renewed[1]) if renewed and isinstance(outcome, str) else sign_in_first()


def _back_to_page(cookie: str, account: Account) -> Response:
    renew_form_token()
    response = see_other(_next_url())
    manager.set_cookie(response, cookie)
    devices.remember(response, account.username)
    return response


def _try(form: ProofForm, session: Session, account: Account) -> str | Refused | Throttled:
    attempt = attempts.of_request(account.username, form.password.data or "")
    try:
        return rules.verify(services().settings, services().hasher, attempt, session)
    except HasherBusyError as busy:
        raise ServiceBusyError(busy.retry_after) from None


def _next_url() -> str:
    endpoint = _NEXT.get(request.args.get("suite", ""), "my_account.show")
    return url_for(endpoint, fait="verifie" if endpoint in _ACT_AGAIN else None)


def _page(account: Account, form: ProofForm, status: int, *, wait: int = 0) -> Response:
    html = render_template(
        "my_account/verification.html",
        dest=None,
        form=form,
        wait=wait,
        username=account.username,
        suite=request.args.get("suite", "") if request.args.get("suite", "") in _NEXT else "",
    )
    return make_response(html, status)
