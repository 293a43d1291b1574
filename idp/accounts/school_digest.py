"""The mail that tells a school of its new notices: at most one a day; each open notice is in at least one mail.

A contested email about which a secretary decided is in the next mail too, with the decision.

A periodic job of the worker enqueues the mails of the day, in one transaction for each school: one UPDATE claims the
day, and the message is put in the outbox. The outbox handler takes all open notices that no mail has named yet, also
those that were written after the message. The message keeps the day on which its SMTP dialogue began. If the worker is
killed during the dialogue, it is unknown whether the mail was delivered, and the mail is sent again on the next day.
"""

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import or_, select, tuple_, update

from idp.accounts import school_notices
from idp.accounts.models import Account, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import day_of, now, start_of_day
from idp.config import Settings
from idp.db import db, retry_unit_of_work, unit_of_work
from idp.mail.compose import compose
from idp.mail.emails import InvalidEmailError, check_recipient
from idp.mail.smtp import deliver
from idp.outbox import queue
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import DEAD, Outcome, PermanentDeliveryError, TemporaryDeliveryError, UncertainDeliveryError

DIGESTS = "school.digests"
"""The periodic job that enqueues the mails of the day, and its period."""
DIGESTS_PERIOD = timedelta(minutes=10)
DIGEST = "school.digest"
"""The kind of outbox message for one school's mail. Its payload holds the school's id, and the value of `digested_at`
that marks the notices of this mail."""

_MOST_NAMED = 100  # the most notices that one mail names; the mail gives the number of the others

# The mail's sentence for a notice, by its kind.
_SENTENCES = {
    Kind.NOT_GUARDIAN: _(
        "Une personne qui a le courrier de %(who)s a répondu « Je ne suis pas le représentant légal ». "
        "Ce compte est fermé."
    ),
    Kind.EMAIL_CONTESTED: _("Un changement de l’adresse mail de %(who)s est contesté."),
    Kind.EMAIL_CHANGE_STOPPED: _(
        "Un changement de l’adresse mail de %(who)s a été arrêté. Quelqu’un connaissait son mot de passe."
    ),
    Kind.LETTER_DOUBT: _(
        "%(other)s a ajouté le courrier de %(who)s à son compte, ou a voulu l’ajouter. Est-ce la même personne ?"
    ),
    Kind.LETTER_GUESSED: _("Quelqu’un essaie de deviner le mot de passe du courrier de %(who)s."),
    Kind.SHARED_MAILBOX: _("%(other)s et %(who)s ont donné la même adresse mail."),
    Kind.OTHER_MAILBOX: _(
        "Le compte de %(who)s est activé, mais la personne qui lit l’adresse mail de votre fichier dit que "
        "ce n’est pas elle."
    ),
    Kind.PERSON_REPLACED: _("Votre fichier donne maintenant le nom ou le numéro de %(who)s à une autre personne."),
    Kind.NAME_IN_DOUBT: _(
        "Votre fichier donne maintenant un autre nom à la personne qui a le compte de %(who)s. "
        "Est-ce la même personne ? En attendant, rien n’est changé."
    ),
    Kind.RECTIFICATION: _(
        "Le délégué à la protection des données vous demande de corriger les données de %(who)s. "
        "Sa demande est dans les signalements du bureau."
    ),
    Kind.GUARDIAN_WAITS: _(
        "Votre fichier donne un nouveau responsable à un élève : %(who)s. La direction doit le vérifier. En attendant, "
        "cette personne n’a pas accès à l’élève."
    ),
    Kind.GUARDIAN_ADDED: _(
        "Votre fichier donne un autre responsable à un élève dont un responsable utilise son compte : %(who)s. La "
        "direction doit le vérifier."
    ),
    Kind.ACCOUNT_CLOSED: _("L’accès de %(who)s est suspendu. La direction doit le vérifier."),
    Kind.CLOSING_PASSED_ON: _("L’accès de %(who)s est suspendu. Votre direction peut maintenant le rouvrir."),
}
# The mail's sentence for a dispute that a colleague noted after a call.
_CALLED = _(
    "Au téléphone, quelqu’un a dit au nom de %(who)s : « Ce n’est pas mon enfant ». Ce compte est fermé en attendant "
    "votre réponse."
)
_DECIDED = _("Un secrétariat a décidé de l’adresse mail contestée de %(who)s. La direction doit le savoir. %(note)s")
# The words for the second person of a notice, if that person's account was removed meanwhile.
_GONE = _("Une personne dont le compte est supprimé")


