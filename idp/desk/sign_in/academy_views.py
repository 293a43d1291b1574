"""`/connexion/academie…`: the académie's OpenID provider as another way to sign in, to enrol and to prove oneself.

A page stands between the desk and the provider in both directions. The form may not redirect to another site
(`form-action` of the policy), and the browser sends the session cookie, which is `SameSite=Strict`, only with requests
that begin on a page of the desk.
"""

from http import HTTPStatus

import structlog
from flask import Blueprint, Response, abort, make_response, request
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.access import public
from idp.desk.sign_in import academy, credentials, views
from idp.desk.sign_in.academy import AcademyError, Begun, Identity, Intent
from idp.desk.sign_in.credentials import entered
from idp.desk.staff import sessions
from idp.desk.staff.models import Authenticator, StaffAccount
from idp.desk.team import invitations
from idp.services import services
from idp.throttle import guard
from idp.web import redirects
from idp.web.redirects import render_page, see_other

blueprint = Blueprint("academy", __name__)
log = structlog.get_logger()


@blueprint.post("/connexion/academie")
@public
def begin() -> Response:
    """Begin a ceremony, and lead to the provider."""
    settings, begun = _configured(), _begun()
    views.count_try(views.tries_from_here())
    url = academy.start(settings, services().outgoing, begun)
    return render_page("desk/sign_in/academie_aller.html", url=url)


def _configured() -> Settings:
    settings = services().settings
    if not settings.desk_oidc_issuer:
        abort(404)
    return settings


def _begun() -> Begun:
    if token := request.form.get("invitation", ""):
        invitations.person_of(token)
        return Begun(Intent.ENROL, invitation=token)
    person = sessions.current()
    if request.form.get("preuve") and person:
        return Begun(Intent.PROVE, redirects.next_path(), session=person.session.id)
    return Begun(Intent.SIGN_IN, redirects.next_path())


@blueprint.get("/connexion/academie/retour")
@public
def back() -> Response:
    """Complete the ceremony with the provider's response."""
    settings = _configured()
    if request.method == "HEAD":
        return make_response("")  # a request that may change nothing
    # a parameter that is given twice is no parameter (RFC 6749 3.1)
    answer = {name: values[0] for name, values in request.args.lists() if len(values) == 1}
    begun, identity = academy.complete(settings, services().outgoing, answer)
    proofs = [views.proofs_of(begun.session)] if begun.session else []
    if proofs:  # a ceremony that nobody ends is no try
        views.count_try(*proofs)
    act = {Intent.SIGN_IN: _sign_in, Intent.ENROL: _enrol, Intent.PROVE: _prove}[begun.intent]
    try:
        with unit_of_work():
            response = act(begun, identity)
    except IntegrityError:  # another request linked the person first
        return _shown("taken")
    if response.status_code == HTTPStatus.OK:
        guard.settle_success(views.tries_from_here(), *proofs)
    return response


def _person_of(identity: Identity) -> StaffAccount | None:
    return db.session.scalar(
        select(StaffAccount).where(StaffAccount.issuer == identity.issuer, StaffAccount.subject == identity.subject)
    )


def _sign_in(begun: Begun, identity: Identity) -> Response:
    staff = _person_of(identity)
    if staff is None or staff.enrolled_at is None:
        views.note_refusal("academy")
        return _shown("unknown")
    proved_at = academy.proved_at(identity, now())
    opened = views.open_for(staff.id, Authenticator.ACADEMY, proved_at=proved_at)
    if isinstance(opened, views.Refused):
        return _shown("ended")
    response = _back_at_the_desk(begun)
    views.set_cookies(response, opened)
    return response


def _enrol(begun: Begun, identity: Identity) -> Response:
    invited, taken = invitations.person_of(begun.invitation), _person_of(identity)
    if taken is not None and taken.id != invited.id:
        views.note_refusal("academy")
        return _shown("taken")
    owner = credentials.redeem(begun.invitation, invited.id)
    owner.issuer, owner.subject = identity.issuer, identity.subject
    db.session.flush()
    return entered(owner, Authenticator.ACADEMY)


def _prove(begun: Begun, identity: Identity) -> Response:
    person = sessions.resume(begun.session) if begun.session else None
    if person is None:
        return see_other("/connexion")
    if (person.staff.issuer, person.staff.subject) != (identity.issuer, identity.subject):
        views.note_failed_proof(person, "academy")
        return _shown("other")
    proved = sessions.prove(person, Authenticator.ACADEMY)
    if proved is sessions.Missed.SESSION_ENDED:
        return see_other("/connexion")
    response = _back_at_the_desk(begun)
    sessions.replace_cookie(response, proved)
    return response


def _back_at_the_desk(begun: Begun) -> Response:
    return render_page("desk/sign_in/academie_retour.html", url=begun.next_page)


@blueprint.errorhandler(AcademyError)
def show_refusal(error: AcademyError) -> Response:
    """Say why the académie's provider does not open the desk."""
    log.warning("academy sign-in refused", fault=error.fault.name.lower(), reason=error.reason)
    with unit_of_work():
        views.note_refusal("academy")
    return _shown(error.fault.name.lower())


def _shown(fault: str) -> Response:
    sentence, advice = _sentences()[fault]
    return render_page("desk/sign_in/academie_refus.html", HTTPStatus.FORBIDDEN, sentence=sentence, advice=advice)


def _sentences() -> dict[str, tuple[str, str]]:
    again = gettext("Recommencez, sans revenir en arrière, ou utilisez votre clé d’accès ou un code.")
    later = gettext("Attendez une minute puis recommencez, ou utilisez votre clé d’accès ou un code.")
    ask_academy = gettext("Si cela se répète, prévenez l’assistance de l’académie.")
    ask_head = gettext("Demandez un lien d’invitation au chef d’établissement ou à l’académie : il relie votre compte.")
    return {
        "late": (
            gettext("Cette connexion a déjà servi, a trop attendu ou vient d’un autre navigateur."),
            again,
        ),
        "refused": (gettext("L’académie n’a pas confirmé votre connexion."), again),
        "unreachable": (gettext("Le service de connexion de l’académie ne répond pas."), later),
        "invalid": (gettext("La réponse du service de l’académie n’est pas valable."), ask_academy),
        "weak": (
            gettext("L’académie n’a pas vérifié deux moyens de connexion, et le bureau les demande."),
            gettext("Recommencez avec le second moyen (application, clé ou OTP), ou utilisez votre clé d’accès."),
        ),
        "old": (gettext("L’académie n’a pas redemandé qui vous êtes."), again),
        "unknown": (gettext("Ce compte de l’académie n’est relié à aucune personne du bureau."), ask_head),
        "taken": (gettext("Ce compte de l’académie est déjà relié à une autre personne du bureau."), ask_academy),
        "other": (gettext("Ce compte de l’académie n’est pas celui de la personne connectée ici."), again),
        "ended": (
            gettext("Votre accès au bureau est terminé."),
            gettext("Le chef d’établissement, ou l’académie, peut le rouvrir."),
        ),
    }
