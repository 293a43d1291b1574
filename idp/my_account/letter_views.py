"""`/mon-compte/courrier`: « Ajouter un autre courrier »."""

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext

from idp.accounts import directory
from idp.accounts.authentication import Refused, Throttled
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import HasherBusyError, fold_username
from idp.my_account import letter
from idp.my_account.reauthentication.proof_forms import LetterForm
from idp.services import services
from idp.sessions import attempts
from idp.sessions.guard import proved_recently, signed_in
from idp.sessions.models import Session
from idp.web.errors import ServiceBusyError, with_retry_after
from idp.web.redirects import see_other

blueprint = Blueprint("letter", __name__)


@blueprint.route("/mon-compte/courrier", methods=["GET", "POST"])
@signed_in
def link(session: Session, account: Account) -> Response:
    """Ask for the other letter's identifier and secret; on a POST add its children, or tell its school."""
    if not proved_recently(session):
        return see_other(url_for("reauthentication.verify", suite="courrier"))
    form = LetterForm()
    return _answer(form, session, account) if request.method == "POST" else _page(form, 200)


def _answer(form: LetterForm, session: Session, account: Account) -> Response:
    typed = form.username.data or ""
    if fold_username(typed) == account.username:
        form.username.errors = [
            gettext("C’est l’identifiant de ce compte. Tapez celui qui est écrit sur l’autre courrier.")
        ]
        return _page(form, 200)
    outcome = letter.Linked() if letter.is_linked(account.id, typed) else _try(form, session)
    match outcome:
        case letter.Linked():
            return see_other(url_for("my_account.show", fait="courrier"))
        case letter.Doubted():
            return see_other(url_for("letter.doubt"))
        case Throttled(seconds):
            return with_retry_after(_page(form, 429, wait=seconds), seconds)
        case Refused():
            return _page(form, 200, failed=True)


@blueprint.get("/mon-compte/courrier/doute")
@signed_in
def doubt(_session: Session, account: Account) -> Response:
    """Show that a school has to decide about a letter; without such a letter, redirect."""
    schools = letter.doubtful_schools(account.id)
    if not schools:
        return see_other(url_for("my_account.show"))
    tellable = directory.tellable(schools)
    return make_response(render_template("my_account/courrier_doute.html", dest=None, schools=tellable))


def _try(form: LetterForm, session: Session) -> letter.Outcome:
    attempt = attempts.of_request(form.username.data or "", form.password.data or "", door="letter")
    try:
        return letter.link(services().settings, services().hasher, attempt, session)
    except HasherBusyError as busy:
        raise ServiceBusyError(busy.retry_after) from None


def _page(form: LetterForm, status: int, *, failed: bool = False, wait: int = 0) -> Response:
    html = render_template(
        "my_account/courrier.html",
        dest=None,
        form=form,
        failed=failed,
        wait=wait,
        letter_days=services().settings.provisional_days,
    )
    return make_response(html, status)
