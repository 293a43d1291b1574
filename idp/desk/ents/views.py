"""`/ent` of the desk: the list, an ENT, its registration, its trial and its secret."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID, uuid4

from flask import Blueprint, Response, make_response, render_template, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from idp import opaque
from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.desk import access
from idp.desk.access import Right, needs
from idp.desk.ents import acceptance, proposals, summary
from idp.desk.ents.fields import REGISTRATION_FIELDS, Purpose, RegistrationForm, scope_names, sentence, untested
from idp.desk.fields import ChoiceField
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.staff import posts, sessions
from idp.registration import approvals, registrations, rows
from idp.registration.faults import Fault, FaultCode, RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from idp.registration.trial import checks
from idp.registration.trial.findings import Finding
from idp.services import services
from idp.throttle import guard, limits
from idp.web.i18n import in_words
from idp.web.redirects import render_page, see_other

blueprint = Blueprint("ents", __name__)


class SecretForm(DeskForm):
    """How the former secrets end."""

    way = ChoiceField(_l("Ancien secret"))


@blueprint.get("/ent")
@needs(Right.READ_ENTS)
def show() -> Response:
    """Show the ENTs in scope; a single one with all that its page has."""
    clients = db.session.scalars(select(Client).where(access.clients()).order_by(Client.name)).all()
    only = summary.detail(clients[0]) if len(clients) == 1 else None
    return render_page("desk/ents/ents.html", clients=clients, ent=only, state=summary.state, **_common())


def _common() -> dict[str, object]:
    sentences = {
        "accepte": gettext("L’ENT est accepté et ouvert. Ses exploitants reçoivent un mail."),
        "refuse": gettext("L’ENT est refusé. Ses exploitants reçoivent un mail."),
        "change": gettext("L’enregistrement est modifié."),
        "attend": gettext("Le changement attend l’accord de l’académie, qui reçoit un mail. Rien n’est changé encore."),
        "en-partie": gettext("Une partie est modifiée. Le reste attend l’accord de l’académie, qui reçoit un mail."),
        "remplace": gettext("Ce changement remplace celui qui attendait. L’académie reçoit un mail."),
        "retire": gettext("La demande est retirée. Elle n’attend plus l’accord de l’académie."),
        "change-retire": gettext("L’enregistrement est modifié, et la demande qui attendait est retirée."),
        "change-accepte": gettext("Le changement est accepté et en place. Son exploitant reçoit un mail."),
        "change-refuse": gettext("Le changement est refusé. Son exploitant reçoit un mail."),
        "identique": gettext("Rien n’a changé."),
        "charte": gettext("La charte est publiée. Chaque parent la lira à sa prochaine entrée."),
        "autre": gettext("Cette demande n’attend plus : voici l’ENT comme il est maintenant."),
        "tard": sentence(Fault("", "", code=FaultCode.NOT_WAITING)),
        "enregistre": gettext("L’ENT est enregistré."),
        "deja": gettext("L’ENT est enregistré. Si vous n’avez pas noté son secret, changez-le."),
    }
    return {
        "may_change": access.may(Right.MANAGE_ENTS),
        "is_engineer": access.may(Right.DECIDE_ENTS),
        "is_school": access.post().school is not None,
        "others": [post for post in access.person().posts if post.client and post.id != access.post().id],
        "done": sentences.get(request.args.get("fait", ""), ""),
    }


@blueprint.get("/ent/<uuid:key>")
@needs(Right.READ_ENTS)
def detail(key: UUID) -> Response:
    """Show an ENT in scope."""
    ent = summary.detail(access.client(key))
    return render_page("desk/ents/ent.html", ent=ent, **_common())


@blueprint.route("/ent/<uuid:key>/modifier", methods=["GET", "POST"])
@needs(Right.MANAGE_ENTS, fresh=True)
@keeps(*REGISTRATION_FIELDS)
def edit(key: UUID) -> Response:
    """Change the registration of an ENT in scope, within what the role may change."""
    client, form = access.client(key), RegistrationForm()
    is_engineer, former = access.may(Right.DECIDE_ENTS), rows.read(client)
    form.restrict(Purpose.WHOLE if is_engineer else Purpose.OWN)
    if request.method == "GET":
        if not form.is_refilled:
            waiting = None if is_engineer else proposals.Proposal.of(client)
            form.show(waiting.applied(former) if waiting else former)
        return _registration_page(form, client)
    try:
        done, secret = _change(client, form.changed(former), is_engineer=is_engineer)
    except RegistrationRefusedError as refused:
        form.explain(refused.faults)
        return _registration_page(form, client)
    if secret:
        return _shown_once(client, secret)
    return see_other(url_for("ents.detail", key=key, fait=done))


def _change(client: Client, metadata: ClientMetadata, *, is_engineer: bool) -> tuple[str, str | None]:
    settings = services().settings
    if not is_engineer:
        shown = request.form.get("waiting", "")
        return proposals.edit(settings, client, metadata, access.person().staff.id, shown), None
    if metadata == rows.read(client):
        return "identique", None
    return "change", approvals.change(settings, client, metadata)


def _registration_page(
    form: RegistrationForm,
    client: Client | None = None,
    *,
    drawn: str = "",
    waits: bool = False,
) -> Response:
    return render_page(
        "desk/ents/modifier.html",
        form=form,
        client=client,
        drawn=drawn,
        waits=waits,
        waiting=_waiting_key(client) if client else "",
        scope_names=scope_names(),
    )


def _waiting_key(client: Client) -> str:
    if request.method == "POST":
        return request.form.get("waiting", "")
    proposal = None if access.may(Right.DECIDE_ENTS) else proposals.Proposal.of(client)
    return proposal.key if proposal else ""


@blueprint.route("/ent/nouveau", methods=["GET", "POST"])
@needs(Right.MANAGE_ENTS, fresh=True)
@keeps(*REGISTRATION_FIELDS)
def register() -> Response:
    """Register an ENT; that of an ENT operator waits for the académie, and the person acts for it from now on.

    The id is drawn with the page, so that a form that is sent twice registers one ENT.
    """
    form, drawn, empty = RegistrationForm(), request.form.get("drawn", ""), ClientMetadata(name="")
    client_id = _client_id(drawn)
    waits = not access.may(Right.DECIDE_ENTS)
    form.restrict(Purpose.ASK if waits else Purpose.WHOLE)
    if request.method == "GET":
        if not form.is_refilled:
            form.show(empty)
        return _registration_page(form, drawn=_draw_client_id(), waits=waits)
    if not client_id:
        form.form_errors.append(gettext("Cette page n’était plus valable. Vérifiez, puis enregistrez de nouveau."))
        return _registration_page(form, drawn=_draw_client_id(), waits=waits)
    try:
        client, secret = _register(form.changed(empty), client_id, waits=waits)
    except RegistrationRefusedError as refused:
        form.explain(refused.faults)
        return _registration_page(form, drawn=drawn, waits=waits)
    except IntegrityError:  # the form was sent twice
        return _registered_before(client_id)
    return _shown_once(client, secret or "", is_new=True)


def _draw_client_id() -> str:
    """Return a random id, signed for this person: nobody chooses the id of an ENT (RFC 9700 2.6)."""
    return _signer().dumps([uuid4().hex[:20], str(access.person().staff.id)])


def _client_id(drawn: str) -> str:
    try:
        (client_id, staff_id), _ = _signer().loads(drawn)
    except opaque.InvalidValueError:
        return ""
    return str(client_id) if staff_id == str(access.person().staff.id) else ""


def _signer() -> opaque.Signer:
    return opaque.signer(services().settings.secrets, "client id")


def _register(metadata: ClientMetadata, client_id: str, *, waits: bool) -> tuple[Client, str | None]:
    settings, person = services().settings, access.person()
    if not waits:
        return registrations.register(settings, metadata, client_id=client_id)
    made = acceptance.ask(settings, metadata, person.staff.id, client_id=client_id)
    _act_for(made[0])
    return made


def _registered_before(client_id: str) -> Response:
    """Lead to the page of an ENT that the same form registered before; refuse that of somebody else.

    The first answer showed the secret, and a double click may have hidden that answer.
    """
    client = registrations.get(client_id)
    if not access.may(Right.DECIDE_ENTS) and not _act_for(client):
        access.refuse(str(client.id))
    done = "deja" if summary.has_secret(client) else "enregistre"
    return see_other(url_for("ents.detail", key=client.id, fait=done))


def _act_for(client: Client) -> bool:
    person = access.person()
    own = next((post for post in posts.of_staff(person.staff.id) if post.client and post.client.id == client.id), None)
    if own is not None:
        sessions.choose_post(person, own)
    return own is not None


@blueprint.route("/ent/<uuid:key>/secret", methods=["GET", "POST"])
@needs(Right.MANAGE_ENTS, fresh=True)
@keeps("way")
def secret(key: UUID) -> Response:
    """Give an ENT in scope a new secret, shown on the page that answers and nowhere else."""
    client, form = access.client(key), SecretForm()
    works_until = client.former_secret_until
    form.way.options = list(_ways(has_two=works_until is not None and works_until > now()).items())
    if request.method == "GET":
        form.way.data = form.way.data or form.way.options[0][0]
        return _secret_page(client, form)
    if not form.way.chosen:
        form.way.errors = [gettext("Choisissez ce que deviennent les anciens secrets.")]
        return _secret_page(client, form)
    way = form.way.chosen
    keep = registrations.FORMER_SECRET_KEPT * (way != "fuite")
    try:
        new = registrations.rotate_secret(client.client_id, keep=keep, lost=way == "perdu", force=way == "force")
    except RegistrationRefusedError as refused:
        form.form_errors.extend(sentence(fault) for fault in refused.faults)
        is_two = any(fault.code is FaultCode.FORMER_SECRET_WORKS for fault in refused.faults)
        form.way.options = list(_ways(has_two=is_two).items())
        return _secret_page(client, form)
    return _shown_once(access.client(key), new)


def _ways(*, has_two: bool) -> dict[str, str]:
    """Return what may become of the former secrets; while two work, a third one must say which it replaces."""
    leaked = {
        "fuite": gettext(
            "Le secret a fuité : les anciens s’arrêtent tout de suite. L’ENT est fermé jusqu’à ce qu’il ait le nouveau."
        )
    }
    if not has_two:
        former = in_words(registrations.FORMER_SECRET_KEPT)
        return {"normal": gettext("Le présent fonctionne encore %(time)s, le temps de changer.", time=former), **leaked}
    return {
        "perdu": gettext("Personne n’a noté le dernier secret : le nouveau le remplace, l’ancien garde sa fin."),
        "force": gettext("L’ENT utilise déjà le dernier secret : celui d’avant s’arrête maintenant."),
        **leaked,
    }


def _secret_page(client: Client, form: SecretForm) -> Response:
    return render_page(
        "desk/ents/secret.html",
        form=form,
        client=client,
        sentences=summary.secret_sentences(client),
        has_secret=summary.has_secret(client),
    )


def _shown_once(client: Client, secret: str, *, is_new: bool = False) -> Response:
    until = client.former_secret_until
    return render_page(
        "desk/ents/une_fois.html",
        client=client,
        secret=secret,
        until=until if until is not None and until > now() else None,
        is_new=is_new,
        issuer=services().settings.issuer,
    )


TRIAL_SECONDS = 20  # of a thread: an ENT may name hosts that never answer
"""After so many seconds a trial begins no further check; each request has its own deadline."""
MOST_AT_ONCE = 3  # the trials that run at once in a process: a small part of its threads
_lock = threading.Lock()
_running: set[UUID] = set()


class TooManyTrialsError(Exception):
    """No further trial may run now; the text says why, in French."""


@contextmanager
def _counted(person: UUID) -> Iterator[None]:
    with _lock:
        if person in _running or len(_running) >= MOST_AT_ONCE:
            raise TooManyTrialsError(
                gettext("Rien n’a été testé, car un autre test est en cours. Attendez une minute, puis recommencez.")
            )
        _running.add(person)
    try:
        if seconds := guard.take_or_wait((limits.ENT_TRIALS, str(person))):
            text = gettext("Vous avez atteint le maximum de tests : %(rates)s. Revenez dans %(wait)s.")
            raise TooManyTrialsError(text % {"rates": limits.ENT_TRIALS.rates, "wait": in_words(seconds)})
        yield
    finally:
        with _lock:
            _running.discard(person)


@blueprint.post("/ent/<uuid:key>/test")
@needs(Right.MANAGE_ENTS)
@keeps()
def trial(key: UUID) -> Response:
    """Try an ENT in scope: its registration, this service as the ENT sees it, and each of the ENT's URIs."""
    client = access.client(key)
    try:
        with _counted(access.person().staff.id):
            findings, is_cut = checks.findings_in_time(services().server, client, TRIAL_SECONDS)
    except TooManyTrialsError as refused:
        return make_response(_trial_page(key, str(refused)), 429)
    wrong = sum(not finding.ok for finding in findings)
    lead = gettext("Ce qui a été vérifié est bon.") if is_cut else gettext("Tout ce qui a été testé est bon.")
    lead = gettext("Points à corriger : %(n)s.", n=wrong) if wrong else lead
    return make_response(_trial_page(key, lead, findings, untested(rows.read(client)), is_cut=is_cut))


def _trial_page(
    key: UUID, lead: str, findings: Sequence[Finding] = (), untested: Sequence[str] = (), *, is_cut: bool = False
) -> str:
    return render_template(
        "desk/ents/test.html",
        client=access.client(key),
        findings=findings,
        lead=lead,
        untested=untested,
        is_cut=is_cut,
    )
