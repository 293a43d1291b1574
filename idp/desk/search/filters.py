"""What narrows a search besides words: the state of a guardian, schools, a class; and lists without typed words.

The tiles of « Aujourd’hui » lead to the lists.
"""

import enum
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from flask import url_for
from flask_babel import gettext
from sqlalchemy import ColumnElement, and_, exists, func, literal, or_, select, true

from idp.accounts.emails import CONFIRM_EMAIL
from idp.accounts.models import Account, Child, Guardianship
from idp.accounts.one_time_links import OneTimeLink
from idp.clock import now
from idp.db import db
from idp.desk import access, home, ties
from idp.desk.access import Right
from idp.desk.home import Tile
from idp.families.standing import Group, in_group
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import DEAD

_WEEK = timedelta(days=7)
_MOST_REFUSED = 1000
"""At most so many refused mails are read. More of them mean that the mail server is broken."""


class Listing(enum.Enum):
    """A list; the value is its name in the URL."""

    EXPIRING = "courriers"
    """A letter that was not used expires within a week."""
    REFUSED = "mails"
    """The mail server refused the last mail to the address that waits for confirmation."""


def condition(listing: Listing) -> ColumnElement[bool]:
    """Return the condition of the accounts of a list."""
    if listing is Listing.EXPIRING:
        return and_(in_group(Group.LETTER), Account.provisional_expires_at <= now() + _WEEK)
    refused = select(OneTimeLink.account_id).where(
        OneTimeLink.id.in_(_links_of_refused_mails()), OneTimeLink.email == Account.pending_email
    )
    return and_(Account.pending_email.is_not(None), Account.disabled_at.is_(None), Account.id.in_(refused))


def _links_of_refused_mails() -> list[uuid.UUID]:
    dead = (
        select(OutboxMessage.payload)
        .where(
            OutboxMessage.outcome == literal(DEAD, literal_execute=True),  # as the partial index says it
            OutboxMessage.finished_at > now() - _WEEK,
            OutboxMessage.kind == CONFIRM_EMAIL,
        )
        .order_by(OutboxMessage.finished_at.desc())
        .limit(_MOST_REFUSED)
    )
    return [uuid.UUID(payload["link"]) for payload in db.session.scalars(dead) if "link" in payload]


@home.source(Right.READ_FAMILIES)
def waiting() -> Iterator[Tile]:
    """Yield the tiles of the lists, for a post at a school."""
    if access.post().school is None:
        return
    yield Tile(
        _count(condition(Listing.EXPIRING)),
        gettext("Courriers qui expirent cette semaine"),
        gettext("Ces responsables n’ont pas encore utilisé leur courrier : rappelez-le-leur."),
        url_for("search.search", liste=Listing.EXPIRING.value),
    )
    yield Tile(
        _count(condition(Listing.REFUSED)),
        gettext("Mails refusés"),
        gettext("L’adresse est sans doute mal tapée : demandez la bonne au responsable."),
        url_for("search.search", liste=Listing.REFUSED.value),
    )


@home.source(Right.PRINT_CLASSES)
def without_letter() -> Iterator[Tile]:
    """Yield the tile of the accounts that get no letter unless somebody prints it."""
    if access.post().school is not None:
        yield Tile(
            _count(in_group(Group.NO_LETTER)),
            gettext("Comptes sans courrier"),
            gettext("Imprimez-les : ces responsables ne peuvent pas encore entrer."),
            url_for("classes.letters", tout="1"),
        )


def _count(selects: ColumnElement[bool]) -> int:
    counted = select(func.count()).select_from(Account).where(access.accounts(), selects)
    return db.session.scalar(counted) or 0


def shown_in(group: Group) -> ColumnElement[bool]:
    """Return the condition of the accounts that the desk shows in a state, for a statement about `Account`.

    An account without an open tie in scope is shown as closed, unless a dispute closes it.
    """
    if group is Group.DISPUTED:
        return in_group(group)
    is_cut_off = and_(ties.are_cut_off(access.children()), ~in_group(Group.DISPUTED))
    return or_(in_group(group), is_cut_off) if group is Group.CLOSED else and_(in_group(group), ~is_cut_off)


@dataclass(frozen=True)
class Filters:
    """What narrows a search.

    Attributes:
        group: the state of a guardian, or None for all.
        class_name: a class of the school, "" for pupils without one, or None for all.
        schools: the schools that a person of the académie typed; empty for all in scope.
    """

    group: Group | None = None
    class_name: str | None = None
    schools: tuple[uuid.UUID, ...] = ()

    @property
    def are_of_schools(self) -> bool:
        """Whether only the families of one school, or of few, are asked for."""
        return bool(self.schools) or access.post().school is not None

    def children(self) -> ColumnElement[bool]:
        """Return the condition of the pupils in scope, in the schools and in the class."""
        in_class = true() if self.class_name is None else Child.class_name == self.class_name
        return and_(access.children(), Child.school_id.in_(self.schools) if self.schools else true(), in_class)

    def accounts(self) -> ColumnElement[bool]:
        """Return the condition of the accounts in scope and in the state, with a pupil in schools and class."""
        in_state = [] if self.group is None else [shown_in(self.group)]
        if self.class_name is None and not self.schools:
            return and_(access.accounts(), *in_state)
        tie = exists().where(
            Guardianship.account_id == Account.id,
            Guardianship.child_id == Child.id,
            ties.are_shown(),
            self.children(),
        )
        return and_(tie, *in_state)
