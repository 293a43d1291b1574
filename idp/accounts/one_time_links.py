"""One-time links, which confirm that a person reads a mailbox.

A valid link becomes used (once, by one atomic statement), revoked (by a younger link of the same purpose), expired, or
outdated (the account's credentials changed). These conditions are written here alone: `unused`, `is_unused`, `is_used`,
`is_current`, `is_alive` and the statement of `redeem`.

A link is bound to purpose, account, email and generation, so that no other flow accepts its token. The token is not
stored: it is computed from the row's id under a key derived from `IDP_SECRET_KEY`. So the worker can repeat a mail with
the same link, and a copy of the database contains no token.

The mail of a first email has a code of six digits beside its link, for the browser that asked for the mail. It is
computed from the same id under another key. Its tries are counted before it is compared (`limits.EMAIL_CODE`).
"""

import enum
import hmac
import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, ForeignKey, Index, String, and_, exists, select, update
from sqlalchemy.orm import Mapped, mapped_column

from idp import opaque
from idp.accounts.models import Account
from idp.clock import now
from idp.config import Settings
from idp.db import Base, UuidKey, db
from idp.personal import DIGEST, GENERATION, OWN, shown

_TOKEN_LENGTH = 43
_TOKEN = re.compile(rf"[\w-]{{{_TOKEN_LENGTH}}}", re.ASCII)
CODE_DIGITS = 6


class OneTimeLink(UuidKey, Base):
    """A link sent by mail, valid once, for one act of one account at one email.

    `digest` is its token's. It is valid until `used_at`, `revoked_at` or `expires_at`, for the account's `generation`.
    """

    __tablename__ = "one_time_link"
    __table_args__ = (Index("ix_one_time_link_account_id_purpose", "account_id", "purpose"),)

    digest: Mapped[bytes] = mapped_column(unique=True, info=DIGEST)
    purpose: Mapped[str] = mapped_column(String(30), info=shown("Usage"))
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("account.id"), info=OWN)
    client_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("client.id"), info=shown("ENT"))
    email: Mapped[str] = mapped_column(String(254), info=shown("Adresse mail"))
    generation: Mapped[int] = mapped_column(info=GENERATION)
    created_at: Mapped[datetime] = mapped_column(default=now, info=shown("Demandé le"))
    expires_at: Mapped[datetime] = mapped_column(index=True, info=shown("Fin"))
    used_at: Mapped[datetime | None] = mapped_column(info=shown("Utilisé le"))
    revoked_at: Mapped[datetime | None] = mapped_column(info=shown("Annulé le"))


class Purpose(enum.Enum):
    """The purpose of a link. Its value is part of the input from which the token is computed."""

    CONFIRM_EMAIL = "confirm_email"  # confirm the first email of an account, given at its activation
    CHANGE_EMAIL = "change_email"  # confirm another email in place of a confirmed one
    CONTEST_EMAIL = "contest_email"
    """« Ce n’était pas moi »: contest a change of email; sent to the confirmed or former email. It still works after a
    change of password, because an intruder would change the password next."""
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a purpose
    """Set a new password in place of a forgotten one."""
    REPORT_ACTIVATION = "report_activation"
    """« Ce n’est pas moi »: report an activation; sent to the email of the school's file if the account was activated
    with another one. It still works after a change of password, because an intruder may change the password at once."""

    @property
    def outlives_credentials(self) -> bool:
        """Whether the link works after the account's password was changed."""
        return self in {Purpose.CONTEST_EMAIL, Purpose.REPORT_ACTIVATION}


class LinkState(enum.Enum):
    """The state of a link, for the page that it opens."""

    ALIVE = "alive"
    USED = "used"
    DEAD = "dead"


@dataclass(frozen=True)
class Link:
    """A link and its state; `row` is None if no such token was issued for the purpose."""

    state: LinkState
    row: OneTimeLink | None


def issue(
    settings: Settings,
    purpose: Purpose,
    account: Account,
    *,
    email: str,
    lifetime: timedelta,
    client_id: uuid.UUID | None = None,
    key: uuid.UUID | None = None,
    keep_older: bool = False,
) -> OneTimeLink:
    """Add a link to the caller's transaction, and revoke the older links of the same purpose.

    Args:
        settings: For the secret key.
        purpose: The purpose.
        account: The account; the caller has locked its row.
        email: The email that the link is sent to and is about.
        lifetime: How long the link works.
        client_id: Primary key of the ENT that the pages lead back to.
        key: The id of the link, if something else has it too (the outbox message of the mail).
        keep_older: Do not revoke older links, because each is about another event.
    """
    if not keep_older:
        revoke(account.id, purpose)
    moment, key = now(), key or uuid.uuid4()
    link = OneTimeLink(
        id=key,
        digest=opaque.digest(_token(settings.secrets[0], purpose.value, key)),
        purpose=purpose.value,
        account_id=account.id,
        client_id=client_id,
        email=email,
        generation=account.generation,
        created_at=moment,
        expires_at=moment + lifetime,
    )
    db.session.add(link)
    return link


def revoke(account_id: uuid.UUID, *purposes: Purpose) -> None:
    """Revoke the account's links of `purposes`, in the caller's transaction."""
    db.session.execute(
        update(OneTimeLink)
        .where(
            OneTimeLink.account_id == account_id,
            OneTimeLink.purpose.in_([purpose.value for purpose in purposes]),
            unused(),
        )
        .values(revoked_at=now())
    )


