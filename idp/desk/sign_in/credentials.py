"""`/invitation/…` and `/ma-securite`: a person enrols, adds and removes passkeys, codes and sessions."""

import textwrap
import uuid
from http import HTTPStatus

import pyotp
import segno
from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from markupsafe import Markup
from sqlalchemy import delete, select

from idp.audit import log
from idp.audit.desk_events import StaffCredentialChanged, StaffEnrolled
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk import access, fields
from idp.desk.access import public, signed_in
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.sign_in import views
from idp.desk.staff import authenticators, posts, sessions
from idp.desk.staff.authenticators import ProvedTotp, Purpose
from idp.desk.staff.models import (
    Authenticator,
    CredentialKind,
    StaffAccount,
    StaffCeremony,
    StaffCredential,
    StaffSession,
)
from idp.desk.team import invitations, mails
from idp.desk.team.invitations import UsedError
from idp.passkeys.ceremony import AnswerField, PasskeyError, as_json
from idp.services import services
from idp.throttle import guard, limits
from idp.web.forms import PlainField, SecretField
from idp.web.redirects import render_page, see_other
from idp.web.request_context import describe_device


class EnrolForm(DeskForm):
    """The enrolment of a password with a code, and the name of a passkey."""

    passkey = AnswerField()
    passkey_name = PlainField(_l("Nom de la clé"), longest=60)
    password = SecretField(_l("Mot de passe"))
    ceremony = PlainField(longest=40)
    code = PlainField(_l("Code"), longest=12)


def start_code(staff: StaffAccount) -> StaffCeremony:
    """Draw a TOTP secret, which waits for its first code."""
    sealed = authenticators.seal_totp(services().settings, staff.id, authenticators.new_totp())
    with unit_of_work():
        return authenticators.start_ceremony(Purpose.TOTP, staff.id, secret=sealed)


def begun_code(staff: StaffAccount, form: EnrolForm) -> StaffCeremony | None:
    """Return the ceremony that a form completes, or None if it is over."""
    key = fields.key(form.ceremony.data)
    return authenticators.waiting_ceremony(Purpose.TOTP, key, staff.id) if key else None


def code_page(staff: StaffAccount, form: EnrolForm, ceremony: StaffCeremony, action: str) -> Response:
    """Return the page with the QR code and a link for the same telephone; `action` is the URL of its form."""
    settings = services().settings
    secret = authenticators.open_totp(settings, staff.id, ceremony.secret or b"") or ""
    uri = pyotp.TOTP(secret).provisioning_uri(name=staff.email, issuer_name=settings.service_name)
    svg = segno.make(uri, error="m", micro=False).svg_inline(
        scale=4, border=4, dark="#000", light="#fff", omitsize=True
    )
    return render_page(
        "desk/sign_in/code.html",
        form=form,
        action=action,
        ceremony=ceremony.id,
        secret=" ".join(textwrap.wrap(secret, 4)),
        uri=uri,
        picture=Markup(svg),  # noqa: S704 - drawn by segno
        min_length=authenticators.min_length(settings),
    )


def check_code(staff: StaffAccount, form: EnrolForm, ceremony: StaffCeremony) -> ProvedTotp | None:
    """Return the secret that the typed code proves, or None after errors were put beside the fields."""
    settings = services().settings
    if faults := authenticators.password_faults(settings, staff, form.password.data or "", services().breached):
        form.password.errors = [str(fault.message) for fault in faults]
    secret = authenticators.open_totp(settings, staff.id, ceremony.secret or b"")
    step = authenticators.step_of(secret, form.code.data or "") if secret else None
    if secret is None or step is None:
        form.code.errors = [gettext("Ce n’est pas le code que l’application montre en ce moment.")]
        return None
    return None if form.errors else ProvedTotp(secret, step)


def redeem(token: str, staff_id: uuid.UUID) -> StaffAccount:
    """Use an invitation in the caller's transaction; return its person, whose row is locked.

    Raises:
        UsedError: the invitation does not work.
    """
    owner = invitations.get_for_change(staff_id)
    invitation = invitations.redeem(token)
    if invitation is None or owner is None or owner.disabled_at is not None or invitation.staff_id != owner.id:
        raise UsedError
    if owner.enrolled_at is not None and not invitation.is_reset:
        raise UsedError
    invitations.forget_credentials(owner)
    sessions.end(StaffSession.staff_id == owner.id, by="reset")
    return owner


enrolment = Blueprint("enrolment", __name__)


@enrolment.route("/invitation/<token>", methods=["GET", "POST"])
@public
def enrol(token: str) -> Response:
    """Show how to enrol; on a POST, enrol, open a session and show the recovery codes once."""
    staff, form = invitations.person_of(token), EnrolForm()
    if request.method == "GET":
        return _page(staff, form)
    if form.passkey.data:
        return _enrol_passkey(token, staff, form)
    return _enrol_code(token, staff, form)


