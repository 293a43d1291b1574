"""`/mon-compte/mot-de-passe`: a change of password by the signed-in person (security rows M-02, M-03)."""

import uuid
from dataclasses import dataclass

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l

from idp.accounts import authentication, emails, one_time_links
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher, HasherBusyError
from idp.accounts.passwords.policy import check_password, identity, second_faults, typed_twice
from idp.audit import log
from idp.audit.credential_events import PasswordChanged
from idp.clients import registry
from idp.config import Settings
from idp.db import unit_of_work
from idp.my_account import reauthentication
from idp.passkeys import keys
from idp.passkeys.ceremony import RemovalField
from idp.services import services
from idp.sessions import devices, manager
from idp.sessions.guard import sign_in_first, signed_in
from idp.sessions.models import Session
from idp.web.errors import with_retry_after
from idp.web.forms import Form, SecretField
from idp.web.redirects import render_page, see_other


@dataclass(frozen=True)
class _Unhashed:
    """The present password was right, but the new one could not be hashed in time: nothing changed."""

    retry_after: int


def set_password(
    settings: Settings, hasher: Hasher, attempt: Attempt, session_id: uuid.UUID, new: str, *, without_passkeys: bool
) -> str | Refused | Throttled:
    """Replace the password of `attempt`, if it is right, by `new`, which the policy accepts.

    Return the cookie of the session that continues.

    `without_passkeys` also removes the passkeys.

    Raises:
        HasherBusyError: a hash could not be computed in time; nothing was decided.
    """
    outcome: str | _Unhashed | Refused | Throttled = authentication.verify_secret(
        settings,
        hasher,
        attempt,
        lambda verified: _admit(hasher, verified, session_id, new, without_passkeys=without_passkeys),
    )
    if isinstance(outcome, _Unhashed):
        raise HasherBusyError(outcome.retry_after)
    return outcome


def _admit(
    hasher: Hasher, verified: VerifiedSecret, session_id: uuid.UUID, new: str, *, without_passkeys: bool
) -> str | _Unhashed | None:
    """Change the password in one transaction: this browser's session continues under another id, all others end."""
    try:
        hashed = hasher.hash(new, "activation")
    except HasherBusyError as busy:  # returned, not raised: the password was right, so its try must not stay counted
        return _Unhashed(busy.retry_after)
    return _set(verified, session_id, hashed, without_passkeys=without_passkeys)


@unit_of_work()
def _set(verified: VerifiedSecret, session_id: uuid.UUID, hashed: str, *, without_passkeys: bool) -> str | None:
    locked = reauthentication.lock(verified, session_id)
    if locked is None:
        return None
    account, session = locked
    account.set_password(hashed)
    emails.cancel_change(account)  # somebody who knew the former password may have asked for it
    one_time_links.revoke(account.id, one_time_links.Purpose.RESET_PASSWORD)
    manager.end_all(account.id, by="password_changed", keep=session.id)
    cookie = manager.renew(session, account)
    log.record(PasswordChanged(account_id=account.id))
    keys.tell_new_password(account.id, removes=without_passkeys)
    return cookie


class PasswordForm(Form):
    """The present password, and a new one, typed twice without a script."""

    current = SecretField(_l("Mot de passe actuel"), name="actuel")
    password = SecretField(_l("Nouveau mot de passe"), name="nouveau")
    confirmation = SecretField(_l("Confirmez le mot de passe"), name="confirmation")
    without_passkeys = RemovalField(name="retirer-cles")


blueprint = Blueprint("account_password", __name__)


@blueprint.route("/mon-compte/mot-de-passe", methods=["GET", "POST"])
def change() -> Response:
    """Show the form; on a POST change the password, or show what is wrong or how long to wait."""
    if request.method == "POST":
        return _again() if manager.current() is None else _change()
    return _show()


@signed_in
def _show(_session: Session, account: Account) -> Response:
    return _page(account, PasswordForm(), 200)


@signed_in
def _change(session: Session, account: Account) -> Response:
    form, username = PasswordForm(), account.username
    _check(form, account)
    if form.errors:
        return _page(account, form, 200)
    attempt = devices.attempt(username, form.current.data or "")
    new, without_passkeys = form.password.data or "", form.without_passkeys.data
    outcome = set_password(
        services().settings, services().hasher, attempt, session.id, new, without_passkeys=without_passkeys
    )
    match outcome:
        case Throttled(seconds):
            return with_retry_after(_page(account, form, 429, wait=seconds), seconds)
        case Refused():
            if manager.find(manager.cookie_value() or "") is None:  # ended meanwhile, perhaps by a first click
                return _again()
            form.current.errors = [gettext("Ce n’est pas votre mot de passe actuel.")]
            return _page(account, form, 200)
        case cookie:
            return _done(cookie, username, without_passkeys=without_passkeys)


@blueprint.get("/.well-known/change-password")
def well_known() -> Response:
    """Lead password managers to the page that changes a password (W3C, A Well-Known URL for Changing Passwords)."""
    return see_other(url_for("account_password.change"))


def _again() -> Response:
    """Show the second of two clicks the result of the first, if it has the new password."""
    form = PasswordForm()
    second = reauthentication.second_click(form.password.data or "")
    if second is None:
        return sign_in_first()
    return _done(second[0], second[1].username, without_passkeys=form.without_passkeys.data)


def _done(cookie: str, username: str, *, without_passkeys: bool) -> Response:
    done = "mot-de-passe-cles" if without_passkeys else "mot-de-passe"
    return reauthentication.continue_at(url_for("my_account.show", fait=done), cookie, username)


def _check(form: PasswordForm, account: Account) -> None:
    """Put the faults that the typed texts show beside their fields.

    Whether the present password is right is not among them: verifying it counts as a try, and a form with faults costs
    none (M-03).
    """
    current, new = form.current.data or "", form.password.data or ""
    person = identity(account, services().hasher, registry.public_names(services().settings))
    if not current:
        form.current.errors = [gettext("Tapez votre mot de passe actuel.")]
    faults = check_password(
        new,
        person=person,
        min_length=services().settings.password_min_length,
        is_breached=services().breached.holds,
    )
    form.password.errors = [fault.message for fault in faults]
    if not faults and typed_twice(new, current):
        form.password.errors = [gettext("C’est le même que votre mot de passe actuel. Choisissez-en un autre.")]
    form.confirmation.errors = second_faults(new, form.confirmation.raw_data)


def _page(account: Account, form: PasswordForm, status: int, *, wait: int = 0) -> Response:
    names = [account.given_name, account.family_name, account.username.partition(".")[2]]
    names += [child.given_name for child in account.children]
    known = keys.of_account(account.id)
    return render_page(
        "my_account/changer_mot_de_passe.html",
        status,
        dest=None,
        form=form,
        wait=wait,
        username=account.username,
        pending=account.pending_email,
        email=account.email,
        avoid=" ".join(" ".join(names).replace("-", " ").split()),
        min_length=services().settings.password_min_length,
        keys=known,
    )
