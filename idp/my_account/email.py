"""`/mon-compte/adresse`: a change of address by the signed-in person (security rows E-04, E-05, M-01)."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import select

from idp.accounts import authentication, directory, emails
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.models import Account
from idp.accounts.one_time_links import OneTimeLink, Purpose
from idp.accounts.passwords.hasher import Hasher
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.mail.emails import fold_email
from idp.my_account import reauthentication
from idp.services import services
from idp.sessions import devices, manager
from idp.sessions.guard import proved_recently, sign_in_first, signed_in
from idp.sessions.models import Session
from idp.throttle import guard, limits
from idp.web.errors import with_retry_after
from idp.web.forms import Form, PlainField, SecretField
from idp.web.i18n import in_words
from idp.web.redirects import render_page, see_other
from idp.web.request_context import remote_ip


@dataclass(frozen=True)
class Asked:
    """A link was sent to the new address, and a notice to the present one."""


Outcome = Asked | emails.TooSoon | Refused | Throttled


def ask(settings: Settings, hasher: Hasher, attempt: Attempt, session_id: uuid.UUID, email: str) -> Outcome:
    """Start the change to `email`, if the password of `attempt` is right.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    return authentication.verify_secret(
        settings, hasher, attempt, lambda verified: _admit(settings, attempt.ip, verified, session_id, email)
    )


def _admit(
    settings: Settings, ip: str, verified: VerifiedSecret, session_id: uuid.UUID, email: str
) -> Asked | emails.TooSoon | None:
    """Count the mail after the password was verified: a typing error must not use up the mails."""
    wait = emails.take_slots_for_another(verified.account_id, email, ip)
    if wait:
        return emails.TooSoon(wait)
    with unit_of_work():
        locked = reauthentication.lock(verified, session_id)
        if locked is None or locked[0].has_contested_email:
            return None
        account, _ = locked
        emails.ask_change(settings, account, email)
    return Asked()


@unit_of_work()
def keep_present(account_id: uuid.UUID) -> bool:
    """Cancel the pending change; return whether there was one."""
    account = directory.get_for_change(account_id)
    return account is not None and emails.cancel_change(account)


def last_sent_at(account_id: uuid.UUID) -> datetime | None:
    """Return when the last link for another address was issued."""
    return db.session.scalar(
        select(OneTimeLink.created_at)
        .where(OneTimeLink.account_id == account_id, OneTimeLink.purpose == Purpose.CHANGE_EMAIL.value)
        .order_by(OneTimeLink.created_at.desc())
        .limit(1)
    )


class EmailForm(Form):
    """The present password, and a new address."""

    current = SecretField(_l("Mot de passe actuel"), name="actuel")
    email = PlainField(_l("Nouvelle adresse mail"), name="mail", longest=400)


blueprint = Blueprint("account_email", __name__)

_AGAIN = "renvoi"


@blueprint.get("/mon-compte/adresse")
@signed_in
def show(_session: Session, account: Account) -> Response:
    """Show the pending change, or else the form."""
    if account.pending_email is not None and "autre" not in request.args:
        return _waiting_page(account)
    return _form_page(account, EmailForm(), 200)


@blueprint.post("/mon-compte/adresse")
@signed_in
def change(session: Session, account: Account) -> Response:
    """Start a change, or send its link again, or cancel it; show why there is none while the address is contested.

    Sending the link again requires no password; cancelling requires a recent one.
    """
    if account.has_contested_email:
        return _form_page(account, EmailForm(), 200)
    if "renvoyer" in request.form:
        return _resend(account)
    if "garder" in request.form:
        if not proved_recently(session):
            return see_other(url_for("reauthentication.verify", suite="adresse"))
        kept = keep_present(account.id)
        return see_other(url_for("my_account.show", fait="adresse-gardee") if kept else url_for("account_email.show"))
    form = EmailForm()
    new_email = _check(form, account)
    if new_email is None or form.errors:
        return _form_page(account, form, 200)
    attempt, session_id = devices.attempt(account.username, form.current.data or ""), session.id
    return _answer(account, form, ask(services().settings, services().hasher, attempt, session_id, new_email))


def _answer(account: Account, form: EmailForm, outcome: Outcome) -> Response:
    match outcome:
        case Asked():
            return see_other(url_for("account_email.show"))
        case emails.TooSoon(seconds):
            form.email.errors = [_wait_sentence(outcome)]
            return with_retry_after(_form_page(account, form, 429), seconds)
        case Throttled(seconds):
            return with_retry_after(_form_page(account, form, 429, wait=seconds), seconds)
        case Refused():
            if manager.find(manager.cookie_value() or "") is None:  # the session ended meanwhile
                return sign_in_first()
            form.current.errors = [gettext("Ce n’est pas votre mot de passe actuel.")]
            return _form_page(account, form, 200)


def _resend(account: Account) -> Response:
    outcome = emails.resend(services().settings, account.id, ip=remote_ip(), client_id=None)
    match outcome:
        case emails.Sent():
            return see_other(url_for("account_email.show", fait=_AGAIN))
        case emails.TooSoon(seconds):
            return with_retry_after(_waiting_page(account, refused=outcome), seconds)
        case emails.NothingToConfirm():
            return see_other(url_for("account_email.show"))


def _wait_sentence(outcome: emails.TooSoon) -> str:
    wait = in_words(outcome.seconds)
    if outcome.capped:
        text = gettext(
            "Beaucoup de messages sont déjà partis. Vous pourrez changer d’adresse dans %(wait)s.", wait=wait
        )
    else:
        text = gettext("Un message vient de partir. Vous pourrez enregistrer cette adresse dans %(wait)s.", wait=wait)
    return str(text)


def _check(form: EmailForm, account: Account) -> str | None:
    if not form.current.data:
        form.current.errors = [gettext("Tapez votre mot de passe actuel.")]
    parsed = emails.typed_in(form.email)
    if parsed and account.mailbox == fold_email(parsed):
        form.email.errors = [gettext("C’est déjà l’adresse de votre compte. Donnez-en une autre.")]
    return parsed


def _form_page(account: Account, form: EmailForm, status: int, *, wait: int = 0) -> Response:
    return render_page(
        "my_account/changer_adresse.html",
        status,
        dest=None,
        form=form,
        wait=wait,
        username=account.username,
        email=account.email,
        contested=account.has_contested_email,
    )


def _waiting_page(account: Account, *, refused: emails.TooSoon | None = None) -> Response:
    held = max(
        guard.remaining_wait(limits.RESEND_LINK_ACCOUNT, str(account.id)),
        guard.remaining_wait(limits.RESEND_LINK_MAILBOX, fold_email(account.pending_email or "")),
    )
    return render_page(
        "my_account/changer_adresse_attente.html",
        429 if refused else 200,
        dest=None,
        pending=account.pending_email,
        email=account.email,
        wait=held,
        refused_wait=refused.seconds if refused else 0,
        too_soon=refused is not None,
        capped=refused is not None and refused.capped,
        resent_at=last_sent_at(account.id) if request.args.get("fait") == _AGAIN else None,
        another_url=url_for("account_email.show", autre=1),
    )
