"""`/comptes/<account>` and `/familles/<pupil>`: an account, a pupil, and the acts that help a guardian."""

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext, lazy_gettext as _l
from sqlalchemy import func, select

from idp.accounts import emails
from idp.accounts.emails import NothingToConfirm, Sent, TooSoon
from idp.accounts.models import Account, Child, Guardianship
from idp.audit.catalogue import KINDS, without_twins
from idp.audit.kinds import CALL, CHILD, chosen
from idp.audit.models import AuditEntry
from idp.clients import registry
from idp.db import db
from idp.desk import access, family_pages, ties
from idp.desk.access import Right, needs
from idp.desk.decisions import closings
from idp.desk.families import subjects
from idp.desk.families.subjects import Action, DatedLine, GuardianView, Subject, TieView
from idp.desk.fields import ReasonField
from idp.desk.kept_forms import DeskForm, keeps
from idp.desk.naming import account_urls
from idp.desk.staff import models
from idp.families import acts
from idp.families.refusals import RefusedError
from idp.families.standing import Standing
from idp.mail.emails import masked
from idp.operations import reasons
from idp.passkeys import keys
from idp.services import services
from idp.web import i18n
from idp.web.redirects import render_page, see_other


class RemovalForm(DeskForm):
    """Why the passkeys are removed."""

    reason = ReasonField(
        _l("Motif"), longest=reasons.LONGEST, missing=_l("Écrivez le motif en quelques mots. Il reste au journal.")
    )


blueprint = Blueprint("accounts", __name__)


@blueprint.get("/comptes/<uuid:account>")
@needs(Right.READ_FAMILIES)
def show(account: uuid.UUID) -> Response:
    """Show an account: its state, children, letter, masked mail address, last events, notices and actions."""
    done = {
        "renvoye": gettext(
            "Le message est parti. Le parent ouvre sa boîte, regarde aussi les messages indésirables, et prend le "
            "dernier message : il tape son code ou touche son lien. Ceux d’avant ne marchent plus."
        ),
        "debloque": gettext("Aucun essai faux ne compte plus : le parent peut essayer tout de suite."),
        "cles": gettext("Plus aucune clé d’accès n’ouvre ce compte, et tous ses appareils sont déconnectés."),
        "rouvert": gettext("C’est rouvert : cette suspension est finie."),
        "retabli": gettext("C’est rétabli : le lien avec l’élève n’est plus écarté."),
        "finie": gettext("Cette suspension est finie. L’accès reste fermé pour une autre raison, dite ci-dessous."),
    }
    row = access.account_to_read(account)
    family_pages.note_account(row.id)
    return _page(row, done=done.get(request.args.get("fait", ""), ""))


def _page(account: Account, *, done: str = "", error: str = "") -> Response:
    held = closings.of_accounts([account.id])
    guardian = subjects.views([account], held)[account.id]
    is_replaced = guardian.subject.standing is Standing.REPLACED
    children = subjects.children(account, held[account.id], with_former=is_replaced)
    return render_page(
        "desk/families/compte.html",
        done=done,
        error=error,
        guardian=guardian,
        children=children,
        ents=entrances(children),
        facts=_facts(guardian),
        events=events(account),
        notices=subjects.notices(account),
        successors=_successors(account.id) if is_replaced else [],
    )


def _successors(account_id: uuid.UUID) -> list[tuple[str, str]]:
    keys = ties.successors([account_id], access.notices()).get(account_id, ())
    known = {row.id: row for row in db.session.scalars(select(Account).where(Account.id.in_(filter(None, keys))))}
    urls, gone = account_urls(known), str(gettext("une personne dont le compte est supprimé"))
    return [(known[key].display_name, urls.get(key, "")) if key in known else (gone, "") for key in keys]


_EVENTS = 10
# The events that a colleague needs; neither the device nor the ENT is shown.
_KINDS = frozenset(name for name, kind in KINDS.items() if kind.family)


def entrances(shown: Iterable[TieView]) -> list[registry.Registration]:
    """Return the ENTs that lead to the sign-in: those of the pupils' schools with an address to type."""
    return [ent for ent in registry.all_serving({tie.child.school.uai for tie in shown if tie.is_open}) if ent.home_uri]


