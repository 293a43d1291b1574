"""« Ce n’était pas moi »: the link of a confirmed mailbox that stops a change of address, or undoes one that is done.

Whoever asked for the change knew the password: it opens nothing from here on, and every session ends. The link gives
its holder no control: it signs nobody in and shows nothing. When a change is undone, nothing is recovered by mail for
as long as such links live, since the former mailbox may be the stolen one: the school decides between the two
(security row E-05, trade-off 4).
"""

import uuid
from dataclasses import dataclass

from sqlalchemy import or_, select, update

from idp.accounts import addresses, directory, notices, school_notices, tokens
from idp.accounts.models import Account, OneTimeLink, School
from idp.accounts.notices import Notice
from idp.accounts.school_notices import Kind
from idp.accounts.tokens import LinkState, Purpose
from idp.audit import log
from idp.audit.events import EmailChangeContested
from idp.clock import now
from idp.config import Settings
from idp.db import db, end_read
from idp.sessions import manager


@dataclass(frozen=True)
class Alarm:
    """What the page of a link may tell.

    Attributes:
        state: what the link turns out to be.
        changed: the address is no longer the one that the link was sent to: it would be put back.
        closed: until the school opens the account, or time does, no password is recovered by mail.
        schools: those that hear of it.
    """

    state: LinkState
    changed: bool = False
    closed: bool = False
    schools: tuple[School, ...] = ()


def look(value: str) -> Alarm:
    """Say what the link `value` is, and change nothing."""
    link = tokens.look_up(Purpose.CONTEST_EMAIL, value)
    account = db.session.get(Account, link.row.account_id, populate_existing=True) if link.row else None
    schools = tuple(directory.schools(account)) if account else ()
    end_read()
    if link.row is None or account is None:
        return Alarm(LinkState.DEAD)
    changed = account.email != link.row.address
    return Alarm(link.state, changed=changed, closed=addresses.is_frozen(account), schools=schools)


def stop(settings: Settings, value: str) -> bool:
    """Use the link `value`: stop the change, or undo it, in one transaction. False, and nothing done, when it is dead.

    Of two clicks one acts; `look` then says USED to both.
    """
    row = tokens.look_up(Purpose.CONTEST_EMAIL, value).row
    account = directory.get_for_change(row.account_id) if row else None
    link = tokens.redeem(Purpose.CONTEST_EMAIL, value) if account else None
    if account is None or link is None:
        db.session.rollback()
        return False
    undone = account.email != link.address
    _close(account, link)
    if undone:
        _put_back(settings, account, link)
    notices.tell(Notice.EMAIL_CHANGE_STOPPED, account.id)
    schools = directory.schools(account)
    school_notices.add(Kind.EMAIL_CONTESTED, account.id, [school.id for school in schools])
    log.record(
        EmailChangeContested(account_id=account.id, undone=undone, uais=[school.uai for school in schools]),
    )
    db.session.commit()
    return True


def _close(account: Account, link: OneTimeLink) -> None:
    """Let nothing go on that the password opened or a mail could open."""
    account.pending_email = None
    account.password_blocked_at = now()
    account.generation += 1
    tokens.revoke(account.id, Purpose.CHANGE_EMAIL, Purpose.RESET_PASSWORD)
    _revoke_younger_alarms(link)
    manager.end_all(account.id, by="contested")


def _revoke_younger_alarms(link: OneTimeLink) -> None:
    """Revoke the other links « Ce n’était pas moi », but those that an earlier mailbox of the account holds.

    An intruder whose address was confirmed gets such links too, at the next change: they must not silence the owner's.
    """
    db.session.execute(
        update(OneTimeLink)
        .where(
            OneTimeLink.account_id == link.account_id,
            OneTimeLink.purpose == Purpose.CONTEST_EMAIL.value,
            OneTimeLink.used_at.is_(None),
            OneTimeLink.revoked_at.is_(None),
            or_(OneTimeLink.created_at >= link.created_at, OneTimeLink.address == link.address),
        )
        .values(revoked_at=now())
    )


def _put_back(settings: Settings, account: Account, link: OneTimeLink) -> None:
    """Give the account its former address again, tell the other one, and leave the rest to the school."""
    moment = now()
    withdrawn = _link_of(account.id, account.email)
    account.email, account.email_confirmed_at = link.address, moment
    account.recovery_frozen_until = moment + settings.lifetime("contest_link_lifetime")
    if withdrawn:
        notices.tell(Notice.EMAIL_CHANGE_STOPPED, account.id, link=withdrawn)


def _link_of(account_id: uuid.UUID, address: str | None) -> OneTimeLink | None:
    """Return the link by which `address` became the account's."""
    return db.session.scalar(
        select(OneTimeLink)
        .where(
            OneTimeLink.account_id == account_id,
            OneTimeLink.purpose == Purpose.CHANGE_EMAIL.value,
            OneTimeLink.address == address,
            OneTimeLink.used_at.is_not(None),
        )
        .order_by(OneTimeLink.used_at.desc())
        .limit(1)
    )
