"""The passkeys of people of the desk: registration and authentication by the rules of `idp.passkeys.ceremony`.

The challenge is a ceremony of this browser. The origin is the desk's URL, and the relying party's id is its host.
"""

import uuid
from typing import Any

from sqlalchemy import select, update

from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.staff import ceremonies
from idp.desk.staff.ceremonies import Purpose
from idp.desk.staff.models import CredentialKind, StaffAccount, StaffCredential
from idp.passkeys import ceremony as rules
from idp.passkeys.ceremony import PasskeyError, RelyingParty, User

_LONGEST_NAME = 60


def registration_options(settings: Settings, staff: StaffAccount, purpose: Purpose) -> str:
    """Begin the registration of a passkey; return the options for the browser in JSON."""
    with unit_of_work():
        ceremony = ceremonies.start(purpose, staff.id)
    known = [key.credential_id or b"" for key in db.session.scalars(_keys_of(staff.id))]
    user = User(staff.id.bytes, staff.email, staff.name)
    return rules.registration_options(_party(settings), user, ceremony.challenge, known)


def register(settings: Settings, staff: StaffAccount, purpose: Purpose, answer: str, name: str) -> None:
    """Store the passkey of a browser's answer, in the caller's transaction.

    Raises:
        PasskeyError: the answer proves nothing, or the person has too many passkeys.
    """
    parsed = rules.parse(answer)
    if ceremonies.use(purpose, parsed.challenge, staff.id) is None:
        raise PasskeyError
    verified = rules.verify_registration(_party(settings), parsed)
    keys = db.session.scalars(_keys_of(staff.id)).all()
    taken = select(StaffCredential.id).where(StaffCredential.credential_id == verified.credential_id)
    if len(keys) >= rules.MOST_KEYS or db.session.scalar(taken) is not None:
        raise PasskeyError
    db.session.add(
        StaffCredential(
            staff_id=staff.id,
            kind=CredentialKind.PASSKEY,
            name=" ".join(name.split())[:_LONGEST_NAME],
            credential_id=verified.credential_id,
            public_key=verified.public_key,
            sign_count=verified.sign_count,
            last_used_at=now(),
        )
    )


def authentication_options(settings: Settings, purpose: Purpose, staff_id: uuid.UUID | None = None) -> str:
    """Begin an authentication; return the options for the browser in JSON. Without a person, any key may answer."""
    with unit_of_work():
        ceremony = ceremonies.start(purpose, staff_id)
    keys = db.session.scalars(_keys_of(staff_id)).all() if staff_id else []
    return rules.authentication_options(
        _party(settings), ceremony.challenge, [key.credential_id or b"" for key in keys]
    )


def authenticate(settings: Settings, purpose: Purpose, answer: str, staff_id: uuid.UUID | None = None) -> uuid.UUID:
    """Return the person whose passkey a browser's answer proves, in the caller's transaction.

    Raises:
        PasskeyError: the answer proves nothing, or is not of `staff_id`.
    """
    parsed = rules.parse(answer)
    if ceremonies.use(purpose, parsed.challenge, staff_id) is None:
        raise PasskeyError
    key = _key_of(parsed.credential_id)
    if key is None or (staff_id is not None and key.staff_id != staff_id):
        raise PasskeyError
    if parsed.user_handle not in {None, key.staff_id.bytes}:  # WebAuthn 7.2, step 6
        raise PasskeyError
    verified = rules.verify_authentication(_party(settings), parsed, key)
    counted = db.session.scalar(
        update(StaffCredential)
        .where(StaffCredential.id == key.id, StaffCredential.sign_count == key.sign_count)
        .values(sign_count=verified.sign_count, last_used_at=now())
        .returning(StaffCredential.id)
        .execution_options(synchronize_session=False)
    )
    if counted is None:
        raise PasskeyError
    return key.staff_id


def has_any(staff_id: uuid.UUID) -> bool:
    """Return whether a person has a passkey."""
    return db.session.scalar(_keys_of(staff_id).limit(1)) is not None


def _keys_of(staff_id: uuid.UUID | None) -> Any:
    return select(StaffCredential).where(
        StaffCredential.staff_id == staff_id, StaffCredential.kind == CredentialKind.PASSKEY
    )


def _key_of(credential_id: bytes) -> StaffCredential | None:
    return db.session.scalar(
        select(StaffCredential)
        .where(StaffCredential.credential_id == credential_id, StaffCredential.kind == CredentialKind.PASSKEY)
        .execution_options(populate_existing=True)
    )


def _party(settings: Settings) -> RelyingParty:
    return RelyingParty(settings.desk_url, settings.service_name)