def token(settings: Settings, link: OneTimeLink) -> str | None:
    """Return the token of `link`, or None if its secret key is no longer configured."""
    secret = _secret_of(settings, link)
    return _token(secret, link.purpose, link.id) if secret else None


def code(settings: Settings, link: OneTimeLink) -> str | None:
    """Return the code of `link`, six digits, or None if its secret key is no longer configured."""
    secret = _secret_of(settings, link)
    if secret is None:
        return None
    key = opaque.derive_key(secret, "one-time code")
    number = int.from_bytes(opaque.keyed_digest(key, f"{link.purpose}:{link.id.hex}"))
    return f"{number % 10**CODE_DIGITS:0{CODE_DIGITS}}"


def is_code(settings: Settings, link: OneTimeLink, typed: str) -> bool:
    """Return whether `typed` is the code of `link`. The caller has counted the try."""
    expected = code(settings, link)
    return expected is not None and hmac.compare_digest(expected.encode(), typed.encode("utf-8", "replace"))


def find_alive(purpose: Purpose, account_id: uuid.UUID) -> OneTimeLink | None:
    """Return the youngest link of the account that works, or None."""
    links = db.session.scalars(
        select(OneTimeLink)
        .where(OneTimeLink.account_id == account_id, OneTimeLink.purpose == purpose.value, unused())
        .order_by(OneTimeLink.created_at.desc())
        .execution_options(populate_existing=True)
    )
    return next(filter(is_alive, links.all()), None)


def is_complete(value: str) -> bool:
    """Return whether a text has the form of a token: a mail program may have cut or changed the link."""
    return _TOKEN.fullmatch(value) is not None


def look_up(purpose: Purpose, value: str) -> Link:
    """Return the link whose token is `value`, without using it: mail scanners open links too."""
    row = _find(purpose, value)
    if row is None:
        return Link(LinkState.DEAD, None)
    if is_used(row):
        return Link(LinkState.USED, row)
    if is_alive(row):
        return Link(LinkState.ALIVE, row)
    # another request may have used it, and so changed the account, between the two reads
    row = _find(purpose, value) or row
    return Link(LinkState.USED if is_used(row) else LinkState.DEAD, row)


def unused() -> ColumnElement[bool]:
    """Return the condition of the links that were neither used nor revoked, whatever their age."""
    return and_(OneTimeLink.used_at.is_(None), OneTimeLink.revoked_at.is_(None))


def is_unused(link: OneTimeLink) -> bool:
    """Return whether a link, as it was read, was neither used nor revoked, whatever its age."""
    return not is_used(link) and link.revoked_at is None


def is_used(link: OneTimeLink) -> bool:
    """Return whether a link, as it was read, was used."""
    return link.used_at is not None


def is_current(link: OneTimeLink, account: Account) -> bool:
    """Return whether the account's credentials did not change after the link was issued."""
    return link.generation == account.generation


def has_set_password(link: OneTimeLink, account: Account) -> bool:
    """Return whether a link of a forgotten password was used, and the password that it set is still the account's."""
    return (
        link.purpose == Purpose.RESET_PASSWORD.value and is_used(link) and account.changed_once_since(link.generation)
    )


def is_mostly_over(link: OneTimeLink, lifetime: timedelta) -> bool:
    """Return whether less than half of the lifetime is left, so that a mail sent now needs a new one."""
    return link.expires_at - now() < lifetime / 2


def is_alive(link: OneTimeLink) -> bool:
    """Return whether a link works: neither used, revoked nor expired, and its account is enabled and unchanged."""
    generation = db.session.scalar(
        select(Account.generation).where(Account.id == link.account_id, Account.where_enabled(now()))
    )
    if generation is None or not is_unused(link) or link.expires_at <= now():
        return False
    return Purpose(link.purpose).outlives_credentials or link.generation == generation


def redeem(purpose: Purpose, value: str) -> OneTimeLink | None:
    """Use the link in the caller's transaction. Exactly one caller gets the row, all others None."""
    if len(value) != _TOKEN_LENGTH:
        return None
    moment = now()
    generation = Account.generation if purpose.outlives_credentials else OneTimeLink.generation
    return db.session.scalar(
        update(OneTimeLink)
        .where(
            OneTimeLink.digest == opaque.digest(value),
            OneTimeLink.purpose == purpose.value,
            unused(),
            OneTimeLink.expires_at > moment,
            exists().where(
                Account.id == OneTimeLink.account_id,
                Account.where_enabled(moment),
                Account.generation == generation,
            ),
        )
        .values(used_at=moment)
        .returning(OneTimeLink)
        .execution_options(synchronize_session=False, populate_existing=True)
    )


def _find(purpose: Purpose, value: str) -> OneTimeLink | None:
    if len(value) != _TOKEN_LENGTH:
        return None
    return db.session.scalar(
        select(OneTimeLink)
        .where(OneTimeLink.digest == opaque.digest(value), OneTimeLink.purpose == purpose.value)
        .execution_options(populate_existing=True)
    )


def _secret_of(settings: Settings, link: OneTimeLink) -> bytes | None:
    """Return the secret key under which `link` was issued, or None if it is no longer configured."""
    for secret in settings.secrets:
        if opaque.digest(_token(secret, link.purpose, link.id)) == link.digest:
            return secret
    return None


def _token(secret: bytes, purpose: str, key: uuid.UUID) -> str:
    return opaque.keyed_value(opaque.derive_key(secret, "one-time link"), f"{purpose}:{key.hex}")
