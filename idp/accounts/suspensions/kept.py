"""Keeps the suspension of a person who is erased, or of a pupil who leaves, without a name that could be read.

An import compares the people of the files with these rows (`idp.rostering.reconcile.phases.suspended`). They hold
digests of names, which a list of names would reveal, so they are encrypted under the secret key.
"""

import uuid
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select

from idp import encrypted
from idp.accounts.suspensions.models import KeptSuspension
from idp.accounts.suspensions.traces import Traces
from idp.db import db

LONGEST_WITHOUT_PUPIL = timedelta(days=5 * 366)
"""How long a suspension is kept at most after its pupil's row was removed: the longest time in one school."""
_PURPOSE = "kept suspension"
_PURPOSE_OF_PUPIL = "pupil of a kept suspension"


class KeptTie(NamedTuple):
    """A suspension that holds: the pupil, or the pupil's last school and names, and what recognises the person."""

    child_id: uuid.UUID | None
    uai: str
    pupil: Traces
    person: Traces


def keep(secrets: Sequence[bytes], child_id: uuid.UUID, until: datetime | None, traces: Traces) -> KeptSuspension:
    """Keep a suspended tie to a pupil, in the caller's transaction, which erases its person; return the row.

    Args:
        secrets: the secret keys, the present one first.
        child_id: the pupil.
        until: the end of the suspension, or None.
        traces: what recognises the person.
    """
    row = KeptSuspension(id=uuid.uuid4(), child_id=child_id, until=until)
    row.person = _encrypt(secrets, _PURPOSE, row, traces)
    db.session.add(row)
    return row


def leave_pupil(secrets: Sequence[bytes], row: KeptSuspension, uai: str, pupil: Traces, moment: datetime) -> None:
    """Have a row recognise its pupil by the names, in the transaction that removes the pupil."""
    longest = moment + LONGEST_WITHOUT_PUPIL
    row.child_id, row.uai = None, uai
    row.pupil = _encrypt(secrets, _PURPOSE_OF_PUPIL, row, pupil)
    row.until = min(row.until or longest, longest)


def last_end(untils: Collection[datetime | None]) -> datetime | None:
    """Return the last of several ends of suspensions; None is no end."""
    ends = [until for until in untils if until is not None]
    return max(ends) if len(ends) == len(untils) else None


def holding(secrets: Sequence[bytes], moment: datetime) -> Iterator[KeptTie]:
    """Yield each suspension that holds at `moment`.

    Raises:
        UndecryptableError: no secret key decrypts a row. An import must stop then: it would open the access again.
    """
    for row in db.session.scalars(select(KeptSuspension).where(KeptSuspension.where_holding(moment))).all():
        pupil = _decrypt(secrets, _PURPOSE_OF_PUPIL, row, row.pupil) if row.pupil else Traces.of(())
        yield KeptTie(row.child_id, row.uai, pupil, _decrypt(secrets, _PURPOSE, row, row.person))


def encrypt_again(secrets: Sequence[bytes]) -> None:
    """Encrypt the rows of former secret keys under the present one, in the caller's transaction."""
    for row in db.session.scalars(select(KeptSuspension).with_for_update()).all():
        if encrypted.encrypted_by(secrets, _PURPOSE, row.person, str(row.id)):
            row.person = _encrypt(secrets, _PURPOSE, row, _decrypt(secrets, _PURPOSE, row, row.person))
        if row.pupil and encrypted.encrypted_by(secrets, _PURPOSE_OF_PUPIL, row.pupil, str(row.id)):
            pupil = _decrypt(secrets, _PURPOSE_OF_PUPIL, row, row.pupil)
            row.pupil = _encrypt(secrets, _PURPOSE_OF_PUPIL, row, pupil)


def _encrypt(secrets: Sequence[bytes], purpose: str, row: KeptSuspension, traces: Traces) -> bytes:
    return encrypted.encrypt(secrets, purpose, traces.dumps(), str(row.id))


def _decrypt(secrets: Sequence[bytes], purpose: str, row: KeptSuspension, content: bytes) -> Traces:
    return Traces.loads(encrypted.decrypt(secrets, purpose, content, str(row.id)))
