"""The passkeys of an account: add, use, name, remove. What changes is told by mail, and no session ends.

A challenge is signed, bound to a browser and a purpose, valid for minutes and used once. To draw one stores nothing,
since each sign-in page draws one for the browser's list of accounts. To spend one is one statement.
"""

import enum
import hmac
import secrets
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, update

from idp import opaque
from idp.accounts import notices
from idp.accounts.models import Account
from idp.accounts.notices import Notice
from idp.audit import log
from idp.audit.credential_events import PasskeyChanged
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work, upsert
from idp.passkeys import ceremony
from idp.passkeys.ceremony import MOST_KEYS, Answer, PasskeyError, RelyingParty, User
from idp.passkeys.models import Passkey, PasskeyUser, SpentChallenge
from idp.web import browser
from idp.web.request_context import describe_device, user_agent

LIFETIME = timedelta(minutes=10)


class Purpose(enum.Enum):
    """What a challenge is for."""

    ADD = "add"
    SIGN_IN = "sign_in"


def draw(settings: Settings, purpose: Purpose, *bound_to: str) -> bytes:
    """Return a new challenge for this browser and, if named, for one session and account."""
    return _signer(settings).dumps([opaque.new_value(), _subject(purpose, bound_to)]).encode()


def spend(settings: Settings, challenge: bytes, purpose: Purpose, *bound_to: str) -> None:
    """Use a challenge in the caller's transaction: of any number of requests, exactly one gets it.

    Raises:
        PasskeyError: it was not drawn for this browser, purpose, session and account, is too old, or was used.
    """
    try:
        content, drawn_at = _signer(settings).loads(challenge.decode(), int(LIFETIME.total_seconds()) - 1)
        subject = str(content[1])
    except (opaque.InvalidValueError, UnicodeDecodeError, TypeError, IndexError, KeyError) as error:
        raise PasskeyError("late") from error
    if not hmac.compare_digest(subject, _subject(purpose, bound_to)):
        raise PasskeyError("late")
    spending = upsert(SpentChallenge).values(digest=opaque.digest(challenge.decode()), expires_at=drawn_at + LIFETIME)
    first = db.session.scalar(spending.on_conflict_do_nothing().returning(SpentChallenge.digest))
    if first is None:
        raise PasskeyError("late")


def _subject(purpose: Purpose, bound_to: tuple[str, ...]) -> str:
    return opaque.digest(" ".join((purpose.value, browser.binding(), *bound_to))).hex()


def _signer(settings: Settings) -> opaque.Signer:
    return opaque.signer(settings.secrets, "passkey challenge")


LONGEST_NAME = 60
_HANDLE_BYTES = 32


@dataclass(frozen=True)
class Proof:
    """A passkey proved that its account's person is here.

    `generation` is the account's when the key was read. `is_copyable` says that the key may be on more devices.
    """

    account_id: uuid.UUID
    generation: int
    key_id: uuid.UUID
    is_copyable: bool


def of_account(account_id: uuid.UUID) -> Sequence[Passkey]:
    """Return the passkeys of an account, the oldest first."""
    return db.session.scalars(
        select(Passkey).where(Passkey.account_id == account_id).order_by(Passkey.created_at, Passkey.id)
    ).all()


def count(account_id: uuid.UUID) -> int:
    """Return the number of passkeys of an account."""
    return db.session.scalar(select(func.count(Passkey.id)).where(Passkey.account_id == account_id)) or 0