@enrolment.post("/invitation/<token>/defi")
@public
def begin_passkey(token: str) -> Response:
    """Begin the registration of a passkey: return the options for the browser."""
    staff = invitations.person_of(token)
    return as_json(authenticators.passkey_registration(services().settings, staff, Purpose.ENROL))


@enrolment.post("/invitation/<token>/code")
@public
def begin_password(token: str) -> Response:
    """Draw a TOTP secret, and ask for the password and the first code."""
    staff = invitations.person_of(token)
    return code_page(staff, EnrolForm(), start_code(staff), url_for("enrolment.enrol", token=token))


def _page(staff: StaffAccount, form: EnrolForm, error: str = "") -> Response:
    return render_page(
        "desk/sign_in/invitation.html",
        staff=staff,
        posts=posts.of_staff(staff.id),
        form=form,
        error=error,
        has_academy=bool(services().settings.desk_oidc_issuer),
    )


@enrolment.app_errorhandler(UsedError)
def show_used(_error: UsedError) -> Response:
    """Say that an invitation does not work any more."""
    return render_page("desk/sign_in/invitation_finie.html", HTTPStatus.GONE)


def _enrol_passkey(token: str, staff: StaffAccount, form: EnrolForm) -> Response:
    try:
        with unit_of_work():
            owner = redeem(token, staff.id)
            authenticators.register_passkey(
                services().settings, owner, Purpose.ENROL, form.passkey.data or "", form.passkey_name.data or ""
            )
            return entered(owner, Authenticator.PASSKEY)
    except PasskeyError:
        return _page(staff, form, gettext("La clé d’accès n’a pas été enregistrée. Réessayez."))


def _enrol_code(token: str, staff: StaffAccount, form: EnrolForm) -> Response:
    ceremony = begun_code(staff, form)
    if ceremony is None:
        return _page(staff, form, gettext("Cette page est restée ouverte trop longtemps. Recommencez."))
    subject = f"enrol {staff.id}"
    views.count_try((limits.DESK_SIGN_IN_ACCOUNT, subject))
    proved = check_code(staff, form, ceremony)
    if proved is None:
        return code_page(staff, form, ceremony, url_for("enrolment.enrol", token=token))
    hashed = services().hasher.hash(form.password.data or "", "activation")
    with unit_of_work():
        owner = redeem(token, staff.id)
        if authenticators.use_ceremony(Purpose.TOTP, ceremony.challenge, owner.id) is None:
            raise UsedError
        authenticators.store_totp(services().settings, owner, proved, hashed)
        response = entered(owner, Authenticator.CODE)
    guard.clear(limits.DESK_SIGN_IN_ACCOUNT, subject)
    return response


def entered(owner: StaffAccount, authenticator: Authenticator) -> Response:
    """Finish an enrolment in the caller's transaction: open a session, and show the recovery codes, once.

    A person with a passkey alone is led to a second one.
    """
    owner.enrolled_at = owner.enrolled_at or now()
    log.record(StaffEnrolled(staff=str(owner.id), authenticator=authenticator.value))
    drawn = authenticators.draw_recovery_codes(owner.id) if authenticator is Authenticator.CODE else []
    opened = views.open_for(owner.id, authenticator)
    page, is_alone = "codes_de_secours" if drawn else "pret", authenticator is Authenticator.PASSKEY
    response = render_page(f"desk/sign_in/{page}.html", codes=drawn, is_new=True, has_one_key=is_alone)
    if isinstance(opened, views.Opened):
        views.set_cookies(response, opened)
    return response


my_security = Blueprint("my_security", __name__)


@my_security.get("/ma-securite")
@signed_in(fresh=True)
def show() -> Response:
    """Show keys, codes and sessions."""
    return _security_page(EnrolForm())


def _security_page(form: EnrolForm, error: str = "") -> Response:
    staff = access.person().staff
    sentences = {
        "cle": gettext("La clé d’accès est enregistrée."),
        "retiree": gettext("La clé d’accès est retirée."),
        "terminee": gettext("La session est terminée."),
    }
    return render_page(
        "desk/my_security/ma_securite.html",
        form=form,
        error=error,
        done=sentences.get(request.args.get("fait", ""), ""),
        keys=authenticators.passkeys_of(staff.id),
        has_code=_has(staff, CredentialKind.TOTP),
        codes_left=authenticators.recovery_codes_left(staff.id),
        sessions=sessions.open_sessions(staff.id),
        device=lambda session: describe_device(session.user_agent).label,
    )


def _has(staff: StaffAccount, kind: CredentialKind) -> bool:
    own = select(StaffCredential.id).where(StaffCredential.staff_id == staff.id, StaffCredential.kind == kind)
    return db.session.scalar(own.limit(1)) is not None


@my_security.post("/ma-securite/defi")
@signed_in(fresh=True)
@keeps("passkey_name")
def challenge() -> Response:
    """Begin the registration of another passkey: return the options for the browser."""
    return as_json(authenticators.passkey_registration(services().settings, access.person().staff, Purpose.ADD))


