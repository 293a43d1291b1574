"""By what people of the desk prove who they are: passkeys, or the fallback of a password with a code; and ceremonies.

A browser begins a ceremony, such as the challenge for a passkey, and completes it within minutes. It belongs to the
browser that began it, is for one purpose and one person (none at a sign-in), and is used once: exactly one request
gets it.

The origin of passkeys is the desk's URL, and the relying party's id is its host (`idp.passkeys.ceremony`).

A code is of an authenticator application (RFC 6238), or a recovery code. A password alone is refused. Each code works
once: a used time step and a used recovery code are refused.
"""

import enum
import secrets
import textwrap
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pyotp
from sqlalchemy import ColumnElement, and_, delete, func, select, update

from idp import opaque
from idp.accounts.passwords import policy
from idp.accounts.passwords.breached import BreachedPasswords
from idp.accounts.passwords.hasher import PROVISIONAL_ALPHABET, Hasher, fold_provisional
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.staff.models import Authenticator, CredentialKind, StaffAccount, StaffCeremony, StaffCredential
from idp.mail.emails import fold_email
from idp.passkeys import ceremony as rules
from idp.passkeys.ceremony import PasskeyError, RelyingParty, User
from idp.web import browser

CEREMONY_LIFETIME = timedelta(minutes=10)
_CHALLENGE_BYTES = 32


class Purpose(enum.Enum):
    """What a ceremony is for."""

    SIGN_IN = "sign_in"
    PROVE = "prove"
    ENROL = "enrol"
    ADD = "add"
    TOTP = "totp"
    ACADEMY = "academy"


def start_ceremony(
    purpose: Purpose, staff_id: uuid.UUID | None = None, *, secret: bytes | None = None
) -> StaffCeremony:
    """Add a ceremony with a new challenge to the caller's transaction."""
    ceremony = StaffCeremony(
        purpose=purpose.value,
        staff_id=staff_id,
        browser=opaque.digest(browser.binding()),
        challenge=secrets.token_bytes(_CHALLENGE_BYTES),
        secret=secret,
        values={},
        expires_at=now() + CEREMONY_LIFETIME,
    )
    db.session.add(ceremony)
    return ceremony


def use_ceremony(purpose: Purpose, challenge: bytes, staff_id: uuid.UUID | None = None) -> StaffCeremony | None:
    """Use the ceremony of a challenge in the caller's transaction; return None if it does not work for this browser."""
    return db.session.scalar(
        update(StaffCeremony)
        .where(StaffCeremony.challenge == challenge, _waits_here(purpose, staff_id))
        .values(used_at=now())
        .returning(StaffCeremony)
        .execution_options(synchronize_session=False)
    )


def waiting_ceremony(purpose: Purpose, key: uuid.UUID, staff_id: uuid.UUID) -> StaffCeremony | None:
    """Return an unused ceremony of this browser by its id, without using it."""
    return db.session.scalar(select(StaffCeremony).where(StaffCeremony.id == key, _waits_here(purpose, staff_id)))


def _waits_here(purpose: Purpose, staff_id: uuid.UUID | None) -> ColumnElement[bool]:
    return and_(
        StaffCeremony.purpose == purpose.value,
        StaffCeremony.staff_id == staff_id if staff_id else StaffCeremony.staff_id.is_(None),
        StaffCeremony.browser == opaque.digest(browser.binding()),
        StaffCeremony.used_at.is_(None),
        StaffCeremony.expires_at > now(),
    )


_LONGEST_NAME = 60


def passkey_registration(settings: Settings, staff: StaffAccount, purpose: Purpose) -> str:
    """Begin the registration of a passkey; return the options for the browser in JSON."""
    with unit_of_work():
        ceremony = start_ceremony(purpose, staff.id)
    known = [key.credential_id or b"" for key in passkeys_of(staff.id)]
    user = User(staff.id.bytes, staff.email, staff.name)
    return rules.registration_options(_party(settings), user, ceremony.challenge, known)


def register_passkey(settings: Settings, staff: StaffAccount, purpose: Purpose, answer: str, name: str) -> None:
    """Store the passkey of a browser's answer, in the caller's transaction.

    Raises:
        PasskeyError: the answer proves nothing, or the person has too many passkeys.
    """
    parsed = rules.parse(answer)
    if use_ceremony(purpose, parsed.challenge, staff.id) is None:
        raise PasskeyError
    verified = rules.verify_registration(_party(settings), parsed)
    taken = select(StaffCredential.id).where(StaffCredential.credential_id == verified.credential_id)
    if len(passkeys_of(staff.id)) >= rules.MOST_KEYS or db.session.scalar(taken) is not None:
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