def events(account: Account) -> list[DatedLine]:
    """Return the last events of an account that a colleague needs, newest first, each once.

    An event about a tie is for those who may read the pupil, as the decision is (`decisions.of_accounts`).
    """
    here = (
        select(Child.id)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .where(Guardianship.account_id == account.id, access.children())
    )
    readable = ["", *map(str, db.session.scalars(here))]
    child = func.coalesce(AuditEntry.details["child"].as_string(), "")
    statement = (
        select(AuditEntry)
        .where(AuditEntry.account_id == account.id, AuditEntry.kind.in_(_KINDS), child.in_(readable))
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(2 * _EVENTS)
    )
    lines = []
    for entry in without_twins(db.session.scalars(statement)):
        about = CHILD if entry.details.get("child") else CALL if entry.details.get("by_telephone") else ""
        text = chosen(KINDS[entry.kind].family, about, "", entry.result, entry.details.get("change", ""))
        lines += [DatedLine(entry.at, text)] if text else []
    return lines[:_EVENTS]


def _facts(guardian: GuardianView) -> list[tuple[Any, Any]]:
    account = guardian.account
    rows: list[tuple[Any, Any]] = [(_l("Identifiant"), account.username)]
    if account.activated_at is None:
        until = guardian.letter_until
        none = _l("préparé, fichier effacé") if guardian.is_uncollected else _l("aucun valable")
        rows.append((_l("Courrier"), _l("valable jusqu’au %(day)s", day=i18n.day(until)) if until else none))
    town = f"{account.postcode} {account.city}".strip()
    rows.append((_l("Adresse postale"), ", ".join(filter(None, [*account.address_lines, town])) or _l("aucune")))
    rows.append((_l("Adresse mail"), masked(account.email) or _l("aucune")))
    if account.pending_email:
        rows.append((_l("À confirmer"), masked(account.pending_email)))
    last = account.last_sign_in_at
    rows.append((_l("Mot de passe choisi"), _chosen_password(account)))
    rows.append((_l("Dernière connexion"), _l("le %(day)s", day=i18n.day(last)) if last else _l("jamais")))
    return rows


def _chosen_password(account: Account) -> Any:
    """Return when the letter was used for a password, also if a new letter has closed it since."""
    if account.activated_at is not None:
        return _l("le %(day)s", day=i18n.day(account.activated_at))
    if account.first_activated_at is not None:
        day = i18n.day(account.first_activated_at)
        return _l("le %(day)s pour la première fois ; fermé depuis par un nouveau courrier", day=day)
    return _l("jamais")


@blueprint.post("/comptes/<uuid:account>/renvoyer")
@needs(Right.HELP_FAMILIES)
@keeps()
def resend(account: uuid.UUID) -> Response:
    """Send the confirmation link again; at a school, the mail says that the school reminds the person.

    The rate limit for one IP counts the acts of one person of the desk: a school has one IP for all its staff.
    """
    row = family_pages.open_account(account)
    by, is_school = models.actor(access.person().staff.id), access.post().school is not None
    match emails.resend(services().settings, row.id, ip=by, client_id=None, reminds=is_school):
        case Sent():
            return see_other(url_for("accounts.show", account=row.id, fait="renvoye"))
        case TooSoon() as wait:
            return _page(row, error=_too_soon(wait))
        case NothingToConfirm():
            return _page(row, error=gettext("Aucun message à renvoyer : aucune adresse mail n’attend de confirmation."))


def _too_soon(wait: TooSoon) -> Any:
    if not wait.capped:
        return gettext(
            "Un message vient de partir. Laissez-lui le temps d’arriver, puis réessayez dans %(wait)s.",
            wait=i18n.in_words(wait.seconds),
        )
    return gettext(
        "Beaucoup de messages sont déjà partis. Le prochain sera possible dans %(wait)s. Faites vérifier l’adresse "
        "mail et les messages indésirables.",
        wait=i18n.in_words(wait.seconds),
    )


@blueprint.post("/comptes/<uuid:account>/debloquer")
@needs(Right.HELP_FAMILIES)
@keeps()
def unlock(account: uuid.UUID) -> Response:
    """Reset the wrong tries of an account."""
    row = family_pages.open_account(account)
    try:
        acts.unlock(row.id)
    except RefusedError as refused:
        return _page(row, error=family_pages.refusal(refused))
    return see_other(url_for("accounts.show", account=row.id, fait="debloque"))


