"""`/connexion`, `/preuve` and `/deconnexion` of the desk: who a person is, by a passkey or a password with a code."""

import uuid
from datetime import datetime
from typing import NamedTuple

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l

from idp import opaque
from idp.audit import log
from idp.audit.desk_events import StaffProofFailed, StaffSignInFailed
from idp.db import db, unit_of_work
from idp.desk import access, kept_forms
from idp.desk.access import public, signed_in
from idp.desk.staff import authenticators, posts, sessions
from idp.desk.staff.authenticators import Purpose
from idp.desk.staff.models import Authenticator, StaffAccount, StaffSession
from idp.desk.staff.sessions import Missed, SignedIn
from idp.desk.team import mails
from idp.mail.emails import fold_email
from idp.passkeys.ceremony import PasskeyError, PasskeyForm, as_json
from idp.services import services
from idp.sessions import devices
from idp.throttle import guard, limits
from idp.throttle.limits import Limit
from idp.web import redirects
from idp.web.errors import TooManyRequestsError
from idp.web.forms import Form, PlainField, SecretField
from idp.web.redirects import render_page, see_other
from idp.web.request_context import remote_ip


class Opened(NamedTuple):
    """A session was opened: the cookie's value, and the person."""

    cookie: str
    staff: StaffAccount


class Refused(NamedTuple):
    """Nothing was opened. `has_no_role` says that the person is known, but has no role any more."""

    has_no_role: bool = False


_NOBODY = uuid.UUID(int=0)


def tries_from_here() -> tuple[Limit, str]:
    """Return the limit of sign-ins with a passkey or at the académie: of a browser of the desk, or else of the IP."""
    device = devices.of_desk()
    return (limits.DESK_PASSKEY_DEVICE, device.number) if device else (limits.DESK_SIGN_IN_IP, remote_ip())


def challenges_from_here() -> tuple[Limit, str]:
    """Return the limit of challenges: of a browser of the desk, or else of the IP."""
    device = devices.of_desk()
    return (limits.DESK_CHALLENGE_DEVICE, device.number) if device else (limits.DESK_CHALLENGE_IP, remote_ip())


def count_try(*demands: tuple[Limit, str], back: tuple[str, str] | None = None) -> None:
    """Count a try before it is verified.

    Raises:
        TooManyRequestsError: a rate limit refuses it; its page leads to `back`.
    """
    if seconds := guard.take_or_wait(*demands):
        raise TooManyRequestsError(seconds, back=back)


def _count_sign_in(*demands: tuple[Limit, str]) -> None:
    count_try(*demands, back=(url_for("sign_in.sign_in"), gettext("Connexion au bureau")))


def by_passkey(answer: str) -> Opened | Refused:
    """Sign in with a passkey; `answer` is what the browser's passkey answered to a challenge."""
    tries = tries_from_here()
    _count_sign_in(tries)
    try:
        with unit_of_work():
            staff_id = authenticators.verify_passkey(services().settings, Purpose.SIGN_IN, answer)
            outcome = open_for(staff_id, Authenticator.PASSKEY)
    except PasskeyError:
        outcome = _refused("passkey")
    if isinstance(outcome, Opened):
        guard.settle_success(tries, challenges_from_here())
    return outcome


def by_code(email: str, password: str, code: str) -> Opened | Refused:
    """Sign in with a password and a code.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    mailbox = fold_email(email.strip())
    staff = authenticators.find_account(email)
    device = devices.known(str(staff.id), of_desk=True) if staff else None
    demands: tuple[tuple[Limit, str], ...] = (
        (limits.DESK_SIGN_IN_ACCOUNT, mailbox),
        (limits.DESK_SIGN_IN_IP, remote_ip()),
    )
    if device is not None:
        demands = ((limits.DESK_SIGN_IN_DEVICE, device.number),)
    _count_sign_in(*demands)
    is_right = authenticators.is_password(services().hasher, staff, password)
    outcome: Opened | Refused = Refused()
    with unit_of_work():
        # the same statements for a wrong password, so that their time does not tell that it is right
        authenticator = authenticators.use_code(services().settings, staff.id if staff and is_right else _NOBODY, code)
        if staff is not None and authenticator is not None:
            outcome = open_for(staff.id, authenticator)
    if isinstance(outcome, Opened):
        guard.settle_success(*demands)
    elif outcome == Refused():
        outcome = _refused("code", mailbox)
    return outcome


def _refused(reason: str, mailbox: str = "") -> Refused:
    with unit_of_work():
        key = opaque.derive_key(services().settings.secrets[0], "staff mailbox")
        digest = opaque.keyed_digest(key, mailbox).hex()[:32] if mailbox else ""
        log.record(StaffSignInFailed(reason=reason, mailbox_digest=digest))
    return Refused()


def note_refusal(reason: str) -> None:
    """Journal a refused sign-in in the caller's transaction."""
    log.record(StaffSignInFailed(reason=reason))


