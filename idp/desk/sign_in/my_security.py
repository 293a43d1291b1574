"""`/ma-securite` of the desk."""

import uuid
from contextlib import suppress

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import delete, func, select

from idp.audit import log
from idp.audit.desk_events import StaffCredentialChanged
from idp.db import db, unit_of_work
from idp.desk import access
from idp.desk.access import signed_in
from idp.desk.kept_forms import keeps
from idp.desk.sign_in import enrolment_views
from idp.desk.sign_in.enrolment_views import EnrolForm
from idp.desk.staff import ceremonies, codes, passkeys, sessions
from idp.desk.staff.ceremonies import Purpose
from idp.desk.staff.models import CredentialKind, StaffAccount, StaffCredential, StaffSession
from idp.desk.team import invitations, notices
from idp.passkeys.ceremony import PasskeyError, as_json
from idp.services import services
from idp.web.redirects import see_other
from idp.web.request_context import describe_device

blueprint = Blueprint("my_security", __name__)


@blueprint.get("/ma-securite")
@signed_in(fresh=True)
def show() -> Response:
    """Show keys, codes and sessions."""
    return _page(EnrolForm())


def _page(form: EnrolForm, error: str = "") -> Response:
    staff = access.person().staff
    keys = select(StaffCredential).where(
        StaffCredential.staff_id == staff.id, StaffCredential.kind == CredentialKind.PASSKEY
    )
    sentences = {
        "cle": gettext("La clé d’accès est enregistrée."),
        "retiree": gettext("La clé d’accès est retirée."),
        "terminee": gettext("La session est terminée."),
    }
    return make_response(
        render_template(
            "desk/my_security/ma_securite.html",
            form=form,
            error=error,
            done=sentences.get(request.args.get("fait", ""), ""),
            keys=db.session.scalars(keys.order_by(StaffCredential.created_at)).all(),
            has_code=_has(staff, CredentialKind.TOTP),
            codes_left=codes.recovery_codes_left(staff.id),
            sessions=sessions.open_sessions(staff.id),
            device=_device,
        )
    )


def _device(session: StaffSession) -> str:
    return describe_device(session.user_agent).label


def _has(staff: StaffAccount, kind: CredentialKind) -> bool:
    counted = select(func.count()).where(StaffCredential.staff_id == staff.id, StaffCredential.kind == kind)
    return bool(db.session.scalar(counted))


@blueprint.post("/ma-securite/defi")
@signed_in(fresh=True)
@keeps("passkey_name")
def challenge() -> Response:
    """Begin the registration of another passkey: return the options for the browser."""
    return as_json(passkeys.registration_options(services().settings, access.person().staff, Purpose.ADD))


@blueprint.post("/ma-securite/cles")
@signed_in(fresh=True)
@keeps("passkey_name")
def add_key() -> Response:
    """Add a passkey."""
    form = EnrolForm()
    try:
        with unit_of_work():
            staff = _locked()
            passkeys.register(
                services().settings, staff, Purpose.ADD, form.passkey.data or "", form.passkey_name.data or ""
            )
            _note(staff, CredentialKind.PASSKEY, "added")
    except PasskeyError:
        return _page(form, gettext("La clé d’accès n’a pas été enregistrée. Réessayez."))
    return see_other(url_for("my_security.show", fait="cle"))


@blueprint.post("/ma-securite/cles/retirer")
@signed_in(fresh=True)
@keeps()
def remove_key() -> Response:
    """Remove a passkey, unless nothing else would open the desk."""
    with suppress(ValueError), unit_of_work():
        staff = _locked()
        key = uuid.UUID(request.form.get("key", ""))
        keys = db.session.scalars(
            select(StaffCredential.id).where(
                StaffCredential.staff_id == staff.id, StaffCredential.kind == CredentialKind.PASSKEY
            )
        ).all()
        has_academy = staff.issuer is not None and staff.issuer == services().settings.desk_oidc_issuer
        is_last = len(keys) == 1 and not _has(staff, CredentialKind.TOTP) and not has_academy
        if key in keys and not is_last:
            db.session.execute(delete(StaffCredential).where(StaffCredential.id == key))
            _note(staff, CredentialKind.PASSKEY, "removed")
            return see_other(url_for("my_security.show", fait="retiree"))
        if is_last:
            return _page(
                EnrolForm(), gettext("C’est votre seul moyen d’entrer : ajoutez d’abord une autre clé ou un code.")
            )
    return see_other(url_for("my_security.show"))


