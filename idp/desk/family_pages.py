"""What the pages about a family share: the journal's entry of an opened account or pupil, and the words of refusals."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, select

from idp.accounts.closings import Closing
from idp.accounts.models import Account
from idp.audit import log
from idp.audit.desk_events import PupilRead
from idp.audit.events import AccountRead
from idp.audit.kinds import Event
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk import access
from idp.families import closing, telephone
from idp.families.refusals import Code, RefusedError
from idp.throttle import limits
from idp.web.i18n import in_words

VISIT = timedelta(minutes=30)  # how long the pages about one account or pupil are one visit


def open_account(key: uuid.UUID) -> Account:
    """Return an account in scope, and journal that the person opened it, by a GET or a POST; refuse it otherwise."""
    account = access.account(key)
    note_account(account.id)
    return account


def open_decision(account_key: uuid.UUID, key: uuid.UUID) -> Closing:
    """Return a closing in scope, and journal that the person opened its account; refuse it otherwise."""
    row = access.decision(account_key, key)
    note_account(row.account_id)
    return row


def note_account(account_id: uuid.UUID) -> None:
    """Journal that the person read an account, for the school of the post if it has one."""
    school = access.post().school
    event = AccountRead(account_id=account_id, school=school.uai if school else "")
    _note_once(event, AuditEntry.account_id == account_id)


def note_pupil(child_id: uuid.UUID) -> None:
    """Journal that the person read the page of a pupil."""
    _note_once(PupilRead(child=str(child_id)), AuditEntry.details["child"].as_string() == str(child_id))


@unit_of_work()
def _note_once(event: Event, about: ColumnElement[bool]) -> None:
    """Journal a reading, once for a visit: one person, one post, one reason, and `VISIT` since the entry."""
    known = access.person()
    since, school = now() - VISIT, access.post().school
    if (given := known.session.reason_at) is not None:
        since = max(since, given)
    noted = select(AuditEntry.id).where(
        AuditEntry.staff_id == known.staff.id,
        AuditEntry.at > since,
        AuditEntry.kind == event.kind,
        AuditEntry.school_id == (school.id if school else None),
        about,
    )
    if db.session.scalar(noted.limit(1)) is None:
        log.record(event)


SENTENCES: Mapping[Code, Any] = {
    Code.GONE: _l("Ce compte n’existe plus. Rien n’a été fait."),
    Code.CHANGED: _l("Ce n’est plus possible : le compte a changé entre-temps. Rien n’a été fait."),
    Code.SETTLED: _l("Un collègue vient de régler ce signalement. Votre réponse n’a rien changé."),
    Code.QUESTION_CHANGED: _l(
        "D’autres élèves sont concernés depuis que la page est ouverte : relisez-la, puis répondez."
    ),
    Code.CLOSED_BY_DISPUTE: _l("Un signalement ferme ce compte : réglez-le d’abord. Débloquer ne l’ouvrirait pas."),
    Code.MERGED: _l("Ce compte a été réuni avec un autre : suspendez l’autre. Rien n’a été fait."),
    Code.MAILBOX_OF_OTHER: _l(
        "L’adresse mail de cette personne sert maintenant à un autre compte : le lien reste fermé."
    ),
    Code.MERGED_TOO: _l("Ce compte a lui-même été réuni avec un autre. Rien n’a été fait."),
    Code.NO_SUCH_TIE: _l("Cet élève n’est plus lié à ce compte. Rien n’a été fait."),
    Code.CLOSED_LONGER: _l("Cet accès est déjà suspendu, pour plus longtemps. Seule la direction peut le rouvrir."),
    Code.CLOSED_LATELY: _l(
        "L’assistance a déjà suspendu ce compte il y a moins de %(rest)s. C’est à l’établissement de décider de la "
        "suite.",
        rest=in_words(closing.REST_OF_ACADEMY),
    ),
    Code.TOO_MANY_CLOSINGS: _l(
        "Vous avez atteint le maximum de comptes suspendus : %(rates)s. L’établissement peut suspendre lui-même.",
        rates=limits.ACADEMY_CLOSING.rates,
    ),
    Code.NO_SUCH_CLOSING: _l("Ce compte n’existe plus. Rien n’a été fait."),
    Code.CLOSING_OVER: _l("Cette suspension était déjà finie : un collègue l’a peut-être levée. Rien n’a été fait."),
    Code.END_IN_THE_PAST: _l("Ce jour est passé. Choisissez aujourd’hui ou un jour à venir."),
    Code.END_TOO_FAR: _l("Ce jour est trop loin. Choisissez « Sans date de fin »."),
    Code.TIE_OPEN: _l("Le lien n’est pas écarté, ou l’élève est parti : un collègue a peut-être répondu avant vous."),
    Code.CALLED_LATELY: _l(
        "L’établissement a déjà répondu à un appel sur ce lien il y a moins de %(rest)s : seule la direction peut en "
        "noter un autre. Rien n’a été fait.",
        rest=in_words(telephone.REST),
    ),
    Code.NEW_LETTER: _l("Un nouveau courrier est imprimé : il règle cette contestation quand la personne l’utilise."),
    Code.NO_FORMER_EMAIL: _l(
        "Plusieurs anciennes adresses se contredisent : aucune ne peut être remise. Imprimez un courrier."
    ),
    Code.KEPT_MAILBOX_OF_OTHER: _l(
        "Cette adresse sert maintenant à un autre compte. Imprimez un courrier pour cette personne."
    ),
    Code.SAME_NAMES: _l("Le compte porte déjà ce nom. Écrivez le nom du fichier."),
    Code.NO_SCHOOL: _l("Aucun établissement n’a plus d’enfant de cette personne."),
    Code.ERASE_OTHER: _l("Ce compte a été réuni avec un autre : effacez l’autre compte."),
    Code.MERGED_ACCOUNTS_CHANGED: _l("Les comptes de cette personne viennent de changer. Recommencez."),
    Code.IN_DISPUTE: _l(
        "Un lien avec un élève, ou l’adresse mail, est contesté. L’établissement règle d’abord la contestation."
    ),
    Code.EXCLUDED: _l(
        "L’établissement a décidé que la personne n’est pas responsable d’un élève, mais son fichier le dit encore. "
        "Il corrige d’abord le fichier et l’importe, sinon le lien reviendrait."
    ),
    Code.CLOSED_WITHOUT_CHILD: _l(
        "Le compte est suspendu et n’a plus d’élève : rien ne pourrait être conservé de la suspension. Attendez sa "
        "fin, ou demandez qu’il soit rouvert."
    ),
    Code.PROMISED_NOTICE: _l(
        "Un signalement que l’établissement a promis de lire n’est pas réglé. Il le règle d’abord, au bureau."
    ),
}


def refusal(refused: RefusedError) -> str:
    """Return why an act was refused."""
    closings = access.own_spec().closings
    if refused.code is Code.TOO_MANY_CLOSINGS and closings and closings.refusal:
        return str(closings.refusal)
    return str(SENTENCES[refused.code])