def open_for(
    staff_id: uuid.UUID, authenticator: Authenticator, *, proved_at: datetime | None = None
) -> Opened | Refused:
    """Open a session in the caller's transaction for a person who proved who they are and has a role.

    `proved_at` is when, if it is not now.
    """
    staff = db.session.get(StaffAccount, staff_id, populate_existing=True, with_for_update=True)
    if staff is None or staff.disabled_at is not None:
        return Refused()
    if not posts.of_staff(staff.id):
        note_refusal("no_role")
        return Refused(has_no_role=True)
    had_signed_in = staff.last_sign_in_at is not None
    cookie = sessions.open_session(staff, authenticator, proved_at=proved_at)
    if had_signed_in and devices.known(str(staff.id), of_desk=True) is None:
        mails.tell_new_device(staff)
    return Opened(cookie, staff)


def prove_by_passkey(person: SignedIn, answer: str) -> str | Missed:
    """Note a fresh proof by a passkey of this person; return the session's new cookie, empty if nothing was proved."""
    count_try(proofs_of(person.session.id))
    try:
        with unit_of_work():
            authenticators.verify_passkey(services().settings, Purpose.PROVE, answer, person.staff.id)
            cookie = sessions.prove(person, Authenticator.PASSKEY)
    except PasskeyError:
        return _not_proved(person, "passkey")
    guard.settle_success(proofs_of(person.session.id))
    return cookie


def prove_by_code(person: SignedIn, password: str, code: str) -> str | Missed:
    """Note a fresh proof by password and code; return what `prove_by_passkey` does.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    count_try(proofs_of(person.session.id))
    if not authenticators.is_password(services().hasher, person.staff, password):
        return _not_proved(person, "code")
    with unit_of_work():
        authenticator = authenticators.use_code(services().settings, person.staff.id, code)
        cookie = "" if authenticator is None else sessions.prove(person, authenticator)
    if not cookie:
        return _not_proved(person, "code")
    guard.settle_success(proofs_of(person.session.id))
    return cookie


def proofs_of(session_id: uuid.UUID) -> tuple[Limit, str]:
    """Return the limit of the proofs of a session; it bounds the journal's entries of failed ones too."""
    return limits.DESK_PROOF, str(session_id)


def _not_proved(person: SignedIn, tried: str) -> str:
    with unit_of_work():
        note_failed_proof(person, tried)
    return ""


def note_failed_proof(person: SignedIn, tried: str) -> None:
    """Journal a failed proof in the caller's transaction."""
    log.record(StaffProofFailed(staff=str(person.staff.id), authenticator=tried))


class CodeForm(Form):
    """The fallback: mail address, password and code together."""

    email = PlainField(_l("Adresse mail"))
    password = SecretField(_l("Mot de passe"))
    code = PlainField(_l("Code"), longest=40)


class ProofForm(Form):
    """The fallback of a person who is signed in: password and code."""

    password = SecretField(_l("Mot de passe"))
    code = PlainField(_l("Code"), longest=40)


blueprint = Blueprint("sign_in", __name__)


@blueprint.route("/connexion", methods=["GET", "POST"])
@public
def sign_in() -> Response:
    """Show the ways to sign in; on a POST, sign in with a passkey or with a password and a code."""
    if request.method == "GET":
        return see_other(redirects.next_path()) if sessions.current() else _page(CodeForm())
    form = CodeForm()
    if answer := PasskeyForm().answer:
        outcome = by_passkey(answer)
        return _answer(outcome, form, _unknown_key(_by_code()))
    if _has_empty_field(form):
        return _page(form)
    email, password, code = form.email.data or "", form.password.data or "", form.code.data or ""
    outcome = by_code(email, password, code)
    return _answer(outcome, form, gettext("Cette adresse, ce mot de passe et ce code n’ouvrent pas le bureau."))


