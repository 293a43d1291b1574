"""The links by which a mailbox says « Ce n’était pas moi ». GET shows a button and changes nothing, POST acts.

`/adresse/signalement/<token>`: the mailbox of the school's file says that somebody else activated the account with the
letter. The account stays as it is, and the school decides.

`/adresse/contestation/<token>`: a confirmed mailbox stops a change of address, or contests one that is done.

The person who asked for the change knew the password: the password is blocked, and every session ends. No link gives
control of the account: it signs nobody in and shows nothing of the account.

A change that still waits is stopped: the confirmed address stays, and the account is recovered by mail. A change that
was applied is contested: either mailbox may be the intruder's, so that no mail to either recovers the account. There is
no time limit: the school settles the dispute, or a new letter is used (security row E-05, trade-off 4).

If the former mailbox is, or was, another account's too, its reader may be the other parent, whom the person has left
there: an applied change is contested, and the password and the passkeys stay valid (security row E-12).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus

from flask import Blueprint, Response, request, url_for
from sqlalchemy import or_, update

from idp.accounts import closing_acts, directory, mailboxes, notices, one_time_links, school_notices
from idp.accounts.models import Account, School
from idp.accounts.notices import Notice
from idp.accounts.one_time_links import Link, LinkState, OneTimeLink, Purpose
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.credential_events import EmailChangeContested
from idp.audit.events import ActivationReported
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.passkeys import keys
from idp.services import services
from idp.sessions import guard, manager
from idp.web.redirects import render_page, see_other


class Standing(Enum):
    """The state of the account's address, seen from the mailbox of the link."""

    OURS = "ours"  # the account's address is this mailbox
    CHANGED = "changed"  # the account has another address, and nobody contests it
    CONTESTED = "contested"  # the address is contested until the school decides


@dataclass(frozen=True)
class Alarm:
    """The values that the page of a link may show.

    `shared` says that the password stays valid if the link contests an applied change. The schools decide.
    """

    state: LinkState
    standing: Standing = Standing.OURS
    shared: bool = False
    schools: Sequence[School] = ()


def look(value: str) -> Alarm:
    """Return the values that the page of the link `value` may show; change nothing."""
    link = one_time_links.look_up(Purpose.CONTEST_EMAIL, value)
    account = _account_of(link)
    if link.row is None or account is None:
        return Alarm(LinkState.DEAD)
    shared = link.state is LinkState.USED or mailboxes.is_read_by_another_person(account, link.row.email)
    return Alarm(
        link.state,
        _standing(account, link.row),
        shared and not account.has_blocked_password,
        directory.schools_of_ties(account),
    )


def look_at_report(value: str) -> Alarm:
    """Return the values that the page of the link `value` about an activation may show; change nothing."""
    link = one_time_links.look_up(Purpose.REPORT_ACTIVATION, value)
    account = _account_of(link)
    return Alarm(link.state, schools=directory.schools(account)) if account else Alarm(LinkState.DEAD)


def _account_of(link: Link) -> Account | None:
    return db.session.get(Account, link.row.account_id, populate_existing=True) if link.row else None


def _redeem(purpose: Purpose, value: str) -> tuple[Account, OneTimeLink] | None:
    row = one_time_links.look_up(purpose, value).row
    account = directory.get_for_change(row.account_id) if row else None
    link = one_time_links.redeem(purpose, value) if account else None
    return (account, link) if account and link else None


@unit_of_work()
def report(value: str) -> bool:
    """Use the link `value` and write a notice for each school; return False if the link does not work.

    Of two clicks one acts; `look_at_report` then returns USED for both.
    """
    redeemed = _redeem(Purpose.REPORT_ACTIVATION, value)
    if redeemed is None:
        return False
    account, _ = redeemed
    schools = directory.schools(account)
    school_notices.add(Kind.OTHER_MAILBOX, account.id, [school.id for school in schools])
    log.record(ActivationReported(account_id=account.id, uais=[school.uai for school in schools]))
    return True


def _standing(account: Account, link: OneTimeLink) -> Standing:
    if account.has_contested_email:
        return Standing.CONTESTED
    return Standing.OURS if account.email == link.email else Standing.CHANGED


