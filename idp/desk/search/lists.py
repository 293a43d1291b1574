"""Lists of families without typed words: the tiles of « Aujourd’hui » lead to them."""

import enum
import uuid
from collections.abc import Iterator
from datetime import timedelta

from flask import url_for
from flask_babel import gettext
from sqlalchemy import ColumnElement, and_, func, literal, select

from idp.accounts.emails import CONFIRM_EMAIL
from idp.accounts.models import Account
from idp.accounts.one_time_links import OneTimeLink
from idp.clock import now
from idp.db import db
from idp.desk import access
from idp.desk.access import Right
from idp.desk.home import tiles
from idp.desk.home.tiles import Tile
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


@tiles.source(Right.READ_FAMILIES)
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


@tiles.source(Right.PRINT_CLASSES)
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
