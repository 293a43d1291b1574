"""The forms of the desk's sign-in, and the choice of a password and an authenticator application."""

import uuid
from contextlib import suppress

import segno
from flask import Response, make_response, render_template
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from markupsafe import Markup

from idp.accounts.passwords.breached import BreachedPasswords
from idp.config import Settings
from idp.db import unit_of_work
from idp.desk.kept_forms import DeskForm
from idp.desk.staff import ceremonies, codes
from idp.desk.staff.ceremonies import Purpose
from idp.desk.staff.codes import ProvedTotp
from idp.desk.staff.models import StaffAccount, StaffCeremony
from idp.passkeys.forms import AnswerField
from idp.web.forms import Form, PlainField, SecretField


class CodeForm(Form):
    """The fallback: mail address, password and code together."""

    email = PlainField(_l("Adresse mail"))
    password = SecretField(_l("Mot de passe"))
    code = PlainField(_l("Code"), longest=40)


class ProofForm(Form):
    """The fallback of a person who is signed in: password and code."""

    password = SecretField(_l("Mot de passe"))
    code = PlainField(_l("Code"), longest=40)


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


def start(settings: Settings, staff: StaffAccount) -> StaffCeremony:
    """Draw a TOTP secret, which waits for its first code."""
    with unit_of_work():
        return ceremonies.start(Purpose.TOTP, staff.id, secret=codes.seal_totp(settings, staff.id, codes.new_totp()))


def begun(staff: StaffAccount, form: EnrolForm) -> StaffCeremony | None:
    """Return the ceremony that a form completes, or None if it is over."""
    with suppress(ValueError):
        return ceremonies.waiting(Purpose.TOTP, uuid.UUID(form.ceremony.data or ""), staff.id)
    return None


def page(settings: Settings, staff: StaffAccount, form: EnrolForm, ceremony: StaffCeremony, action: str) -> Response:
    """Return the page with the QR code and a link for the same telephone; `action` is the URL of its form."""
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


def check(
    settings: Settings, staff: StaffAccount, form: EnrolForm, ceremony: StaffCeremony, breached: BreachedPasswords
) -> ProvedTotp | None:
    """Return the secret that the typed code proves, or None after errors were put beside the fields."""
    if faults := codes.password_faults(settings, staff, form.password.data or "", breached):
        form.password.errors = [str(fault.message) for fault in faults]
    secret = codes.open_totp(settings, staff.id, ceremony.secret or b"")
    step = codes.step_of(secret, form.code.data or "") if secret else None
    if secret is None or step is None:
        form.code.errors = [gettext("Ce n’est pas le code que l’application montre en ce moment.")]
        return None
    return None if form.errors else ProvedTotp(secret, step)