def _closing_url(subject: Subject) -> str:
    """Return the URL of « Suspendre l’accès », where all decisions are, also if a colleague has just reopened one."""
    return url_for("decisions.close", account=subject.account.id)


def _reopenings(subject: Subject) -> Iterator[str]:
    return (item.reopening_url for item in subject.decisions if item.may_reopen and not item.is_tie)


subjects.register(
    Action(
        key="settle",
        right=Right.READ_NOTICES,
        label=_l("Voir les signalements"),
        url=lambda _subject: url_for("decisions.to_decide"),
        is_offered=lambda subject: subject.open_notices > 0,
        rank=10,
    )
)
subjects.register(
    Action(
        key="resend",
        right=Right.HELP_FAMILIES,
        label=_l("Renvoyer le message"),
        url=lambda subject: url_for("accounts.resend", account=subject.account.id),
        is_offered=lambda subject: (
            subject.is_open and subject.account.pending_email is not None and not subject.account.has_blocked_password
        ),
        is_post=True,
        rank=20,
    )
)
subjects.register(
    Action(
        key="unlock",
        right=Right.HELP_FAMILIES,
        label=_l("Débloquer"),
        url=lambda subject: url_for("accounts.unlock", account=subject.account.id),
        is_offered=lambda subject: subject.is_open and subject.has_tries,
        is_post=True,
        rank=30,
    )
)
subjects.register(
    Action(
        key="close",
        right=Right.CLOSE,
        label=_l("Suspendre"),
        url=_closing_url,
        is_offered=lambda subject: subject.standing is not Standing.MERGED,
        rank=80,
    )
)
subjects.register(
    Action(
        key="reopen",
        right=Right.REOPEN,
        label=_l("Rouvrir tout le compte"),
        url=lambda subject: next(_reopenings(subject), _closing_url(subject)),
        is_offered=lambda subject: any(_reopenings(subject)),
        rank=70,
    )
)
subjects.register(
    Action(
        key="passkeys",
        right=Right.HELP_FAMILIES,
        label=_l("Retirer les clés d’accès"),
        url=lambda subject: url_for("accounts.passkeys", account=subject.account.id),
        is_offered=lambda subject: subject.has_passkeys,
        rank=35,
    )
)


@blueprint.get("/comptes/<uuid:account>/cles")
@needs(Right.HELP_FAMILIES, fresh=True)
def passkeys(account: uuid.UUID) -> Response:
    """Show what the removal does; an account without a passkey has its own page."""
    row = family_pages.open_account(account)
    if not keys.count(row.id):
        return see_other(url_for("accounts.show", account=row.id))
    return _passkeys_page(row, RemovalForm())


@blueprint.post("/comptes/<uuid:account>/cles")
@needs(Right.HELP_FAMILIES, fresh=True)
@keeps("reason")
def remove_passkeys(account: uuid.UUID) -> Response:
    """Remove all passkeys of an account, and end its sessions; a second click finds it done."""
    row, form = access.account(account), RemovalForm()
    if not form.reason.is_given():
        return _passkeys_page(row, form)
    try:
        acts.remove_passkeys(row.id, form.reason.text)
    except RefusedError:
        return see_other(url_for("accounts.show", account=row.id))
    return see_other(url_for("accounts.show", account=row.id, fait="cles"))


def _passkeys_page(account: Account, form: RemovalForm) -> Response:
    mail = (
        gettext("La personne sera prévenue par mail : %(emails)s.", emails=masked(account.email))
        if account.email
        else gettext("Aucun mail ne part : le compte n’a pas d’adresse confirmée.")
    )
    back = url_for("accounts.show", account=account.id)
    return render_page("desk/families/cles.html", account=account, form=form, mail=mail, back=back)


@blueprint.get("/familles/<uuid:pupil>")
@needs(Right.READ_FAMILIES)
def family(pupil: uuid.UUID) -> Response:
    """Show a pupil with the guardians side by side: the state of each, what to say, the next step."""
    child = access.child(pupil)
    family_pages.note_pupil(child.id)
    guardians = subjects.guardians(child)
    ended = gettext("Cette suspension est finie. Rien ne s’ouvre tant que le fichier ne nomme pas cette personne.")
    return render_page(
        "desk/families/famille.html",
        child=child,
        guardians=guardians,
        former=subjects.former_guardians(child),
        ents=entrances(tie for _, tie in guardians),
        done=ended if request.args.get("fait") == "finie" else "",
    )
