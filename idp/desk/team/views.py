"""`/equipe` of the desk."""

from collections.abc import Iterator
from datetime import date
from uuid import UUID

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import select

from idp.accounts import emails
from idp.accounts.models import School
from idp.clients.models import Client
from idp.clock import last_day, now
from idp.db import db, unit_of_work
from idp.desk import access, fields, home, kept_forms
from idp.desk.access import Right, Scope, needs
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.staff import posts, sessions
from idp.desk.staff.models import Role
from idp.desk.staff.posts import Grant, GrantError
from idp.desk.team import colleagues, invitations
from idp.desk.team.colleagues import Colleague, TeamError
from idp.mail.emails import fold_email
from idp.services import services
from idp.uai import is_uai, normalised_uai
from idp.web.forms import PlainField
from idp.web.i18n import in_words
from idp.web.redirects import render_page, see_other


class InvitationForm(DeskForm):
    """Who is invited, and for what; only the engineer chooses the school or the ENT."""

    person = PlainField(_l("Prénom et nom"), name="nom")
    email = PlainField(_l("Adresse mail"), name="mail", longest=400)
    role = fields.ChoiceField(_l("Rôle"), name="role")
    uai = PlainField(_l("Établissement"), name="uai", longest=20)
    client = fields.ChoiceField(_l("ENT"), name="ent")

    @property
    def chosen_role(self) -> Role | None:
        """The chosen role if the person may grant it."""
        return Role(self.role.chosen) if self.role.chosen else None

    def is_valid(self, own_mailbox: str, *, chooses_scope: bool) -> bool:
        """Return whether the person may be invited; write what is wrong beside each field."""
        name = self.person.data or ""
        if not name or len(name) > invitations.LONGEST_NAME or not name.isprintable():
            self.person.errors = [
                gettext("Écrivez le prénom et le nom, %(n)s caractères au plus.", n=invitations.LONGEST_NAME)
            ]
        email = emails.typed_in(self.email)
        if email and _without_tag(fold_email(email)) == _without_tag(own_mailbox):
            self.email.errors = [gettext("Personne ne se donne un accès à soi-même. Demandez à une autre personne.")]
        if self.chosen_role is None:
            self.role.errors = [gettext("Choisissez un rôle de la liste.")]
        elif chooses_scope:
            self._check_scope(self.chosen_role)
        return not self.errors

    def _check_scope(self, role: Role) -> None:
        scope = access.spec(role).scope
        if scope is access.Scope.SCHOOL and not is_uai(normalised_uai(self.uai.data or "")):
            self.uai.errors = [gettext("Écrivez le numéro de l’établissement (UAI) : sept chiffres et une lettre.")]
        if scope is access.Scope.ENT and not self.client.chosen:
            self.client.errors = [gettext("Choisissez l’ENT.")]


def _without_tag(mailbox: str) -> str:
    """Return the mailbox that receives what is sent to « sylvie+autre@… », for most providers."""
    local, _, domain = mailbox.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


blueprint = Blueprint("team", __name__)
_MOST_ROWS = 100
_MOST_RENEWED = 40


@blueprint.get("/equipe")
@needs(Right.MANAGE_TEAM)
def show() -> Response:
    """Show the colleagues in scope."""
    return _list()


def _list(error: str = "") -> Response:
    words, lifetime = fields.searched("q"), in_words(invitations.LIFETIME)
    rows = colleagues.find(most=_MOST_ROWS + 1, typed=words)
    sentences = {
        "invite": gettext("L’invitation part par mail."),
        "termine": gettext("L’accès est terminé. Si la personne était connectée, elle ne l’est plus."),
        "renouvele": gettext("Les accès sont renouvelés."),
        "acces": gettext("Un lien part par mail. Il vaut %(time)s et sert une fois.", time=lifetime),
        "renvoye": gettext("L’invitation part à nouveau par mail."),
    }
    ending = [row for row in rows if row.is_in_force and row.ends_with_the_year and not _is_own(row)]
    return render_page(
        "desk/team/equipe.html",
        rows=rows[:_MOST_ROWS],
        is_cut=len(rows) > _MOST_ROWS,
        typed=words,
        searches=access.may(Right.MANAGE_ALL_TEAMS),
        ending=ending[:_MOST_RENEWED],
        may_renew=any(row.is_renewable for row in ending),
        own_end=_own_end(rows),
        is_own=_is_own,
        new_end=_new_end(),
        done=sentences.get(request.args.get("fait", ""), ""),
        error=error,
    )


