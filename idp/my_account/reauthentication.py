"""« Confirmez que c’est vous »: the password again, before access changes (OWASP ASVS 5, V 7.5)."""

import uuid
from datetime import timedelta

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import select

from idp import opaque
from idp.accounts import authentication, directory
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher
from idp.audit import log
from idp.audit.credential_events import Reauthenticated
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.services import services
from idp.sessions import devices, liveness, manager
from idp.sessions.guard import sign_in_first, signed_in
from idp.sessions.models import Session
from idp.web.browser import renew_form_token
from idp.web.errors import with_retry_after
from idp.web.forms import Form, SecretField
from idp.web.redirects import render_page, see_other


class ProofForm(Form):
    """The account's own password, typed again."""

    password = SecretField(_l("Mot de passe"), name="mot-de-passe")


def lock(verified: VerifiedSecret, session_id: uuid.UUID) -> tuple[Account, Session] | None:
    """Return the account, its row locked by the caller's unit of work, and the session.

    Return None if the password changed, or the session ended, while the hash was computed: a person whose session was
    ended must not complete what they had begun.
    """
    locked = lock_session(verified.account_id, session_id)
    return locked if locked is not None and verified.still_holds(locked[0]) else None


def lock_session(account_id: uuid.UUID, session_id: uuid.UUID) -> tuple[Account, Session] | None:
    """Return the account, its row locked by the caller's unit of work, and the session; None if the session ended."""
    account = directory.get_for_change(account_id)
    session = db.session.scalar(
        select(Session)
        .join(Account, Account.id == Session.account_id)
        .where(Session.id == session_id, Account.id == account_id, liveness.holding(now()))
        .execution_options(populate_existing=True)
    )
    return (account, session) if account is not None and session is not None else None


_SECOND_CLICK = timedelta(minutes=1)


def verify_password(
    settings: Settings, hasher: Hasher, attempt: Attempt, session: Session
) -> str | Refused | Throttled:
    """Verify the password of the session's account; if it is right, renew the session and return its new cookie.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    session_id = session.id
    return authentication.verify_secret(settings, hasher, attempt, lambda verified: _renew(verified, session_id))


@unit_of_work()
def _renew(verified: VerifiedSecret, session_id: uuid.UUID) -> str | None:
    locked = lock(verified, session_id)
    if locked is None or locked[0].has_blocked_password:
        return None
    account, session = locked
    cookie = manager.renew(session, account)
    log.record(Reauthenticated(account_id=account.id, sid=session.sid))
    return cookie


def second_click(password: str) -> tuple[str, Account] | None:
    """Return the new cookie and the account for a form that is sent twice, if its password is right.

    The form arrives the second time with the cookie that the first request replaced, and the browser may never read the
    first answer. The cookie alone gives no access: the form's password is verified again.
    """
    former = manager.cookie_value()
    renewed = _find_renewed(former) if former else None
    if renewed is None:
        return None
    session, account = renewed
    attempt = devices.attempt(account.username, password)
    outcome = verify_password(services().settings, services().hasher, attempt, session)
    return (outcome, account) if isinstance(outcome, str) else None


def continue_at(url: str, cookie: str, username: str) -> Response:
    """Redirect a browser whose session continues under another cookie."""
    renew_form_token()
    response = see_other(url)
    manager.set_cookie(response, cookie)
    devices.remember(response, username)
    return response


def _find_renewed(cookie: str) -> tuple[Session, Account] | None:
    # as the database has them now: this request may have read them before another one renewed the session
    former = db.session.scalar(
        select(Session)
        .where(Session.digest == opaque.digest(cookie), liveness.ended_since(now() - _SECOND_CLICK))
        .execution_options(populate_existing=True)
    )
    if former is None:
        return None
    row = db.session.execute(
        select(Session, Account)
        .join(Account, Account.id == Session.account_id)
        .where(
            Session.account_id == former.account_id,
            Session.sid == former.sid,
            Session.auth_time >= former.ended_at,
            liveness.resumable(now()),
        )
        .execution_options(populate_existing=True)
    ).one_or_none()
    return (row[0], row[1]) if row else None


blueprint = Blueprint("reauthentication", __name__)

# The pages that follow, by name: a URL is never taken from a request (security row I-14).
_NEXT = {
    "connexions": "connections.show",
    "courrier": "letter.link",
    "adresse": "account_email.show",
    "cles": "account_passkeys.show",
}
# The pages that ask for the button again that led to the question.
_ACT_AGAIN = frozenset({"connections.show", "account_passkeys.show"})


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
    attempt = devices.attempt(account.username, form.password.data or "")
    match verify_password(services().settings, services().hasher, attempt, session):
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
    second = second_click(ProofForm().password.data or "")
    return _back_to_page(*second) if second else sign_in_first()


def _back_to_page(cookie: str, account: Account) -> Response:
    endpoint = _NEXT.get(request.args.get("suite", ""), "my_account.show")
    return continue_at(url_for(endpoint, fait="verifie" if endpoint in _ACT_AGAIN else None), cookie, account.username)


def _page(account: Account, form: ProofForm, status: int, *, wait: int = 0) -> Response:
    return render_page(
        "my_account/verification.html",
        status,
        dest=None,
        form=form,
        wait=wait,
        username=account.username,
        suite=request.args.get("suite", "") if request.args.get("suite", "") in _NEXT else "",
    )
