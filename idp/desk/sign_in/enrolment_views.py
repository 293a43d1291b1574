"""`/invitation/…`: a person enrols a passkey, or a password with an authenticator application.

The choice of such a password is also a part of `/ma-securite`.
"""

import uuid
from contextlib import suppress
from http import HTTPStatus

import segno
from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from markupsafe import Markup

from idp.audit import log
from idp.audit.desk_events import StaffEnrolled
from idp.clock import now
from idp.db import unit_of_work
from idp.desk.access import public
from idp.desk.kept_forms import DeskForm
from idp.desk.sign_in import service
from idp.desk.sign_in.views import set_cookies
from idp.desk.staff import ceremonies, codes, passkeys, posts, sessions
from idp.desk.staff.ceremonies import Purpose
from idp.desk.staff.codes import ProvedTotp
from idp.desk.staff.models import Authenticator, StaffAccount, StaffCeremony, StaffSession
from idp.desk.team import invitations
from idp.passkeys.ceremony import AnswerField, PasskeyError, as_json
from idp.services import services
from idp.throttle import guard, limits
from idp.web.forms import PlainField, SecretField


class EnrolForm(DeskForm):
    """The enrolment of a password with a code, and the name of a passkey."""

    passkey = AnswerField()
    passkey_name = PlainField(_l("Nom de la clé"), longest=60)
    password = SecretField(_l("Mot de passe"))
    ceremony = PlainField(longest=40)
    code = PlainField(_l("Code"), longest=12)


def _as_svg(text: str) -> Markup:
    """Return the QR code of a text as an inline SVG, black on white whatever the theme."""
    code = segno.make(text, error="m", micro=False)
    return Markup(code.svg_inline(scale=4, border=4, dark="#000", light="#fff", omitsize=True))  # noqa: S704 - drawn by segno


def start_code(staff: StaffAccount) -> StaffCeremony:
    """Draw a TOTP secret, which waits for its first code."""
    sealed = codes.seal_totp(services().settings, staff.id, codes.new_totp())
    with unit_of_work():
        return ceremonies.start(Purpose.TOTP, staff.id, secret=sealed)


def begun_code(staff: StaffAccount, form: EnrolForm) -> StaffCeremony | None:
    """Return the ceremony that a form completes, or None if it is over."""
    with suppress(ValueError):
        return ceremonies.waiting(Purpose.TOTP, uuid.UUID(form.ceremony.data or ""), staff.id)
    return None


def code_page(staff: StaffAccount, form: EnrolForm, ceremony: StaffCeremony, action: str) -> Response:
    """Return the page with the QR code and a link for the same telephone; `action` is the URL of its form."""
    settings = services().settings
    secret = codes.open_totp(settings, staff.id, ceremony.secret or b"") or ""
    uri = codes.totp_uri(settings, staff, secret)
    return make_response(
        render_template(
            "desk/sign_in/code.html",
            form=form,
            action=action,
            ceremony=ceremony.id,
            secret=codes.in_groups(secret),
            uri=uri,
            picture=_as_svg(uri),
            min_length=codes.min_length(settings),
        )
    )


def check_code(staff: StaffAccount, form: EnrolForm, ceremony: StaffCeremony) -> ProvedTotp | None:
    """Return the secret that the typed code proves, or None after errors were put beside the fields."""
    settings = services().settings
    if faults := codes.password_faults(settings, staff, form.password.data or "", services().breached):
        form.password.errors = [str(fault.message) for fault in faults]
    secret = codes.open_totp(settings, staff.id, ceremony.secret or b"")
    step = codes.step_of(secret, form.code.data or "") if secret else None
    if secret is None or step is None:
        form.code.errors = [gettext("Ce n’est pas le code que l’application montre en ce moment.")]
        return None
    return None if form.errors else ProvedTotp(secret, step)


class UsedError(Exception):
    """Another request used the invitation first, or it does not work any more."""


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


blueprint = Blueprint("enrolment", __name__)