@blueprint.post("/ma-securite/code")
@signed_in(fresh=True)
@keeps()
def begin_code() -> Response:
    """Draw a TOTP secret, and ask for the password and the first code."""
    staff, action = access.person().staff, url_for("my_security.add_code")
    return enrolment_views.code_page(staff, EnrolForm(), enrolment_views.start_code(staff), action)


@blueprint.post("/ma-securite/code/enregistrer")
@signed_in(fresh=True)
@keeps()
def add_code() -> Response:
    """Store a password with an authenticator application, and show its recovery codes once; other sessions end."""
    form, person = EnrolForm(), access.person()
    ceremony = enrolment_views.begun_code(person.staff, form)
    if ceremony is None:
        return _page(EnrolForm(), gettext("Cette page est restée ouverte trop longtemps. Recommencez."))
    proved = enrolment_views.check_code(person.staff, form, ceremony)
    if proved is None:
        return enrolment_views.code_page(person.staff, form, ceremony, url_for("my_security.add_code"))
    hashed = services().hasher.hash(form.password.data or "", "activation")
    with unit_of_work():
        staff = _locked()
        is_first = ceremonies.use(Purpose.TOTP, ceremony.challenge, staff.id) is not None
        if is_first:
            codes.store_totp(services().settings, staff, proved, hashed)
            drawn = codes.draw_recovery_codes(staff.id)
            others = StaffSession.staff_id == staff.id, StaffSession.id != person.session.id
            sessions.end(*others, by="code_changed")
            _note(staff, CredentialKind.TOTP, "added")
    if not is_first:
        return _page(EnrolForm(), gettext("Ce formulaire est parti deux fois : seul le premier envoi a compté."))
    return _codes_page(drawn)


@blueprint.post("/ma-securite/codes-de-secours")
@signed_in(fresh=True)
@keeps()
def draw_codes() -> Response:
    """Draw new recovery codes for the password, and show them once."""
    with unit_of_work():
        staff = _locked()
        if not _has(staff, CredentialKind.TOTP):
            return see_other(url_for("my_security.show"))
        drawn = codes.draw_recovery_codes(staff.id)
        _note(staff, CredentialKind.RECOVERY_CODE, "added")
    return _codes_page(drawn)


def _codes_page(drawn: list[str]) -> Response:
    return make_response(render_template("desk/sign_in/codes_de_secours.html", codes=drawn, is_new=False))


@blueprint.post("/ma-securite/sessions")
@signed_in(fresh=True)
@keeps()
def end_session() -> Response:
    """End one of the person's sessions."""
    person, ended = access.person(), 0
    with suppress(ValueError), unit_of_work():
        key = uuid.UUID(request.form.get("session", ""))
        own = StaffSession.staff_id == person.staff.id, StaffSession.id == key
        ended = sessions.end(*own, by="other" if key != person.session.id else "person")
    return see_other(url_for("my_security.show", fait="terminee" if ended else None))


def _locked() -> StaffAccount:
    """Return the person, whose row the caller's transaction has locked."""
    staff = invitations.get_for_change(access.person().staff.id)
    if staff is None:
        access.refuse()
    return staff


def _note(staff: StaffAccount, kind: CredentialKind, change: str) -> None:
    """Journal a change in the caller's transaction; what was added is told by mail too."""
    if change == "added":
        notices.tell_new_credential(staff, kind)
    log.record(StaffCredentialChanged(staff=str(staff.id), credential=kind.value, change=change))