@home.source(Right.MANAGE_TEAM)
def ending_roles() -> Iterator[home.Tile]:
    """Yield the tile of the roles that end on 31 August, once they may be renewed."""
    rows = colleagues.find(most=_MOST_ROWS)
    count = sum(row.is_renewable and row.ends_with_the_year and not _is_own(row) for row in rows)
    sentence = gettext("Ces accès finissent le 31 août : renouvelez ceux des personnes qui restent.")
    yield home.Tile(count, gettext("Accès à renouveler"), sentence, url_for("team.show"))


def _is_own(row: Colleague) -> bool:
    return row.staff.id == access.person().staff.id


def _own_end(rows: list[Colleague]) -> str:
    own = access.post()
    if not any(row.role.id == own.id and row.is_in_force and row.ends_with_the_year for row in rows):
        return ""
    return str(
        gettext(
            "Votre accès finit aussi le 31 août, et vous ne le renouvelez pas vous-même : demandez-le à une autre "
            "personne qui a le même rôle ici, ou à l’académie."
        )
    )


def _new_end() -> date:
    return last_day(posts.end_of_year(now()))


@blueprint.route("/equipe/inviter", methods=["GET", "POST"])
@needs(Right.MANAGE_TEAM, fresh=True)
@keeps("nom", "mail", "role", "uai", "ent")
def invite() -> Response:
    """Invite a person to a role that the inviter may grant, in the inviter's scope."""
    form, chooses = InvitationForm(), access.may(Right.MANAGE_ALL_TEAMS)
    granted = [role for role in Role if role in access.own_spec().grants]
    form.role.options = [(role.value, access.spec(role).label) for role in granted]
    if chooses:
        clients = db.session.scalars(select(Client).where(access.clients()).order_by(Client.name))
        form.client.options = [("", gettext("Aucun")), *((str(client.id), client.name) for client in clients)]
    if request.method == "GET":
        if not form.is_refilled:
            form.role.data, form.client.data = request.args.get("role", granted[0].value), request.args.get("ent", "")
        return _invitation_page(form, chooses=chooses)
    if form.chosen_role is None and form.role.data:
        known = form.role.data in {role.value for role in Role}
        access.note_refusal("team.invite", form.role.data if known else "")
    if not form.is_valid(access.person().staff.mailbox, chooses_scope=chooses):
        return _invitation_page(form, chooses=chooses)
    grant = _grant(form, chooses=chooses)
    if grant is None:
        form.uai.errors = [gettext("Aucun établissement n’a ce numéro ici.")]
        return _invitation_page(form, chooses=chooses)
    try:
        with unit_of_work():
            settings, email, name = services().settings, form.email.data or "", form.person.data or ""
            invitations.grant_and_invite(settings, email, name, grant, may_repeat=False)
    except invitations.AlreadyGrantedError:
        form.form_errors.append(gettext("Cette personne a déjà cet accès. Aucun mail n’est parti."))
        return _invitation_page(form, chooses=chooses)
    except GrantError:
        form.form_errors.append(gettext("Cette personne ne peut pas être invitée ainsi. Rien n’a été envoyé."))
        return _invitation_page(form, chooses=chooses)
    return see_other(url_for("team.show", fait="invite"))


def _grant(form: InvitationForm, *, chooses: bool) -> Grant | None:
    """Return what is granted: the scope is the inviter's own, except for the engineer; None without its school."""
    role, own = form.chosen_role, access.post()
    if role is None:
        return None
    if not chooses:
        return Grant(role, [own.school] if own.school else (), [own.client] if own.client else ())
    scope = access.spec(role).scope
    if scope is Scope.SCHOOL:
        uai = normalised_uai(form.uai.data or "")
        school = db.session.scalar(select(School).where(School.uai == uai, access.schools()))
        return Grant(role, [school]) if school else None
    if scope is Scope.ENT:
        return Grant(role, clients=[access.client(UUID(form.client.chosen))])
    return Grant(role)


def _invitation_page(form: InvitationForm, *, chooses: bool) -> Response:
    return render_page("desk/team/inviter.html", form=form, chooses=chooses, new_end=_new_end())