def start_of_digests(settings: Settings, moment: datetime) -> datetime:
    """Return the time from which mails of the day of `moment` may be sent; day and hour are those of Paris."""
    return start_of_day(day_of(moment)).replace(hour=settings.school_digest_hour)


def ask(_message: OutboxMessage, settings: Settings) -> Outcome:
    """Enqueue the mails of the day (outbox handler of the periodic job)."""
    moment = now()
    if moment < start_of_digests(settings, moment):
        return Outcome.DROPPED
    retry_unit_of_work(_release_given_up)
    midnight = start_of_day(day_of(moment))
    waiting = {payload["school"] for payload in _payloads(OutboxMessage.finished_at.is_(None))}
    asked = 0
    for school_id in db.session.scalars(select(School.id).where(*_is_due(midnight)).order_by(School.uai)).all():
        if school_id.hex not in waiting:
            asked += retry_unit_of_work(partial(_claim, school_id, midnight))
    return Outcome.DONE if asked else Outcome.DROPPED


def hand_over(message: OutboxMessage, settings: Settings) -> Outcome:
    """Send the mail of one school (outbox handler).

    Raises:
        TemporaryDeliveryError: it is too early, or today's SMTP dialogue was interrupted.
    """
    moment = now()
    opening, today = start_of_digests(settings, moment), day_of(moment).isoformat()
    if moment < opening:
        raise TemporaryDeliveryError("before the hour of the digests", retry_after=opening - moment)
    if message.payload.get("begun") == today:
        tomorrow = start_of_digests(settings, moment + timedelta(days=1))
        raise TemporaryDeliveryError(
            "the mail may have been sent today; it is sent again tomorrow", retry_after=tomorrow - moment
        )
    taken = _take(message, today)
    if taken is None:
        return Outcome.DROPPED
    email, context = taken
    try:
        recipient = check_recipient(email)
    except InvalidEmailError as fault:
        raise PermanentDeliveryError("the school's mail address is not valid") from fault
    context["contact"] = settings.contact_mail
    try:
        mail = compose(
            "signalements", recipient=recipient, context=context, message_id=f"{message.id}", settings=settings
        )
        deliver(mail, recipient)
    except UncertainDeliveryError:
        raise
    except (TemporaryDeliveryError, PermanentDeliveryError):
        with unit_of_work():
            _begin(message, None)  # the mail was not sent: it may be sent today
        raise
    return Outcome.DONE


def _is_due(midnight: datetime) -> Iterator[Any]:
    """Yield the conditions of a school with a mail address, no mail today, and a notice to tell that no mail named."""
    yield School.email.is_not(None)
    yield or_(School.digest_sent_at.is_(None), School.digest_sent_at < midnight)
    yield select(SchoolNotice.id).where(SchoolNotice.school_id == School.id, *_NEWS).exists()


_TOLD = or_(SchoolNotice.settled_at.is_(None), school_notices.DECIDED)
_NEWS = (_TOLD, SchoolNotice.digested_at.is_(None))


def _claim(school_id: uuid.UUID, midnight: datetime) -> bool:
    """Claim the day and enqueue the school's mail, in the caller's transaction; return False if another worker did."""
    moment = now()
    claimed = db.session.scalar(
        update(School)
        .where(School.id == school_id, *_is_due(midnight))
        .values(digest_sent_at=moment)
        .returning(School.id)
        .execution_options(synchronize_session=False)
    )
    if claimed is None:
        return False
    queue.enqueue(DIGEST, {"school": school_id.hex, "at": moment.isoformat()})
    return True


