"""`/mon-compte/cles`: « Se connecter sans mot de passe », and what password managers ask for its URL.

Nobody enrols for another person: to add a passkey takes the password, typed minutes ago in this session, and a
challenge that was drawn for this browser, session and account. To remove one takes the password too: one passkey of
the account must not be enough to take away the others. Additions are counted, removals are not: an account has a few
keys to remove, and its owner may always remove a key that somebody else added.
"""

import uuid
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request, url_for
from flask_babel import gettext, lazy_gettext as _l

from idp.accounts.models import Account
from idp.config import Settings
from idp.db import unit_of_work
from idp.interaction import store
from idp.my_account import reauthentication
from idp.passkeys import keys
from idp.passkeys.ceremony import MOST_KEYS, AnswerField, PasskeyError, as_json
from idp.passkeys.models import Passkey
from idp.services import services
from idp.sessions.guard import signed_in, typed_password_recently
from idp.sessions.models import Session
from idp.throttle import guard, limits
from idp.web.errors import TooManyRequestsError
from idp.web.forms import Form, PlainField
from idp.web.i18n import day, instant_in_words
from idp.web.redirects import render_page, see_other
from idp.web.request_context import describe_device, user_agent

blueprint = Blueprint("account_passkeys", __name__)

_DONE = {
    "ajoutee": _l("C’est fait. La prochaine fois, touchez « Se connecter avec une clé d’accès »."),
    "nommee": _l("Le nom est changé."),
    "retiree": _l("La clé d’accès est retirée : elle n’ouvre plus votre compte."),
    "verifie": _l("C’est bien vous. Touchez à nouveau le bouton."),
}


class KeyForm(Form):
    """The answer of a new passkey, which the browser may have made by itself, or the key to change; and a name."""

    passkey = AnswerField()
    by_itself = PlainField(name="seule", longest=1)
    key = PlainField(name="cle", longest=36)
    name = PlainField(_l("Nom de la clé"), name="nom", longest=keys.LONGEST_NAME)


@blueprint.get("/mon-compte/cles")
@signed_in
def show(session: Session, account: Account) -> Response:
    """Show the passkeys, and how to add one."""
    return _page(session, account)


def _page(session: Session, account: Account, error: str = "") -> Response:
    form, known = KeyForm(), keys.of_account(account.id)
    form.name.data = form.name.data or describe_device(user_agent()).name
    return render_page(
        "my_account/cles.html",
        dest=None,
        new_key=form,
        error=error,
        done=_DONE.get(request.args.get("fait", ""), ""),
        keys=[_in_words(key) for key in known],
        accepted=keys.signal_accepted(services().settings, known),
        may_add=len(known) < MOST_KEYS,
        can_be_told=keys.may_be_added(account),
        has_typed_password=typed_password_recently(session),
        longest=keys.LONGEST_NAME,
    )


def _in_words(key: Passkey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "created": day(key.created_at),
        "used": instant_in_words(key.last_used_at) if key.last_used_at else "",
    }


@blueprint.post("/mon-compte/cles/defi")
@signed_in
def challenge(session: Session, account: Account) -> Response:
    """Begin to add a passkey: return the options for the browser; ask for the password first, unless just typed."""
    if not typed_password_recently(session):
        return _ask_password()
    try:
        return as_json(keys.begin_to_add(services().settings, account, session.id))
    except PasskeyError:  # the account was erased, or lost its address, since the page was shown
        abort(404)


@blueprint.post("/mon-compte/cles")
@signed_in
def add(session: Session, account: Account) -> Response:
    """Add a passkey; redirect to the ENT that asked for the sign-in, or to the list."""
    interaction = store.current()
    if not typed_password_recently(session):
        return _ask_password()
    form = KeyForm()
    answer, by_itself = form.passkey.data or "", bool(form.by_itself.data)
    try:
        _add(services().settings, account.id, session.id, answer, _name(form), by_itself=by_itself)
    except PasskeyError:
        if interaction is not None:
            return see_other(f"{store.page_url('passkey_sign_in.offer', interaction)}&fait=echec")
        return _page(session, account, gettext("La clé d’accès n’a pas été enregistrée. Réessayez."))
    if interaction is not None:
        return see_other(store.resume_url(interaction))
    return see_other(url_for("account_passkeys.show", fait="ajoutee"))


@blueprint.post("/mon-compte/cles/nom")
@signed_in
def rename(_session: Session, account: Account) -> Response:
    """Give a passkey another name."""
    form = KeyForm()
    if not keys.rename(account.id, _key(form), _name(form)):
        abort(404)
    return see_other(url_for("account_passkeys.show", fait="nommee"))


@blueprint.post("/mon-compte/cles/retirer")
@signed_in
def remove(session: Session, account: Account) -> Response:
    """Remove a passkey; ask for the password first, unless just typed."""
    if not typed_password_recently(session):
        return _ask_password()
    if not _remove(account.id, session.id, _key(KeyForm())):
        abort(404)
    return see_other(url_for("account_passkeys.show", fait="retiree"))


@blueprint.get("/.well-known/passkey-endpoints")
def endpoints() -> Response:
    """Tell password managers where passkeys are added and managed (W3C, Passkey Endpoints Well-Known URL)."""
    page = f"{services().settings.issuer}{url_for('account_passkeys.show')}"
    return jsonify(enroll=page, manage=page)


def _add(
    settings: Settings, account_id: uuid.UUID, session_id: uuid.UUID, answer: str, name: str, *, by_itself: bool
) -> None:
    if seconds := guard.take_or_wait((limits.PASSKEY_ADDITIONS, str(account_id))):
        raise TooManyRequestsError(seconds)
    with unit_of_work():
        locked = reauthentication.lock_session(account_id, session_id)
        if locked is None or not typed_password_recently(locked[1]):
            raise PasskeyError
        keys.add(settings, locked[0], session_id, answer, name, by_itself=by_itself)


def _remove(account_id: uuid.UUID, session_id: uuid.UUID, key_id: uuid.UUID) -> bool:
    with unit_of_work():
        locked = reauthentication.lock_session(account_id, session_id)
        return locked is not None and typed_password_recently(locked[1]) and keys.remove(account_id, key_id)


def _ask_password() -> Response:
    return see_other(url_for("reauthentication.verify", suite="cles"))


def _name(form: KeyForm) -> str:
    name = " ".join((form.name.data or "").split())
    return name if name and name.isprintable() else describe_device(user_agent()).name


def _key(form: KeyForm) -> uuid.UUID:
    try:
        return uuid.UUID(form.key.data or "")
    except ValueError:
        abort(404)
