"""What a school has to know and to settle: written in the caller's transaction, settled by an operator.

Each notice stands in the list of one school (`idp school notices`), in the count of `idp letters status` and, when the
school has given a mail address, in the next digest.
"""

import enum
import uuid
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select, update

from idp.accounts.models import School, SchoolNotice
from idp.clock import now
from idp.db import db


class Kind(enum.StrEnum):
    """What a notice is about."""

    NOT_GUARDIAN = "not_guardian"
    EMAIL_CONTESTED = "email_contested"
    LETTER_DOUBT = "letter_doubt"
    LETTER_GUESSED = "letter_guessed"
    SHARED_MAILBOX = "shared_mailbox"
    OTHER_MAILBOX = "other_mailbox"
    PERSON_REPLACED = "person_replaced"


def add(
    kind: Kind,
    account_id: uuid.UUID,
    schools: Iterable[uuid.UUID] | Mapping[uuid.UUID, Sequence[uuid.UUID]],
    *,
    other_account_id: uuid.UUID | None = None,
) -> None:
    """Write one notice for each school; one that is open there already gets the children added.

    Args:
        kind: what happened.
        account_id: whose account it is about; its row is locked by the caller, so that two writers do not both add.
        schools: the schools that are told; a mapping names the children that each is told of.
        other_account_id: a second account that the notice is about.
    """
    children = schools if isinstance(schools, Mapping) else dict.fromkeys(schools, ())
    same = select(SchoolNotice).where(
        SchoolNotice.account_id == account_id,
        SchoolNotice.kind == kind.value,
        SchoolNotice.other_account_id == other_account_id
        if other_account_id
        else SchoolNotice.other_account_id.is_(None),
        SchoolNotice.settled_at.is_(None),
    )
    known = {notice.school_id: notice for notice in db.session.scalars(same)}
    for school_id, child_ids in children.items():
        wanted, notice = [child.hex for child in child_ids], known.get(school_id)
        if notice is None:
            db.session.add(
                SchoolNotice(
                    school_id=school_id,
                    account_id=account_id,
                    other_account_id=other_account_id,
                    kind=kind.value,
                    child_ids=wanted,
                )
            )
        elif notice.child_ids:  # without children it concerns them all already
            notice.child_ids = list(dict.fromkeys((*notice.child_ids, *wanted))) if wanted else []


def settle(
    account_id: uuid.UUID,
    *,
    by: str,
    sentence: str = "",
    kinds: Iterable[Kind] = Kind,
    school: School | None = None,
) -> None:
    """Settle the open notices about the account, in the caller's transaction.

    Args:
        account_id: whose account they are about.
        by: the operator, or the act that settled them.
        sentence: what the operator said.
        kinds: the kinds that are settled; all by default.
        school: settle those of this school alone.
    """
    statement = update(SchoolNotice).where(
        SchoolNotice.account_id == account_id,
        SchoolNotice.settled_at.is_(None),
        SchoolNotice.kind.in_([kind.value for kind in kinds]),
    )
    if school is not None:
        statement = statement.where(SchoolNotice.school_id == school.id)
    db.session.execute(
        statement.values(settled_at=now(), settled_by=by[:80], sentence=sentence[:500]).execution_options(
            synchronize_session=False
        )
    )