def _release_given_up() -> None:
    """Unmark the notices of mails that failed permanently, in the caller's transaction: the next mail names them."""
    marks = [(uuid.UUID(payload["school"]), _mark_of(payload)) for payload in _payloads(OutboxMessage.outcome == DEAD)]
    if marks:
        of_dead = tuple_(SchoolNotice.school_id, SchoolNotice.digested_at).in_(marks)
        db.session.execute(
            update(SchoolNotice).where(of_dead).values(digested_at=None).execution_options(synchronize_session=False)
        )


@unit_of_work()
def _take(message: OutboxMessage, today: str) -> tuple[str, dict[str, Any]] | None:
    """Mark the notices of this mail, and the day; return email and context, or None if there is nothing to tell."""
    mark = _mark_of(message.payload)
    email = db.session.scalar(
        update(School)
        .where(School.id == uuid.UUID(message.payload["school"]), School.email.is_not(None))
        .values(digest_sent_at=now())
        .returning(School.email)
        .execution_options(synchronize_session=False)
    )
    if email is None:  # the school's address was removed: the notices wait for another one
        _mark(message.payload, SchoolNotice.digested_at == mark, digested_at=None)
        return None
    _mark(message.payload, *_NEWS, digested_at=mark)
    notices = db.session.scalars(
        select(SchoolNotice)
        .where(
            SchoolNotice.school_id == uuid.UUID(message.payload["school"]),
            SchoolNotice.digested_at == mark,
            _TOLD,
        )
        .order_by(SchoolNotice.created_at)
    ).all()
    school = db.session.get_one(School, uuid.UUID(message.payload["school"]))
    context = {"school": school.name, "notices": _items(notices[:_MOST_NAMED]), "more": len(notices[_MOST_NAMED:])}
    _begin(message, today)
    return (email, context) if notices else None


def _begin(message: OutboxMessage, day: str | None) -> None:
    """Write the day of the SMTP dialogue on the message, or None if there was no dialogue, in the caller's transaction.

    Raises:
        TemporaryDeliveryError: the lease expired, and another worker has the message.
    """
    payload = {name: value for name, value in message.payload.items() if name != "begun"}
    noted = db.session.scalar(
        update(OutboxMessage)
        .where(OutboxMessage.id == message.id, OutboxMessage.lease == message.lease)
        .values(payload=payload | ({"begun": day} if day else {}))
        .returning(OutboxMessage.id)
        .execution_options(synchronize_session=False)
    )
    if noted is None:
        raise TemporaryDeliveryError("another worker has this message")


def _items(notices: Sequence[SchoolNotice]) -> list[dict[str, Any]]:
    """Return the mail's items for these notices: the event, and no more than the names of children and guardians."""
    keys = {key for notice in notices for key in (notice.account_id, notice.other_account_id) if key}
    people = {account.id: account for account in db.session.scalars(select(Account).where(Account.id.in_(keys)))}
    children = school_notices.children_of(notices)
    items = []
    for notice in notices:
        other = people.get(notice.other_account_id) if notice.other_account_id else None
        names = {"who": people[notice.account_id].display_name, "other": other.display_name if other else str(_GONE)}
        sentence = _DECIDED if notice.settled_at else _CALLED if notice.taken_by else _SENTENCES[Kind(notice.kind)]
        pupils = ", ".join(f"{child.given_name} {child.family_name}" for child in children[notice.id])
        items.append({"children": pupils, "sentence": str(sentence) % {**names, "note": notice.note}})
    return items


def _payloads(condition: Any) -> Sequence[dict[str, Any]]:
    return db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.kind == DIGEST, condition)).all()


def _mark_of(payload: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(payload["at"])


def _mark(payload: dict[str, Any], *conditions: Any, digested_at: datetime | None) -> None:
    db.session.execute(
        update(SchoolNotice)
        .where(SchoolNotice.school_id == uuid.UUID(payload["school"]), *conditions)
        .values(digested_at=digested_at)
        .execution_options(synchronize_session=False)
    )