@my_security.post("/ma-securite/cles")
@signed_in(fresh=True)
@keeps("passkey_name")
def add_key() -> Response:
    """Add a passkey."""
    form = EnrolForm()
    try:
        with unit_of_work():
            staff = _locked()
            authenticators.register_passkey(
                services().settings, staff, Purpose.ADD, form.passkey.data or "", form.passkey_name.data or ""
            )
            _note(staff, CredentialKind.PASSKEY, "added")
    except PasskeyError:
        return _security_page(form, gettext("La clé d’accès n’a pas été enregistrée. Réessayez."))
    return see_other(url_for("my_security.show", fait="cle"))


@my_security.post("/ma-securite/cles/retirer")
@signed_in(fresh=True)
@keeps()
def remove_key() -> Response:
    """Remove a passkey, unless nothing else would open the desk."""
    with unit_of_work():
        staff = _locked()
        key = fields.key(request.form.get("key", ""))
        keys = [row.id for row in authenticators.passkeys_of(staff.id)]
        has_academy = staff.issuer is not None and staff.issuer == services().settings.desk_oidc_issuer
        is_last = len(keys) == 1 and not _has(staff, CredentialKind.TOTP) and not has_academy
        if key in keys and not is_last:
            db.session.execute(delete(StaffCredential).where(StaffCredential.id == key))
            _note(staff, CredentialKind.PASSKEY, "removed")
            return see_other(url_for("my_security.show", fait="retiree"))
        if key and is_last:
            return _security_page(
                EnrolForm(), gettext("C’est votre seul moyen d’entrer : ajoutez d’abord une autre clé ou un code.")
            )
    return see_other(url_for("my_security.show"))


@my_security.post("/ma-securite/code")
@signed_in(fresh=True)
@keeps()
def begin_code() -> Response:
    """Draw a TOTP secret, and ask for the password and the first code."""
    staff, action = access.person().staff, url_for("my_security.add_code")
    return code_page(staff, EnrolForm(), start_code(staff), action)


@my_security.post("/ma-securite/code/enregistrer")
@signed_in(fresh=True)
@keeps()
def add_code() -> Response:
    """Store a password with an authenticator application, and show its recovery codes once; other sessions end."""
    form, person = EnrolForm(), access.person()
    ceremony = begun_code(person.staff, form)
    if ceremony is None:
        return _security_page(EnrolForm(), gettext("Cette page est restée ouverte trop longtemps. Recommencez."))
    proved = check_code(person.staff, form, ceremony)
    if proved is None:
        return code_page(person.staff, form, ceremony, url_for("my_security.add_code"))
    hashed = services().hasher.hash(form.password.data or "", "activation")
    with unit_of_work():
        staff = _locked()
        is_first = authenticators.use_ceremony(Purpose.TOTP, ceremony.challenge, staff.id) is not None
        if is_first:
            authenticators.store_totp(services().settings, staff, proved, hashed)
            drawn = authenticators.draw_recovery_codes(staff.id)
            others = StaffSession.staff_id == staff.id, StaffSession.id != person.session.id
            sessions.end(*others, by="code_changed")
            _note(staff, CredentialKind.TOTP, "added")
    if not is_first:
        return _security_page(
            EnrolForm(), gettext("Ce formulaire est parti deux fois : seul le premier envoi a compté.")
        )
    return _codes_page(drawn)


@my_security.post("/ma-securite/codes-de-secours")
@signed_in(fresh=True)
@keeps()
def draw_codes() -> Response:
    """Draw new recovery codes for the password, and show them once."""
    with unit_of_work():
        staff = _locked()
        if not _has(staff, CredentialKind.TOTP):
            return see_other(url_for("my_security.show"))
        drawn = authenticators.draw_recovery_codes(staff.id)
        _note(staff, CredentialKind.RECOVERY_CODE, "added")
    return _codes_page(drawn)


def _codes_page(drawn: list[str]) -> Response:
    return render_page("desk/sign_in/codes_de_secours.html", codes=drawn, is_new=False)


@my_security.post("/ma-securite/sessions")
@signed_in(fresh=True)
@keeps()
def end_session() -> Response:
    """End one of the person's sessions."""
    person, key = access.person(), fields.key(request.form.get("session", ""))
    with unit_of_work():
        own = StaffSession.staff_id == person.staff.id, StaffSession.id == key
        ended = sessions.end(*own, by="other" if key != person.session.id else "person")
    return see_other(url_for("my_security.show", fait="terminee" if ended else None))


def _locked() -> StaffAccount:
    staff = invitations.get_for_change(access.person().staff.id)
    if staff is None:
        access.refuse()
    return staff


def _note(staff: StaffAccount, kind: CredentialKind, change: str) -> None:
    if change == "added":
        mails.tell_new_credential(staff, kind)
    log.record(StaffCredentialChanged(staff=str(staff.id), credential=kind.value, change=change))