def holders(account_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of some accounts that have a passkey."""
    return set(db.session.scalars(select(Passkey.account_id).where(Passkey.account_id.in_(account_ids)).distinct()))


def record_offer(account_id: uuid.UUID) -> bool:
    """Record that passkeys are offered to the person; return False if they were before, or cannot be.

    They are offered once, and only if a mail can tell the person of a new passkey.
    """
    if db.session.scalar(select(PasskeyUser.account_id).where(PasskeyUser.account_id == account_id)):
        return False
    with unit_of_work():
        return _note_user(account_id)


def may_be_added(account: Account) -> bool:
    """Return whether a mail can tell the person of a new passkey: without one, nobody adds any."""
    return account.email is not None


def _note_user(account_id: uuid.UUID) -> bool:
    """Give an account its user handle, in the caller's transaction.

    Return False if it has one, is gone, or has no confirmed address.
    """
    is_there = select(Account.id).where(Account.id == account_id, Account.email.is_not(None))
    if db.session.scalar(is_there.with_for_update(read=True, key_share=True)) is None:
        return False
    noting = upsert(PasskeyUser).values(
        account_id=account_id, handle=secrets.token_bytes(_HANDLE_BYTES), offered_at=now()
    )
    return db.session.scalar(noting.on_conflict_do_nothing().returning(PasskeyUser.account_id)) is not None


def begin_to_add(settings: Settings, account: Account, session_id: uuid.UUID) -> str:
    """Return the options with which the browser of a session makes a passkey for an account, in JSON.

    Raises:
        PasskeyError: the account has no confirmed address, or was erased meanwhile.
    """
    if not may_be_added(account):
        raise PasskeyError
    with unit_of_work():
        _note_user(account.id)
    handle = db.session.scalar(select(PasskeyUser.handle).where(PasskeyUser.account_id == account.id))
    if handle is None:
        raise PasskeyError
    challenge = draw(settings, Purpose.ADD, *_bound(account.id, session_id))
    user = User(handle, account.username, account.short_name)
    known = [key.credential_id for key in of_account(account.id)]
    return ceremony.registration_options(_party(settings), user, challenge, known)


def add(
    settings: Settings, account: Account, session_id: uuid.UUID, answer: str, name: str, *, by_itself: bool = False
) -> None:
    """Store the passkey of a browser's answer, in the caller's transaction, which has locked the account's row.

    `by_itself`: see `ceremony.verify_registration`.

    Raises:
        PasskeyError: the answer proves nothing, is of another session or account, there are too many passkeys, or no
            mail can tell of one more.
    """
    if not may_be_added(account):
        raise PasskeyError
    parsed = ceremony.parse(answer)
    spend(settings, parsed.challenge, Purpose.ADD, *_bound(account.id, session_id))
    verified = ceremony.verify_registration(_party(settings), parsed, by_itself=by_itself)
    if count(account.id) >= MOST_KEYS:
        raise PasskeyError
    adding = upsert(Passkey).values(
        id=uuid.uuid4(),
        account_id=account.id,
        name=name,
        credential_id=verified.credential_id,
        public_key=verified.public_key,
        sign_count=verified.sign_count,
        is_backup_eligible=verified.is_backup_eligible,
        is_backed_up=verified.is_backed_up,
        created_at=now(),
    )
    if db.session.scalar(adding.on_conflict_do_nothing().returning(Passkey.id)) is None:
        raise PasskeyError  # another account has a key with this id
    log.record(PasskeyChanged(account_id=account.id, change="added", by="person"))
    notices.tell(Notice.PASSKEY_ADDED, account.id, device=describe_device(user_agent()).code)


def begin_sign_in(settings: Settings) -> str:
    """Return the options with which this browser signs in by any of its passkeys, in JSON; nothing is stored."""
    return ceremony.authentication_options(_party(settings), draw(settings, Purpose.SIGN_IN))


def authenticate(settings: Settings, answer: str) -> Proof:
    """Return what a browser's answer proves, and count the use of the key, in the caller's transaction.

    Raises:
        PasskeyError: the answer proves nothing.
    """
    parsed = ceremony.parse(answer)
    spend(settings, parsed.challenge, Purpose.SIGN_IN)
    row = _find(parsed)
    if row is None:
        raise PasskeyError("unknown")
    key, handle, generation = row
    if parsed.user_handle != handle:  # WebAuthn 7.2, step 6: nobody was named before, so the answer must
        raise PasskeyError
    verified = ceremony.verify_authentication(_party(settings), parsed, key)
    if verified.is_backup_eligible != key.is_backup_eligible:
        raise PasskeyError("changed")
    counted = db.session.scalar(
        update(Passkey)
        .where(Passkey.id == key.id, Passkey.sign_count == key.sign_count)
        .values(sign_count=verified.sign_count, is_backed_up=verified.is_backed_up, last_used_at=now())
        .returning(Passkey.id)
        .execution_options(synchronize_session=False)
    )
    if counted is None:  # another request used the same count
        raise PasskeyError("cloned")
    return Proof(key.account_id, generation, key.id, is_copyable=key.is_backup_eligible)


def owner_of(answer: str) -> uuid.UUID | None:
    """Return the account whose passkey an answer names, for the journal: the answer may prove nothing."""
    try:
        row = _find(ceremony.parse(answer))
    except PasskeyError:
        return None
    return row[0].account_id if row else None


def signal_unknown(settings: Settings, answer: str) -> dict[str, str]:
    """Return the argument of `signalUnknownCredential`: the browser offers the key of an answer no more."""
    credential_id = ceremony.parse(answer).credential_id
    return {"rpId": _party(settings).host, "credentialId": ceremony.as_text(credential_id)}


def signal_accepted(settings: Settings, known: Sequence[Passkey]) -> dict[str, Any]:
    """Return the argument of `signalAllAcceptedCredentials`; empty if an account has none of the `known` passkeys."""
    if not known:
        return {}
    handle = db.session.execute(select(PasskeyUser.handle).where(PasskeyUser.account_id == known[0].account_id))
    ids = [ceremony.as_text(key.credential_id) for key in known]
    user = ceremony.as_text(handle.scalar_one())
    return {"rpId": _party(settings).host, "userId": user, "allAcceptedCredentialIds": ids}


def is_there(proof: Proof) -> bool:
    """Return whether the key of a proof has not been removed since."""
    return db.session.scalar(select(Passkey.id).where(Passkey.id == proof.key_id)) is not None


@unit_of_work()
def rename(account_id: uuid.UUID, key_id: uuid.UUID, name: str) -> bool:
    """Give a passkey another name; return whether the account has it."""
    naming = update(Passkey).where(Passkey.id == key_id, Passkey.account_id == account_id).values(name=name)
    return db.session.scalar(naming.returning(Passkey.id)) is not None


def remove(account_id: uuid.UUID, key_id: uuid.UUID) -> bool:
    """Remove a passkey at its person's wish, in the caller's transaction; return whether the account had it."""
    removing = delete(Passkey).where(Passkey.id == key_id, Passkey.account_id == account_id)
    if db.session.scalar(removing.returning(Passkey.id)) is None:
        return False
    log.record(PasskeyChanged(account_id=account_id, change="removed", by="person"))
    notices.tell(Notice.PASSKEY_REMOVED, account_id, by="person")
    return True


def remove_all(account_id: uuid.UUID, *, by: str, reason: str = "", mailed: bool = True) -> int:
    """Remove the passkeys of an account in the caller's transaction; return their number.

    Args:
        account_id: the account.
        by: the cause, for the journal; see `PasskeyChanged`.
        reason: why an operator does it.
        mailed: whether a mail tells the person; another mail may do so.
    """
    removing = delete(Passkey).where(Passkey.account_id == account_id).returning(Passkey.id)
    removed = len(db.session.scalars(removing.execution_options(synchronize_session=False)).all())
    if removed:
        log.record(PasskeyChanged(account_id=account_id, change="removed", by=by, count=removed, reason=reason))
        if mailed:
            notices.tell(Notice.PASSKEY_REMOVED, account_id, by=by)
    return removed


def tell_new_password(account_id: uuid.UUID, *, removes: bool) -> None:
    """Tell the person of a new password, in the caller's transaction, and of the passkeys that it removes or keeps."""
    removed = remove_all(account_id, by="person", mailed=False) if removes else 0
    kept = count(account_id)
    notices.tell(Notice.PASSWORD_CHANGED, account_id, passkeys=str(kept), removed_passkeys=str(removed))


def _find(answer: Answer) -> tuple[Passkey, bytes, int] | None:
    row = db.session.execute(
        select(Passkey, PasskeyUser.handle, Account.generation)
        .join(PasskeyUser, PasskeyUser.account_id == Passkey.account_id)
        .join(Account, Account.id == Passkey.account_id)
        .where(Passkey.credential_id == answer.credential_id)
        .execution_options(populate_existing=True)
    ).one_or_none()
    return (row[0], row[1], row[2]) if row else None


def _bound(account_id: uuid.UUID, session_id: uuid.UUID) -> tuple[str, str]:
    return account_id.hex, session_id.hex


def _party(settings: Settings) -> RelyingParty:
    return RelyingParty(settings.issuer, settings.service_name)