def passkey_authentication(settings: Settings, purpose: Purpose, staff_id: uuid.UUID | None = None) -> str:
    """Begin an authentication; return the options for the browser in JSON. Without a person, any key may answer."""
    with unit_of_work():
        ceremony = start_ceremony(purpose, staff_id)
    known = [key.credential_id or b"" for key in passkeys_of(staff_id)] if staff_id else []
    return rules.authentication_options(_party(settings), ceremony.challenge, known)


def verify_passkey(settings: Settings, purpose: Purpose, answer: str, staff_id: uuid.UUID | None = None) -> uuid.UUID:
    """Return the person whose passkey a browser's answer proves, in the caller's transaction.

    Raises:
        PasskeyError: the answer proves nothing, or is not of `staff_id`.
    """
    parsed = rules.parse(answer)
    if use_ceremony(purpose, parsed.challenge, staff_id) is None:
        raise PasskeyError
    own = StaffCredential.credential_id == parsed.credential_id, StaffCredential.kind == CredentialKind.PASSKEY
    key = db.session.scalar(select(StaffCredential).where(*own).execution_options(populate_existing=True))
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


def passkeys_of(staff_id: uuid.UUID) -> Sequence[StaffCredential]:
    """Return the passkeys of a person, the oldest first."""
    own = StaffCredential.staff_id == staff_id, StaffCredential.kind == CredentialKind.PASSKEY
    return db.session.scalars(select(StaffCredential).where(*own).order_by(StaffCredential.created_at)).all()


def _party(settings: Settings) -> RelyingParty:
    return RelyingParty(settings.desk_url, settings.service_name)


RECOVERY_CODES = 10
_STEP_SECONDS = 30
_DRIFT = 1  # time steps that a clock may be wrong
_PURPOSE = "staff TOTP"
_RECOVERY_LENGTH = 24  # 120 bits: below 112, the stored digest had to be a slow one (ASVS 6.5.2)
_TOTP_LENGTH = 6
_MIN_LENGTH = 12


@dataclass(frozen=True)
class ProvedTotp:
    """A new TOTP secret, and the time step of the code by which the person proved to have it."""

    secret: str
    step: int


def new_totp() -> str:
    """Draw a TOTP secret."""
    return pyotp.random_base32()


def seal_totp(settings: Settings, staff_id: uuid.UUID, secret: str) -> bytes:
    """Return a TOTP secret as it is stored: encrypted for this person."""
    return opaque.encrypt(settings.secrets, _PURPOSE, secret.encode(), str(staff_id))


def open_totp(settings: Settings, staff_id: uuid.UUID, sealed: bytes) -> str | None:
    """Return a stored TOTP secret, or None if no configured secret key decrypts it."""
    try:
        return opaque.decrypt(settings.secrets, _PURPOSE, sealed, str(staff_id)).decode()
    except opaque.UndecryptableError:
        return None


def step_of(secret: str, typed: str) -> int | None:
    """Return the time step whose code was typed, or None."""
    code = "".join(typed.split())
    if len(code) != _TOTP_LENGTH or not (code.isascii() and code.isdigit()):
        return None
    totp, present = pyotp.TOTP(secret), int(now().timestamp()) // _STEP_SECONDS
    for step in range(present - _DRIFT, present + _DRIFT + 1):
        if secrets.compare_digest(totp.at(step * _STEP_SECONDS), code):
            return step
    return None


def store_totp(settings: Settings, staff: StaffAccount, proved: ProvedTotp, password_hash: str) -> None:
    """Store the password and the TOTP secret in the caller's transaction."""
    remove_credentials(staff.id, CredentialKind.TOTP)
    staff.password_hash = password_hash
    db.session.add(
        StaffCredential(
            staff_id=staff.id,
            kind=CredentialKind.TOTP,
            secret=seal_totp(settings, staff.id, proved.secret),
            last_step=proved.step,
            last_used_at=now(),
        )
    )


def remove_credentials(staff_id: uuid.UUID, kind: CredentialKind) -> None:
    """Remove the credentials of one kind, in the caller's transaction."""
    db.session.execute(
        delete(StaffCredential)
        .where(StaffCredential.staff_id == staff_id, StaffCredential.kind == kind)
        .execution_options(synchronize_session=False)
    )


