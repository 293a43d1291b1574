"""Verifies who a person of the desk is: by a passkey, or by a password with a code."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from flask import url_for
from flask_babel import gettext

from idp import opaque
from idp.accounts.passwords.hasher import Hasher
from idp.audit import log
from idp.audit.desk_events import StaffProofFailed, StaffSignInFailed
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.staff import codes, passkeys, posts, sessions
from idp.desk.staff.ceremonies import Purpose
from idp.desk.staff.models import Authenticator, StaffAccount
from idp.desk.staff.sessions import Missed, SignedIn
from idp.desk.team import notices
from idp.mail.emails import fold_email
from idp.passkeys.ceremony import PasskeyError
from idp.sessions import devices
from idp.throttle import guard, limits
from idp.throttle.limits import Limit
from idp.web.errors import TooManyRequestsError


@dataclass(frozen=True)
class Opened:
    """A session was opened: the cookie's value, and the person."""

    cookie: str
    staff: StaffAccount


@dataclass(frozen=True)
class Refused:
    """Nothing was opened. `has_no_role` says that the person is known, but has no role any more."""

    has_no_role: bool = False


_NOBODY = uuid.UUID(int=0)
"""The id of no person."""


def tries_from_here(ip: str) -> tuple[Limit, str]:
    """Return the limit of sign-ins with a passkey or at the académie: of a browser of the desk, or else of the IP."""
    device = devices.of_desk()
    return (limits.DESK_PASSKEY_DEVICE, device.number) if device else (limits.DESK_SIGN_IN_IP, ip)


def challenges_from_here(ip: str) -> tuple[Limit, str]:
    """Return the limit of challenges: of a browser of the desk, or else of the IP."""
    device = devices.of_desk()
    return (limits.DESK_CHALLENGE_DEVICE, device.number) if device else (limits.DESK_CHALLENGE_IP, ip)


def count_try(*demands: tuple[Limit, str], back: tuple[str, str] | None = None) -> None:
    """Count a try before it is verified.

    Raises:
        TooManyRequestsError: a rate limit refuses it; its page leads to `back`.
    """
    if seconds := guard.take_or_wait(*demands):
        raise TooManyRequestsError(seconds, back=back)


def _count_sign_in(*demands: tuple[Limit, str]) -> None:
    count_try(*demands, back=(url_for("sign_in.sign_in"), gettext("Connexion au bureau")))


def by_passkey(settings: Settings, answer: str, ip: str) -> Opened | Refused:
    """Sign in with a passkey; `answer` is what the browser's passkey answered to a challenge."""
    tries = tries_from_here(ip)
    _count_sign_in(tries)
    try:
        with unit_of_work():
            staff_id = passkeys.authenticate(settings, Purpose.SIGN_IN, answer)
            outcome = open_for(staff_id, Authenticator.PASSKEY)
    except PasskeyError:
        outcome = _refused(settings, "passkey")
    if isinstance(outcome, Opened):
        guard.settle_success(tries, challenges_from_here(ip))
    return outcome


def by_code(settings: Settings, hasher: Hasher, email: str, password: str, code: str, *, ip: str) -> Opened | Refused:
    """Sign in with a password and a code.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    mailbox = fold_email(email.strip())
    staff = codes.find(email)
    device = devices.known(str(staff.id), of_desk=True) if staff else None
    demands: tuple[tuple[Limit, str], ...] = (limits.DESK_SIGN_IN_ACCOUNT, mailbox), (limits.DESK_SIGN_IN_IP, ip)
    if device is not None:
        demands = ((limits.DESK_SIGN_IN_DEVICE, device.number),)
    _count_sign_in(*demands)
    is_right = codes.is_password(hasher, staff, password)
    outcome: Opened | Refused = Refused()
    with unit_of_work():
        # the same statements for a wrong password, so that their time does not tell that it is right
        authenticator = codes.use(settings, staff.id if staff and is_right else _NOBODY, code)
        if staff is not None and authenticator is not None:
            outcome = open_for(staff.id, authenticator)
    if isinstance(outcome, Opened):
        guard.settle_success(*demands)
    elif outcome == Refused():
        outcome = _refused(settings, "code", mailbox)
    return outcome


def _refused(settings: Settings, reason: str, mailbox: str = "") -> Refused:
    with unit_of_work():
        key = opaque.derive_key(settings.secrets[0], "staff mailbox")
        digest = opaque.keyed_digest(key, mailbox).hex()[:32] if mailbox else ""
        log.record(StaffSignInFailed(reason=reason, mailbox_digest=digest))
    return Refused()


def note_refusal(reason: str) -> None:
    """Journal a refused sign-in in the caller's transaction."""
    log.record(StaffSignInFailed(reason=reason))


def open_for(
    staff_id: uuid.UUID, authenticator: Authenticator, *, proved_at: datetime | None = None
) -> Opened | Refused:
    """Open a session in the caller's transaction for a person who proved who they are and has a role.

    `proved_at` is when, if it is not now.
    """
    staff = db.session.get(StaffAccount, staff_id, populate_existing=True, with_for_update=True)
    if staff is None or staff.disabled_at is not None:
        return Refused()
    if not posts.of_staff(staff.id):
        note_refusal("no_role")
        return Refused(has_no_role=True)
    had_signed_in = staff.last_sign_in_at is not None
    cookie = sessions.open_session(staff, authenticator, proved_at=proved_at)
    if had_signed_in and devices.known(str(staff.id), of_desk=True) is None:
        notices.tell_new_device(staff)
    return Opened(cookie, staff)


def prove_by_passkey(settings: Settings, person: SignedIn, answer: str) -> str | Missed:
    """Note a fresh proof by a passkey of this person; return the session's new cookie, empty if nothing was proved."""
    count_try(proofs_of(person.session.id))
    try:
        with unit_of_work():
            passkeys.authenticate(settings, Purpose.PROVE, answer, person.staff.id)
            cookie = sessions.prove(person, Authenticator.PASSKEY)
    except PasskeyError:
        return _not_proved(person, "passkey")
    guard.settle_success(proofs_of(person.session.id))
    return cookie


def prove_by_code(settings: Settings, hasher: Hasher, person: SignedIn, password: str, code: str) -> str | Missed:
    """Note a fresh proof by password and code; return what `prove_by_passkey` does.

    Raises:
        HasherBusyError: the hash could not be computed in time; nothing was decided.
    """
    count_try(proofs_of(person.session.id))
    if not codes.is_password(hasher, person.staff, password):
        return _not_proved(person, "code")
    with unit_of_work():
        authenticator = codes.use(settings, person.staff.id, code)
        cookie = "" if authenticator is None else sessions.prove(person, authenticator)
    if not cookie:
        return _not_proved(person, "code")
    guard.settle_success(proofs_of(person.session.id))
    return cookie


def proofs_of(session_id: uuid.UUID) -> tuple[Limit, str]:
    """Return the limit of the proofs of a session; it bounds the journal's entries of failed ones too."""
    return limits.DESK_PROOF, str(session_id)


def _not_proved(person: SignedIn, tried: str) -> str:
    with unit_of_work():
        note_failed_proof(person, tried)
    return ""


def note_failed_proof(person: SignedIn, tried: str) -> None:
    """Journal a failed proof in the caller's transaction."""
    log.record(StaffProofFailed(staff=str(person.staff.id), authenticator=tried))
