"""Asks the schools of a person to correct its data (GDPR article 16): a notice in each school's list.

The data come from the schools' files, so that only a school can correct them for good. The note is in the notice, and
in the journal.
"""

from idp.accounts import directory, school_notices
from idp.accounts.models import Account, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.data_events import RectificationAsked
from idp.db import db, unit_of_work
from idp.families.refusals import Code, RefusedError

LONGEST = 500


@unit_of_work()
def ask(account: Account, note: str) -> list[School]:
    """Write the note into the notices of the person's schools, and into the journal; return the schools.

    A second note is added to an open notice, as far as there is room.

    Raises:
        RefusedError: no school knows the person any more.
    """
    locked = directory.get_for_change(account.id)
    schools = directory.schools_of_ties(locked) if locked is not None else []
    if not schools:
        raise RefusedError(Code.NO_SCHOOL)
    school_notices.add(Kind.RECTIFICATION, account.id, [school.id for school in schools])
    db.session.flush()
    mine = SchoolNotice.account_id == account.id
    for notice in db.session.query(SchoolNotice).where(mine, school_notices.is_open([Kind.RECTIFICATION])):
        notice.note = f"{notice.note} / {note}"[-LONGEST:] if notice.note else note[:LONGEST]
    log.record(RectificationAsked(account_id=account.id, note=note, uais=[school.uai for school in schools]))
    return schools