def draw_recovery_codes(staff_id: uuid.UUID) -> list[str]:
    """Replace the recovery codes in the caller's transaction; return the new ones, which are stored as digests only."""
    remove_credentials(staff_id, CredentialKind.RECOVERY_CODE)
    drawn = [
        "".join(secrets.choice(PROVISIONAL_ALPHABET) for _ in range(_RECOVERY_LENGTH)) for _ in range(RECOVERY_CODES)
    ]
    db.session.add_all(
        StaffCredential(staff_id=staff_id, kind=CredentialKind.RECOVERY_CODE, secret=_recovery_digest(staff_id, code))
        for code in drawn
    )
    return ["-".join(textwrap.wrap(code, 4)) for code in drawn]


def recovery_codes_left(staff_id: uuid.UUID) -> int:
    """Return the number of unused recovery codes."""
    return (
        db.session.scalar(
            select(func.count()).where(
                StaffCredential.staff_id == staff_id,
                StaffCredential.kind == CredentialKind.RECOVERY_CODE,
                StaffCredential.used_at.is_(None),
            )
        )
        or 0
    )


def min_length(settings: Settings) -> int:
    """Return the least number of characters of a password at the desk."""
    return max(_MIN_LENGTH, settings.password_min_length)


def password_faults(
    settings: Settings, staff: StaffAccount, password: str, breached: BreachedPasswords
) -> Sequence[policy.Fault]:
    """Return what is wrong with a new password, by the parents' policy."""
    identity = policy.Identity(
        username=staff.email.partition("@")[0],
        names=tuple(staff.name.split()),
        services=(settings.service_name, settings.academy),
    )
    least = min_length(settings)
    return policy.check_password(password, person=identity, min_length=least, is_breached=breached.holds)


def find_account(email: str) -> StaffAccount | None:
    """Return the enabled account of a mail address as it was typed, or None."""
    return db.session.scalar(
        select(StaffAccount).where(
            StaffAccount.mailbox == fold_email(email.strip()), StaffAccount.disabled_at.is_(None)
        )
    )


def is_password(hasher: Hasher, staff: StaffAccount | None, password: str) -> bool:
    """Return whether the password is right; a hash is computed for an unknown person too.

    Raises:
        HasherBusyError: the hash could not be computed in time.
    """
    return hasher.verify(staff.password_hash if staff else None, password, "sign_in")


def use_code(settings: Settings, staff_id: uuid.UUID, typed: str) -> Authenticator | None:
    """Use a code in the caller's transaction; return what it was, or None if it is wrong or was used before."""
    if _use_totp(settings, staff_id, typed):
        return Authenticator.CODE
    return Authenticator.RECOVERY_CODE if _use_recovery_code(staff_id, typed) else None


def _use_totp(settings: Settings, staff_id: uuid.UUID, typed: str) -> bool:
    row = db.session.execute(
        select(StaffCredential.id, StaffCredential.secret).where(
            StaffCredential.staff_id == staff_id, StaffCredential.kind == CredentialKind.TOTP
        )
    ).one_or_none()
    secret = open_totp(settings, staff_id, row.secret) if row else None
    step = step_of(secret, typed) if secret else None
    if row is None or step is None:
        return False
    used = (
        update(StaffCredential)
        .where(StaffCredential.id == row.id, StaffCredential.last_step < step)
        .values(last_step=step, last_used_at=now())
        .returning(StaffCredential.id)
        .execution_options(synchronize_session=False)
    )
    return db.session.scalar(used) is not None


def _use_recovery_code(staff_id: uuid.UUID, typed: str) -> bool:
    code = "".join(character for character in fold_provisional(typed) if character in PROVISIONAL_ALPHABET)
    if len(code) != _RECOVERY_LENGTH:
        return False
    used = (
        update(StaffCredential)
        .where(
            StaffCredential.staff_id == staff_id,
            StaffCredential.kind == CredentialKind.RECOVERY_CODE,
            StaffCredential.secret == _recovery_digest(staff_id, code),
            StaffCredential.used_at.is_(None),
        )
        .values(used_at=now(), last_used_at=now())
        .returning(StaffCredential.id)
        .execution_options(synchronize_session=False)
    )
    return db.session.scalar(used) is not None


def _recovery_digest(staff_id: uuid.UUID, code: str) -> bytes:
    return opaque.digest(f"{staff_id} {code}")