@blueprint.route("/invitation/<token>", methods=["GET", "POST"])
@public
def enrol(token: str) -> Response:
    """Show how to enrol; on a POST, enrol, open a session and show the recovery codes once."""
    known = invitations.look_up(token)
    if known is None:
        return gone()
    staff = known[1]
    form = EnrolForm()
    if request.method == "GET":
        return _page(staff, form)
    if form.passkey.data:
        return _enrol_passkey(token, staff, form)
    return _enrol_code(token, staff, form)


@blueprint.post("/invitation/<token>/defi")
@public
def challenge(token: str) -> Response:
    """Begin the registration of a passkey: return the options for the browser."""
    known = invitations.look_up(token)
    if known is None:
        return gone()
    return as_json(passkeys.registration_options(services().settings, known[1], Purpose.ENROL))


@blueprint.post("/invitation/<token>/code")
@public
def begin_code(token: str) -> Response:
    """Draw a TOTP secret, and ask for the password and the first code."""
    known = invitations.look_up(token)
    if known is None:
        return gone()
    return code_page(known[1], EnrolForm(), start_code(known[1]), url_for("enrolment.enrol", token=token))


def _page(staff: StaffAccount, form: EnrolForm, error: str = "") -> Response:
    return make_response(
        render_template(
            "desk/sign_in/invitation.html",
            staff=staff,
            posts=posts.of_staff(staff.id),
            form=form,
            error=error,
            has_academy=bool(services().settings.desk_oidc_issuer),
        )
    )


def gone() -> Response:
    """Return the page of an invitation that does not work any more."""
    return make_response(render_template("desk/sign_in/invitation_finie.html"), HTTPStatus.GONE)


def _enrol_passkey(token: str, staff: StaffAccount, form: EnrolForm) -> Response:
    try:
        with unit_of_work():
            owner = redeem(token, staff.id)
            passkeys.register(
                services().settings, owner, Purpose.ENROL, form.passkey.data or "", form.passkey_name.data or ""
            )
            return entered(owner, Authenticator.PASSKEY)
    except PasskeyError:
        return _page(staff, form, gettext("La clé d’accès n’a pas été enregistrée. Réessayez."))
    except UsedError:
        return gone()


def _enrol_code(token: str, staff: StaffAccount, form: EnrolForm) -> Response:
    ceremony = begun_code(staff, form)
    if ceremony is None:
        return _page(staff, form, gettext("Cette page est restée ouverte trop longtemps. Recommencez."))
    subject = f"enrol {staff.id}"
    service.count_try((limits.DESK_SIGN_IN_ACCOUNT, subject))
    proved = check_code(staff, form, ceremony)
    if proved is None:
        return code_page(staff, form, ceremony, url_for("enrolment.enrol", token=token))
    hashed = services().hasher.hash(form.password.data or "", "activation")
    try:
        with unit_of_work():
            owner = redeem(token, staff.id)
            if ceremonies.use(Purpose.TOTP, ceremony.challenge, owner.id) is None:
                raise UsedError  # noqa: TRY301 - undoes the transaction
            codes.store_totp(services().settings, owner, proved, hashed)
            response = entered(owner, Authenticator.CODE)
    except UsedError:
        return gone()
    guard.clear(limits.DESK_SIGN_IN_ACCOUNT, subject)
    return response


def entered(owner: StaffAccount, authenticator: Authenticator) -> Response:
    """Finish an enrolment in the caller's transaction: open a session, and show the recovery codes, once.

    A person with a passkey alone is led to a second one.
    """
    owner.enrolled_at = owner.enrolled_at or now()
    log.record(StaffEnrolled(staff=str(owner.id), authenticator=authenticator.value))
    drawn = codes.draw_recovery_codes(owner.id) if authenticator is Authenticator.CODE else []
    opened = service.open_for(owner.id, authenticator)
    page, is_alone = "codes_de_secours" if drawn else "pret", authenticator is Authenticator.PASSKEY
    response = make_response(
        render_template(f"desk/sign_in/{page}.html", codes=drawn, is_new=True, has_one_key=is_alone)
    )
    if isinstance(opened, service.Opened):
        set_cookies(response, opened)
    return response
