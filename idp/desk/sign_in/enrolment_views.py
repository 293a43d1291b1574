"""`/invitation/…`: a person enrols a passkey, or a password with an authenticator application."""

import uuid
from http import HTTPStatus

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext

from idp.audit import log
from idp.audit.desk_events import StaffEnrolled
from idp.clock import now
from idp.db import unit_of_work
from idp.desk.access import public
from idp.desk.sign_in import credential_forms, service
from idp.desk.sign_in.credential_forms import EnrolForm
from idp.desk.sign_in.views import set_cookies
from idp.desk.staff import ceremonies, codes, passkeys, posts, sessions
from idp.desk.staff.ceremonies import Purpose
from idp.desk.staff.models import Authenticator, StaffAccount, StaffCeremony
from idp.desk.team import invitations
from idp.passkeys.ceremony import PasskeyError
from idp.passkeys.forms import as_json
from idp.services import services
from idp.throttle import guard, limits
from idp.web.errors import TooManyRequestsError


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
    sessions.end_all(owner.id, by="reset")
    return owner


def finish(owner: StaffAccount, authenticator: Authenticator) -> list[str]:
    """Note the enrolment in the caller's transaction; return the recovery codes of a password, to be shown once."""
    owner.enrolled_at = owner.enrolled_at or now()
    log.record(StaffEnrolled(staff=str(owner.id), authenticator=authenticator.value))
    return codes.draw_recovery_codes(owner.id) if authenticator is Authenticator.CODE else []


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
    staff, settings = known[1], services().settings
    return credential_forms.page(settings, staff, EnrolForm(), credential_forms.start(settings, staff), _action(token))


def _action(token: str) -> str:
    return url_for("enrolment.enrol", token=token)


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
    ceremony = credential_forms.begun(staff, form)
    if ceremony is None:
        return _page(staff, form, gettext("Cette page est restée ouverte trop longtemps. Recommencez."))
    settings, subject = services().settings, f"enrol {staff.id}"
    if seconds := guard.take_or_wait((limits.DESK_SIGN_IN_ACCOUNT, subject)):
        raise TooManyRequestsError(seconds)
    proved = credential_forms.check(settings, staff, form, ceremony, services().breached)
    if proved is None:
        return credential_forms.page(settings, staff, form, ceremony, _action(token))
    hashed = services().hasher.hash(form.password.data or "", "activation")
    try:
        with unit_of_work():
            owner = redeem(token, staff.id)
            _complete(ceremony, owner)
            codes.store_totp(settings, owner, proved, hashed)
            response = entered(owner, Authenticator.CODE)
    except UsedError:
        return gone()
    guard.clear(limits.DESK_SIGN_IN_ACCOUNT, subject)
    return response


def _complete(ceremony: StaffCeremony, owner: StaffAccount) -> None:
    """Use the ceremony in the caller's transaction."""
    if ceremonies.use(Purpose.TOTP, ceremony.challenge, owner.id) is None:
        raise UsedError


def entered(owner: StaffAccount, authenticator: Authenticator) -> Response:
    """Finish an enrolment in the caller's transaction: open a session, and show the recovery codes, once.

    A person with a passkey alone is led to a second one.
    """
    drawn = finish(owner, authenticator)
    opened = service.open_for(owner.id, authenticator)
    page, is_alone = "codes_de_secours" if drawn else "pret", authenticator is Authenticator.PASSKEY
    response = make_response(
        render_template(f"desk/sign_in/{page}.html", codes=drawn, is_new=True, has_one_key=is_alone)
    )
    if isinstance(opened, service.Opened):
        set_cookies(response, opened)
    return response
