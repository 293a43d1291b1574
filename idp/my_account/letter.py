"""`/mon-compte/courrier`: « Ajouter un autre courrier ».

A family whose schools use two files gets two letters and one account.
"""

import uuid
from dataclasses import dataclass

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import select

from idp.accounts import authentication, directory, merging, school_notices
from idp.accounts.authentication import Attempt, Refused, Throttled, VerifiedSecret
from idp.accounts.models import Account, School, SchoolNotice
from idp.accounts.passwords.hasher import Hasher, fold_username
from idp.audit import log
from idp.audit.events import LetterLinkDoubted
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.my_account import reauthentication
from idp.services import services
from idp.sessions import devices
from idp.sessions.guard import proved_recently, signed_in
from idp.sessions.models import Session
from idp.web.errors import with_retry_after
from idp.web.forms import Form, PlainField, SecretField
from idp.web.redirects import render_page, see_other


@dataclass(frozen=True)
class Linked:
    """The letter's children were moved to this account; the letter is void."""


@dataclass(frozen=True)
class Doubted:
    """The secret was right, but the two may be namesakes: nothing changed, and the schools decide."""


Outcome = Linked | Doubted | Refused | Throttled


def link_letter(settings: Settings, hasher: Hasher, attempt: Attempt, session: Session) -> Outcome:
    """Verify a letter's identifier and provisional password, and move its children to the account of `session`.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    session_id, account_id = session.id, session.account_id
    outcome: Outcome = authentication.verify_secret(
        settings, hasher, attempt, lambda verified: _admit(settings, verified, account_id, session_id)
    )
    return Linked() if isinstance(outcome, Refused) and is_linked(account_id, attempt.username) else outcome


def is_linked(account_id: uuid.UUID, username: str) -> bool:
    """Return whether the letter of `username` was already added to this account: a second click sees that result."""
    folded = fold_username(username)
    other = directory.find_by_username(folded) if folded else None
    return other is not None and other.merge is not None and other.merge.into_id == account_id


def doubtful_schools(account_id: uuid.UUID) -> list[School]:
    """Return the schools that have not yet decided about a letter of this person."""
    statement = (
        select(School)
        .join(SchoolNotice, SchoolNotice.school_id == School.id)
        .where(
            SchoolNotice.other_account_id == account_id,
            school_notices.is_open([school_notices.Kind.LETTER_DOUBT]),
            ~school_notices.is_added(),
        )
        .order_by(School.name)
    )
    return list(db.session.scalars(statement).unique())


@unit_of_work()
def _admit(
    settings: Settings, verified: VerifiedSecret, account_id: uuid.UUID, session_id: uuid.UUID
) -> Linked | Doubted | None:
    """Decide in one transaction, by the present state of both accounts; rows are locked in one order."""
    locked = {key: directory.get_for_change(key) for key in sorted({account_id, verified.account_id})}
    mine, other = locked[account_id], locked[verified.account_id]
    is_signed_in = reauthentication.lock_session(account_id, session_id) is not None
    if mine is None or not is_signed_in or other is None or not verified.still_holds(other):
        return None
    if merging.surely_one_person(mine, other) and not school_notices.were_told_apart(mine.id, other.id):
        merging.merge(settings, mine, other)
        return Linked()
    _doubt(mine, other)
    return Doubted()


def _doubt(mine: Account, other: Account) -> None:
    """Tell the letter's schools, once: the same letter tried again is the same question."""
    schools = [school.id for school in directory.schools_of_ties(other)]
    school_notices.add(school_notices.Kind.LETTER_DOUBT, other.id, schools, other_account_id=mine.id)
    log.record(LetterLinkDoubted(account_id=mine.id, other=str(other.id)))


class LetterForm(Form):
    """The identifier and the secret of another letter."""

    username = PlainField(_l("Identifiant"), name="identifiant", longest=200)
    password = SecretField(_l("Mot de passe provisoire"), name="mot-de-passe")


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
    outcome = Linked() if is_linked(account.id, typed) else _try(form, session)
    match outcome:
        case Linked():
            return see_other(url_for("my_account.show", fait="courrier"))
        case Doubted():
            return see_other(url_for("letter.doubt"))
        case Throttled(seconds):
            return with_retry_after(_page(form, 429, wait=seconds), seconds)
        case Refused():
            return _page(form, 200, failed=True)


@blueprint.get("/mon-compte/courrier/doute")
@signed_in
def doubt(_session: Session, account: Account) -> Response:
    """Show that a school has to decide about a letter; without such a letter, redirect."""
    schools = doubtful_schools(account.id)
    if not schools:
        return see_other(url_for("my_account.show"))
    tellable = directory.tellable(schools)
    return render_page("my_account/courrier_doute.html", dest=None, schools=tellable)


def _try(form: LetterForm, session: Session) -> Outcome:
    attempt = devices.attempt(form.username.data or "", form.password.data or "", door="letter")
    return link_letter(services().settings, services().hasher, attempt, session)


def _page(form: LetterForm, status: int, *, failed: bool = False, wait: int = 0) -> Response:
    return render_page(
        "my_account/courrier.html",
        status,
        dest=None,
        form=form,
        failed=failed,
        wait=wait,
        letter_days=services().settings.provisional_days,
    )