@unit_of_work()
def stop(settings: Settings, value: str) -> bool:
    """Use the link `value`: stop the change, or contest it, in one transaction; return False if it does not work.

    Of two clicks one acts; `look` then returns USED for both.
    """
    redeemed = _redeem(Purpose.CONTEST_EMAIL, value)
    if redeemed is None:
        return False
    account, link = redeemed
    applied = account.email != link.email
    shared = applied and mailboxes.is_read_by_another_person(account, link.email)
    if not shared:
        _block(account)
    _end_all(account, link)
    if applied:
        _contest(settings, account, link.email)
    elif not account.has_contested_email:
        notices.tell(Notice.EMAIL_CHANGE_STOPPED, account.id)
    schools = directory.schools_of_ties(account)
    kind = Kind.EMAIL_CONTESTED if account.has_contested_email else Kind.EMAIL_CHANGE_STOPPED
    school_notices.add(kind, account.id, [school.id for school in schools])
    log.record(
        EmailChangeContested(account_id=account.id, applied=applied, uais=[school.uai for school in schools]),
    )
    return True


def _block(account: Account) -> None:
    """Block the password and remove the passkeys: the person who asked for the change may know and own them."""
    keys.remove_all(account.id, by="contested", mailed=False)
    account.block_password()


def _end_all(account: Account, link: OneTimeLink) -> None:
    account.pending_email = None
    account.credentials_changed()
    one_time_links.revoke(account.id, Purpose.CHANGE_EMAIL, Purpose.RESET_PASSWORD)
    _revoke_younger_alarms(link)
    manager.end_all(account.id, by="contested")


def _revoke_younger_alarms(link: OneTimeLink) -> None:
    """Revoke the other links « Ce n’était pas moi », except those that an earlier mailbox of the account received.

    An intruder whose address was confirmed also receives such links, at the next change: using them must not revoke the
    owner's.
    """
    db.session.execute(
        update(OneTimeLink)
        .where(
            OneTimeLink.account_id == link.account_id,
            OneTimeLink.purpose == Purpose.CONTEST_EMAIL.value,
            one_time_links.unused(),
            or_(OneTimeLink.created_at >= link.created_at, OneTimeLink.email == link.email),
        )
        .values(revoked_at=now())
    )


def _contest(settings: Settings, account: Account, former: str) -> None:
    """Contest the present address. Tell both by mail, or the present one alone if the account stays open."""
    closing_acts.contest(account.id, former)
    closed, present = account.is_barred, account.email or former
    for email in sorted({former, present} if closed else {present}):
        notices.tell_at(settings, Notice.EMAIL_CONTESTED if closed else Notice.EMAIL_QUESTIONED, account, email)


blueprint = Blueprint("email_contest", __name__)

# The page of a used link « Ce n’était pas moi ».
_AFTER = {
    Standing.OURS: "pas_moi_fait.html",
    Standing.CONTESTED: "pas_moi_ferme.html",
    Standing.CHANGED: "pas_moi_regle.html",
}
_REPORTED = {
    LinkState.ALIVE: "activation_autre.html",
    LinkState.USED: "activation_autre_fait.html",
    LinkState.DEAD: "activation_autre_expire.html",
}


@blueprint.route("/adresse/contestation/<token>", methods=["GET", "POST"])
def alarm(token: str) -> Response:
    """Ask whether to stop the change; on a POST stop it. The page signs nobody in and shows nothing of the account."""
    return _answer(token, lambda value: stop(services().settings, value), look, _alarm_page)


@blueprint.route("/adresse/signalement/<token>", methods=["GET", "POST"])
def activation(token: str) -> Response:
    """Ask whether somebody else activated the account; on a POST tell the schools. The page signs nobody in."""
    return _answer(token, report, look_at_report, lambda seen: _REPORTED[seen.state])


def _answer(
    token: str, use: Callable[[str], bool], look_again: Callable[[str], Alarm], page: Callable[[Alarm], str]
) -> Response:
    """Use the link after a POST. Two clicks are redirected to the same page, which shows what the first one did."""
    guard.refuse_incomplete_link(token)
    is_used = request.method == "POST" and use(token)
    seen = look_again(token)
    if is_used or (request.method == "POST" and seen.state is LinkState.USED):
        return see_other(url_for(request.endpoint or "", token=token))
    if seen.state is LinkState.DEAD:
        guard.count_bad_link()
    return render_page(
        f"email_confirmation/{page(seen)}",
        HTTPStatus.GONE if seen.state is LinkState.DEAD else HTTPStatus.OK,
        dest=None,
        applied=seen.standing is not Standing.OURS,
        shared=seen.shared,
        schools=directory.tellable(seen.schools),
        hours=services().settings.contest_link_lifetime // 3600,
        forgotten_password_url=url_for("recovery.password"),
    )


def _alarm_page(seen: Alarm) -> str:
    if seen.state is LinkState.USED:
        is_open = seen.shared and seen.standing is Standing.CONTESTED
        return "pas_moi_signale.html" if is_open else _AFTER[seen.standing]
    return "pas_moi.html" if seen.state is LinkState.ALIVE else "pas_moi_expire.html"