@blueprint.route("/equipe/<uuid:key>/terminer", methods=["GET", "POST"])
@needs(Right.MANAGE_TEAM, fresh=True)
@keeps()
def end(key: UUID) -> Response:
    """End a role in scope, after a page that names the person."""
    row = _colleague(key)
    if request.method == "GET":
        return _end_page(row)
    is_own = _is_own(row)
    try:
        colleagues.end(row.role.id, may_end_last=access.may(Right.MANAGE_ALL_TEAMS))
    except TeamError as error:
        return _list(str(error))
    if is_own and sessions.current() is None:
        response = see_other(url_for("sign_in.sign_in", fait="termine"))
        sessions.clear_cookie(response)
        return response
    return see_other(url_for("team.show", fait="termine"))


def _end_page(row: Colleague) -> Response:
    if _is_own(row):
        sentences = [
            gettext("C’est votre propre accès. Il s’arrête tout de suite, et cette page se ferme."),
            gettext("Vous ne pourrez pas le reprendre : une autre personne devra vous inviter."),
            gettext("Ce que vous avez fait reste au journal."),
        ]
        return _confirmation(row, gettext("Terminer mon accès"), sentences, gettext("Terminer"), stops=True)
    sentences = [
        gettext("L’accès s’arrête tout de suite, même si la personne est connectée."),
        gettext("Ce qu’elle a fait reste au journal. Vous pourrez l’inviter à nouveau."),
    ]
    return _confirmation(row, gettext("Terminer l’accès"), sentences, gettext("Terminer"), stops=True)


@blueprint.route("/equipe/<uuid:key>/acces", methods=["GET", "POST"])
@needs(Right.MANAGE_TEAM, fresh=True)
@keeps()
def give_back(key: UUID) -> Response:
    """Send a link to a colleague who lost the access, after a page that names the person."""
    row = _colleague(key)
    try:
        if request.method == "GET":
            colleagues.check_give_back(row)
            return _link_page(row)
        colleagues.give_back(services().settings, row)
    except TeamError as error:
        return _list(str(error))
    return see_other(url_for("team.show", fait="renvoye" if row.state == "invited" else "acces"))


def _link_page(row: Colleague) -> Response:
    lifetime = in_words(invitations.LIFETIME)
    if row.state == "invited":
        sentences = [  # the same for a mailbox with and without an account elsewhere
            gettext("Un mail part à nouveau. Ce bureau ne dit pas si cette adresse y sert déjà ailleurs."),
            gettext(
                "Si la personne n’a jamais utilisé le bureau : le mail porte un lien, qui vaut %(time)s et sert une "
                "fois. Un lien envoyé avant ne marche plus.",
                time=lifetime,
            ),
            gettext(
                "Si elle l’utilise déjà ailleurs : le mail lui dit de se connecter comme d’habitude, sans lien "
                "d’inscription. Ses clés et ses codes restent. Si elle les a perdus, l’académie lui rend son accès."
            ),
        ]
        return _confirmation(row, gettext("Renvoyer l’invitation"), sentences, gettext("Envoyer"))
    sentences = [
        gettext("Assurez-vous d’abord que c’est bien cette personne qui vous le demande."),
        gettext("Un lien part à son adresse mail. Il vaut %(time)s et sert une fois.", time=lifetime),
        gettext("Quand elle l’utilise, ses clés d’accès, son mot de passe et ses codes d’avant s’arrêtent."),
    ]
    return _confirmation(row, gettext("Rendre un accès"), sentences, gettext("Envoyer le lien"))


def _colleague(key: UUID) -> Colleague:
    row = colleagues.get(key)
    if row is None:
        access.refuse(str(key))
    return row


def _confirmation(row: Colleague, title: str, sentences: list[str], button: str, *, stops: bool = False) -> Response:
    return render_page(
        "desk/team/confirmer.html", row=row, heading=title, sentences=sentences, button=button, stops=stops
    )


@blueprint.route("/equipe/renouveler", methods=["GET", "POST"])
@needs(Right.MANAGE_TEAM, fresh=True)
@keeps("acces")
def renew() -> Response:
    """Name the colleagues whose roles would last longer, then renew these roles."""
    kept = kept_forms.current()
    typed = request.form if request.method == "POST" else kept.fields if kept else request.args
    keys = [key for text in typed.getlist("acces")[:_MOST_RENEWED] if (key := fields.key(text))]
    if request.method == "POST":
        colleagues.renew(keys)
        return see_other(url_for("team.show", fait="renouvele"))
    rows = [row for key in keys if (row := colleagues.get(key))]
    rows = [row for row in rows if row.is_renewable and not _is_own(row)]
    if not rows:
        return _list(gettext("Cochez au moins un accès à renouveler."))
    return render_page("desk/team/renouveler.html", rows=rows, new_end=_new_end())
