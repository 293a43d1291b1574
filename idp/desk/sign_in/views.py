"""`/connexion`, `/preuve` and `/deconnexion` of the desk."""

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from idp.db import unit_of_work
from idp.desk import access, kept_forms
from idp.desk.access import public, signed_in
from idp.desk.sign_in import service
from idp.desk.staff import passkeys, sessions
from idp.desk.staff.ceremonies import Purpose
from idp.desk.staff.models import StaffAccount, StaffSession
from idp.desk.staff.sessions import Missed
from idp.passkeys.ceremony import PasskeyForm, as_json
from idp.services import services
from idp.sessions import devices
from idp.web import redirects
from idp.web.forms import Form, PlainField, SecretField
from idp.web.redirects import see_other
from idp.web.request_context import remote_ip


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
    settings, form = services().settings, CodeForm()
    if answer := PasskeyForm().answer:
        outcome = service.by_passkey(settings, answer, remote_ip())
        return _answer(outcome, form, _unknown_key(_by_code()))
    if _has_empty_field(form):
        return _page(form)
    email, password, code = form.email.data or "", form.password.data or "", form.code.data or ""
    outcome = service.by_code(settings, services().hasher, email, password, code, ip=remote_ip())
    return _answer(outcome, form, gettext("Cette adresse, ce mot de passe et ce code n’ouvrent pas le bureau."))


def _answer(outcome: service.Opened | service.Refused, form: CodeForm, sentence: str) -> Response:
    if isinstance(outcome, service.Refused):
        over = gettext("Votre accès au bureau est terminé. Le chef d’établissement peut le rouvrir.")
        return _page(form, over if outcome.has_no_role else sentence)
    response = see_other(redirects.next_path())
    set_cookies(response, outcome)
    return response


def set_cookies(response: Response, opened: service.Opened) -> None:
    """Set the cookie of a new session, and make this browser known to its person."""
    sessions.set_cookie(response, opened.cookie)
    devices.remember(response, str(opened.staff.id), of_desk=True)


def _page(form: CodeForm, error: str = "") -> Response:
    settings = services().settings
    return make_response(
        render_template(
            "desk/sign_in/connexion.html",
            form=form,
            error=error,
            ended=request.args.get("fait") == "termine",
            has_academy=bool(settings.desk_oidc_issuer),
            other=_by_code(),
            suite=redirects.next_path(),
            kept_until=kept_forms.kept_until(redirects.next_path()),
        )
    )


def _has_empty_field(form: CodeForm | ProofForm) -> bool:
    """Return whether a field is empty, and put an error beside it."""
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
    service.count_try(service.challenges_from_here(remote_ip()))
    return as_json(passkeys.authentication_options(services().settings, Purpose.SIGN_IN))


@blueprint.route("/preuve", methods=["GET", "POST"])
@signed_in()
def prove() -> Response:
    """Ask again who the person is; on a POST, verify it and lead on."""
    person, form = access.person(), ProofForm()
    if request.method == "GET":
        return see_other(redirects.next_path()) if access.has_fresh_proof(person) else _proof_page(form)
    settings = services().settings
    if answer := PasskeyForm().answer:
        error = _unknown_key(_other_way(person.staff))
        proved = service.prove_by_passkey(settings, person, answer)
    elif _has_empty_field(form):
        return _proof_page(form)
    else:
        error = gettext("Ce mot de passe et ce code ne vont pas.")
        password, code = form.password.data or "", form.code.data or ""
        proved = service.prove_by_code(settings, services().hasher, person, password, code)
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
    return make_response(
        render_template(
            "desk/sign_in/preuve.html",
            form=form,
            error=error,
            has_passkey=passkeys.has_any(staff.id) or not other,
            has_academy=_has_academy(staff),
            has_code=staff.password_hash is not None,
            other=other,
            suite=redirects.next_path(),
            back=access.page_without_proof(redirects.next_path()),
            kept_until=kept_forms.kept_until(redirects.next_path()),
        )
    )


def _has_academy(staff: StaffAccount) -> bool:
    issuer = services().settings.desk_oidc_issuer
    return bool(issuer) and staff.issuer == issuer


def _other_way(staff: StaffAccount) -> str:
    """Return the sentence that names another way than a passkey, or an empty one if the person has none."""
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
    return as_json(passkeys.authentication_options(services().settings, Purpose.PROVE, access.person().staff.id))


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
