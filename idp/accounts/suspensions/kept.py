"""Keeps the suspension of a person who is erased, without a name that could be read.

An import compares the people of the files with these rows (`idp.rostering.reconcile.phases.suspended`). They hold
digests of names, which a list of names would reveal, so they are encrypted under the secret key.
"""

import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import select

from idp import encrypted
from idp.accounts.suspensions.models import KeptSuspension
from idp.accounts.suspensions.traces import Traces
from idp.db import db

_PURPOSE = "kept suspension"


def keep(secrets: Sequence[bytes], child_id: uuid.UUID, until: datetime | None, traces: Traces) -> None:
    """Keep a suspended tie to a pupil, in the transaction that erases its person.

    Args:
        secrets: the secret keys, the present one first.
        child_id: the pupil.
        until: the end of the suspension, or None.
        traces: what recognises the person.
    """
    row = KeptSuspension(id=uuid.uuid4(), child_id=child_id, until=until)
    row.person = _encrypt(secrets, row, traces.dumps())
    db.session.add(row)


def holding(secrets: Sequence[bytes], moment: datetime) -> Iterator[tuple[uuid.UUID, Traces]]:
    """Yield the pupil and the traces of each suspension that holds at `moment`.

    Raises:
        UndecryptableError: no secret key decrypts a row. An import must stop then: it would open the access again.
    """
    for row in db.session.scalars(select(KeptSuspension).where(KeptSuspension.where_holding(moment))).all():
        yield row.child_id, Traces.loads(encrypted.decrypt(secrets, _PURPOSE, row.person, str(row.id)))


def encrypt_again(secrets: Sequence[bytes]) -> None:
    """Encrypt the rows of former secret keys under the present one, in the caller's transaction."""
    for row in db.session.scalars(select(KeptSuspension).with_for_update()).all():
        if encrypted.encrypted_by(secrets, _PURPOSE, row.person, str(row.id)):
            row.person = _encrypt(secrets, row, encrypted.decrypt(secrets, _PURPOSE, row.person, str(row.id)))


def _encrypt(secrets: Sequence[bytes], row: KeptSuspension, content: bytes) -> bytes:
    return encrypted.encrypt(secrets, _PURPOSE, content, str(row.id))