def _answer(outcome: Opened | Refused, form: CodeForm, sentence: str) -> Response:
    if isinstance(outcome, Refused):
        over = gettext("Votre accès au bureau est terminé. Le chef d’établissement peut le rouvrir.")
        return _page(form, over if outcome.has_no_role else sentence)
    response = see_other(redirects.next_path())
    set_cookies(response, outcome)
    return response


def set_cookies(response: Response, opened: Opened) -> None:
    """Set the cookie of a new session, and make this browser known to its person."""
    sessions.set_cookie(response, opened.cookie)
    devices.remember(response, str(opened.staff.id), of_desk=True)


def _page(form: CodeForm, error: str = "") -> Response:
    settings = services().settings
    return render_page(
        "desk/sign_in/connexion.html",
        form=form,
        error=error,
        ended=request.args.get("fait") == "termine",
        has_academy=bool(settings.desk_oidc_issuer),
        other=_by_code(),
        suite=redirects.next_path(),
        kept_until=kept_forms.kept_until(redirects.next_path()),
    )


def _has_empty_field(form: CodeForm | ProofForm) -> bool:
    sentences = {
        "email": gettext("Tapez une adresse mail."),
        "password": gettext("Tapez votre mot de passe."),
        "code": gettext("Tapez le code de l’application, ou un code de secours."),
    }
    for field in form:
        if field.name in sentences and not field.data:
            field.errors = [sentences[field.name]]
    return bool(form.errors)


@blueprint.post("/connexion/defi")
@public
def challenge() -> Response:
    """Begin a sign-in with a passkey: return the options for the browser."""
    count_try(challenges_from_here())
    return as_json(authenticators.passkey_authentication(services().settings, Purpose.SIGN_IN))


@blueprint.route("/preuve", methods=["GET", "POST"])
@signed_in()
def prove() -> Response:
    """Ask again who the person is; on a POST, verify it and lead on."""
    person, form = access.person(), ProofForm()
    if request.method == "GET":
        return see_other(redirects.next_path()) if access.has_fresh_proof(person) else _proof_page(form)
    if answer := PasskeyForm().answer:
        error = _unknown_key(_other_way(person.staff))
        proved = prove_by_passkey(person, answer)
    elif _has_empty_field(form):
        return _proof_page(form)
    else:
        error = gettext("Ce mot de passe et ce code ne vont pas.")
        password, code = form.password.data or "", form.code.data or ""
        proved = prove_by_code(person, password, code)
    if not proved:
        return _proof_page(form, error)
    if proved is Missed.SESSION_ENDED:
        return access.sign_in_first()
    response = see_other(redirects.next_path())
    sessions.replace_cookie(response, proved)
    return response


def _proof_page(form: ProofForm, error: str = "") -> Response:
    staff = access.person().staff
    other = _other_way(staff)
    return render_page(
        "desk/sign_in/preuve.html",
        form=form,
        error=error,
        has_passkey=bool(authenticators.passkeys_of(staff.id)) or not other,
        has_academy=_has_academy(staff),
        has_code=staff.password_hash is not None,
        other=other,
        suite=redirects.next_path(),
        back=access.page_without_proof(redirects.next_path()),
        kept_until=kept_forms.kept_until(redirects.next_path()),
    )


def _has_academy(staff: StaffAccount) -> bool:
    issuer = services().settings.desk_oidc_issuer
    return bool(issuer) and staff.issuer == issuer


def _other_way(staff: StaffAccount) -> str:
    if staff.password_hash is not None:
        return _by_code()
    return str(gettext("Sinon, passez par l’académie.")) if _has_academy(staff) else ""


def _by_code() -> str:
    return str(gettext("Sinon, utilisez un code."))


def _unknown_key(other: str) -> str:
    return " ".join(filter(None, (gettext("Cette clé d’accès n’a pas été reconnue. Réessayez."), other)))


@blueprint.post("/preuve/defi")
@signed_in()
def proof_challenge() -> Response:
    """Begin a proof with a passkey of the person."""
    return as_json(authenticators.passkey_authentication(services().settings, Purpose.PROVE, access.person().staff.id))


@blueprint.post("/deconnexion")
@signed_in()
def sign_out() -> Response:
    """End the session."""
    person = access.person()
    with unit_of_work():
        sessions.end(StaffSession.id == person.session.id, by="person")
    response = see_other(url_for("sign_in.sign_in"))
    sessions.clear_cookie(response)
    return response
