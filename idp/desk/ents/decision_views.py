"""`/ent/…/accord` and `/ent/…/changement` of the desk: the engineer decides what an ENT operator asked for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID

from flask import Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import func, select

from idp.clients.models import Client
from idp.db import db
from idp.desk import access, fields, home
from idp.desk.access import Right, needs
from idp.desk.ents import acceptance, proposals, summary
from idp.desk.ents.fields import Purpose, RegistrationForm, scope_names, sentence
from idp.desk.ents.views import blueprint
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.staff.models import StaffAccount
from idp.operations import reasons
from idp.registration import approvals, rows
from idp.registration.faults import Fault, FaultCode, RegistrationRefusedError
from idp.services import services
from idp.web.forms import PlainField
from idp.web.redirects import button_on, render_page, see_other


class RefusalForm(DeskForm):
    """Why an ENT is refused."""

    reason = PlainField(_l("Motif du refus"), longest=reasons.LONGEST)

    def sentence(self) -> str:
        """Return the reason; if it is none, write what is wrong, and return an empty text."""
        reason = fields.one_line(self.reason.data)
        if fields.is_sentence(reason):
            return reason
        self.reason.errors = [gettext("Écrivez le motif en quelques mots : l’exploitant le lira.")]
        return ""


@home.source(Right.DECIDE_ENTS)
def waiting() -> Iterator[home.Tile]:
    """Yield the tiles of the ENTs and of the changes that wait for the engineer."""
    count = db.session.scalar(select(func.count()).select_from(Client).where(Client.waiting_since.is_not(None)))
    sentence = gettext("Leur exploitant les a enregistrés. Personne n’y entre avant votre accord.")
    yield home.Tile(count or 0, gettext("ENT à accepter"), sentence, url_for("ents.show"))
    changing = sum(map(approvals.has_proposal, db.session.scalars(select(Client))))
    sentence = gettext("Leur exploitant les demande. Rien ne change avant votre accord.")
    yield home.Tile(changing, gettext("Changements d’ENT à accepter"), sentence, url_for("ents.show"))


@blueprint.route("/ent/<uuid:key>/accord", methods=["GET", "POST"])
@needs(Right.DECIDE_ENTS, fresh=True)
@keeps("uais", *acceptance.DECIDED)
def accept(key: UUID) -> Response:
    """Decide which schools a waiting ENT serves and what it gets, and open it."""
    client, form = access.client(key), RegistrationForm()
    form.restrict(Purpose.ACCEPT)
    former = rows.read(client)
    if request.method == "GET":
        if not form.is_refilled:
            form.show(replace(former, uais=client.asked_uais))
        return _waiting_page(client, form=form)
    try:
        _check_version(client)
        acceptance.accept(services().settings, client, form.changed(former))
    except RegistrationRefusedError as refused:
        form.explain(refused.faults)
        return _waiting_page(client, form=form)
    return see_other(url_for("ents.detail", key=key, fait="accepte"))


@blueprint.get("/ent/<uuid:key>/changement")
@needs(Right.DECIDE_ENTS, fresh=True)
def read_change(key: UUID) -> Response:
    """Show the engineer a change that waits."""
    return _change_page(access.client(key), RefusalForm())


@blueprint.post("/ent/<uuid:key>/changement")
@needs(Right.DECIDE_ENTS, fresh=True)
@keeps()
def accept_change(key: UUID) -> Response:
    """Make a change that waits."""
    client, refusal = access.client(key), RefusalForm()
    try:
        _check_version(client)
        proposals.accept(services().settings, client)
    except RegistrationRefusedError as refused:
        refusal.form_errors.extend(map(sentence, refused.faults))
        return _change_page(client, refusal)
    return see_other(url_for("ents.detail", key=key, fait="change-accepte"))


@blueprint.post("/ent/<uuid:key>/accord/refus")
@needs(Right.DECIDE_ENTS, fresh=True)
@keeps("reason")
def refuse(key: UUID) -> Response:
    """Refuse a waiting ENT, with a reason that its operators read."""
    return _refuse(access.client(key), acceptance.refuse, _waiting_page, "refuse")


@blueprint.post("/ent/<uuid:key>/changement/refus")
@needs(Right.DECIDE_ENTS, fresh=True)
@keeps("reason")
def refuse_change(key: UUID) -> Response:
    """Refuse a change that waits, with a reason that its operator reads."""
    return _refuse(access.client(key), proposals.refuse, _change_page, "change-refuse")


def _refuse(
    client: Client,
    act: Callable[[Client, str], None],
    page: Callable[[Client, RefusalForm], Response],
    done: str,
) -> Response:
    refusal = RefusalForm()
    reason = refusal.sentence()
    if not reason:
        return page(client, refusal)
    try:
        _check_version(client)
        act(client, reason)
    except RegistrationRefusedError as refused:
        refusal.form_errors.extend(map(sentence, refused.faults))
        return page(client, refusal)
    return see_other(url_for("ents.detail", key=client.id, fait=done))


@blueprint.post("/ent/<uuid:key>/changement/retrait")
@button_on("ents.detail")
@needs(Right.MANAGE_ENTS)
@keeps()
def withdraw_change(key: UUID) -> Response:
    """Drop a change that waits, as an operator of the ENT; the engineer refuses it, with a reason."""
    client = access.client(key)
    if access.may(Right.DECIDE_ENTS):
        access.refuse(str(key))
    try:
        proposals.withdraw(client, request.form.get("waiting", ""), access.person().staff.id)
    except RegistrationRefusedError:
        return see_other(url_for("ents.detail", key=key, fait="autre"))
    return see_other(url_for("ents.detail", key=key, fait="retire"))


def _check_version(client: Client) -> None:
    """Check that the ENT is as the page showed it: its operator may have changed it since."""
    if request.form.get("version") != str(client.version):
        raise RegistrationRefusedError(Fault("", "was changed since", code=FaultCode.CHANGED_MEANWHILE))


def _waiting_page(client: Client, refusal: RefusalForm | None = None, form: RegistrationForm | None = None) -> Response:
    if client.waiting_since is None:
        return see_other(url_for("ents.detail", key=client.id, fait="tard"))
    if form is None:
        form = RegistrationForm()
        form.restrict(Purpose.ACCEPT)
        form.show(replace(rows.read(client), uais=client.asked_uais))
    ids = [role.staff_id for role in acceptance.operators(client)]
    operators = db.session.scalars(select(StaffAccount).where(StaffAccount.id.in_(ids)).order_by(StaffAccount.name))
    return render_page(
        "desk/ents/accord.html",
        client=client,
        ent=summary.detail(client),
        operators=operators.all(),
        form=form,
        refusal=refusal or RefusalForm(),
        left="" if acceptance.acts_for(client.asked_by, client) else sentence(Fault("", "", code=FaultCode.ASKER_LEFT)),
        scope_names=scope_names(),
    )


def _change_page(client: Client, refusal: RefusalForm) -> Response:
    waiting = summary.proposed_change(client)
    if waiting is None:
        return see_other(url_for("ents.detail", key=client.id, fait="tard"))
    return render_page("desk/ents/changement.html", client=client, proposed=waiting, refusal=refusal)
