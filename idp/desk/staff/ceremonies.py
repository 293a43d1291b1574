"""Ceremonies: a browser begins one, such as the challenge for a passkey, and completes it within minutes.

A ceremony belongs to the browser that began it, is for one purpose and one person (none at a sign-in), and is used
once: exactly one request gets it.
"""

import enum
import secrets
import uuid
from datetime import timedelta

from sqlalchemy import select, update

from idp import opaque
from idp.clock import now
from idp.db import db
from idp.desk.staff.models import StaffCeremony
from idp.web import browser

LIFETIME = timedelta(minutes=10)
_CHALLENGE_BYTES = 32


class Purpose(enum.Enum):
    """What a ceremony is for."""

    SIGN_IN = "sign_in"
    PROVE = "prove"
    ENROL = "enrol"
    ADD = "add"
    TOTP = "totp"
    ACADEMY = "academy"


def start(purpose: Purpose, staff_id: uuid.UUID | None = None, *, secret: bytes | None = None) -> StaffCeremony:
    """Add a ceremony with a new challenge to the caller's transaction."""
    ceremony = StaffCeremony(
        purpose=purpose.value,
        staff_id=staff_id,
        browser=opaque.digest(browser.binding()),
        challenge=secrets.token_bytes(_CHALLENGE_BYTES),
        secret=secret,
        values={},
        expires_at=now() + LIFETIME,
    )
    db.session.add(ceremony)
    return ceremony


def use(purpose: Purpose, challenge: bytes, staff_id: uuid.UUID | None = None) -> StaffCeremony | None:
    """Use the ceremony of a challenge in the caller's transaction; return None if it does not work for this browser."""
    return db.session.scalar(
        update(StaffCeremony)
        .where(
            StaffCeremony.challenge == challenge,
            StaffCeremony.purpose == purpose.value,
            StaffCeremony.staff_id == staff_id if staff_id else StaffCeremony.staff_id.is_(None),
            StaffCeremony.browser == opaque.digest(browser.binding()),
            StaffCeremony.used_at.is_(None),
            StaffCeremony.expires_at > now(),
        )
        .values(used_at=now())
        .returning(StaffCeremony)
        .execution_options(synchronize_session=False)
    )


def waiting(purpose: Purpose, key: uuid.UUID, staff_id: uuid.UUID) -> StaffCeremony | None:
    """Return an unused ceremony of this browser by its id, without using it."""
    return db.session.scalar(
        select(StaffCeremony).where(
            StaffCeremony.id == key,
            StaffCeremony.purpose == purpose.value,
            StaffCeremony.staff_id == staff_id,
            StaffCeremony.browser == opaque.digest(browser.binding()),
            StaffCeremony.used_at.is_(None),
            StaffCeremony.expires_at > now(),
        )
    )
