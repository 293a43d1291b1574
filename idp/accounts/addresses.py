"""The step from an address that was typed to an address that is confirmed, shared by every flow that asks for one."""

import uuid

from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString

from idp.accounts import directory, tokens
from idp.accounts.models import Account, OneTimeLink
from idp.accounts.tokens import Purpose
from idp.audit import log
from idp.audit.events import EmailConfirmed, EmailLinkSent
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.mail.addresses import AddressFault, InvalidAddress, fold_address
from idp.outbox import queue
from idp.throttle import guard, limits

CONFIRM_EMAIL = "confirm_email"
"""The kind of outbox message that carries a link to confirm an address; its payload names the link's row."""


def take_slots(account_id: uuid.UUID, address: str, network_address: str, *, corrected: bool = False) -> int:
    """Count a mail for the account, the mailbox and the network address, or for none of them.

    A `corrected` address is counted for the account in a line of its own, without the pause of a resend.
    Returns the seconds to wait, 0 when the mail may go. No transaction may be open on `db.session`.
    """
    verdict = guard.take_all(
        (limits.CORRECT_ADDRESS if corrected else limits.RESEND_LINK_ACCOUNT, str(account_id)),
        (limits.RESEND_LINK_MAILBOX, fold_address(address)),
        (limits.RESEND_LINK_ADDRESS, network_address),
    )
    return verdict.seconds if isinstance(verdict, guard.Wait) else 0


def send_link(settings: Settings, account: Account, client_id: uuid.UUID | None) -> OneTimeLink:
    """Issue a link for the account's pending address and put its mail in the outbox, in the caller's transaction."""
    address = account.pending_email
    if address is None:
        raise ValueError("no address waits for confirmation")
    link = tokens.issue(
        settings,
        Purpose.CONFIRM_EMAIL,
        account,
        address=address,
        lifetime=settings.lifetime("email_link_lifetime"),
        client_id=client_id,
    )
    queue.enqueue(CONFIRM_EMAIL, {"link": str(link.id)})
    log.record(EmailLinkSent(account_id=account.id, client_id=client_id, mail_domain=address.rpartition("@")[2]))
    return link


def confirm(value: str) -> OneTimeLink | None:
    """Use the link `value` and make its address the account's, in one transaction; None when it is not alive."""
    row = tokens.look_up(Purpose.CONFIRM_EMAIL, value).row
    # The account's row is locked before its links, in the same order as where links are issued: no deadlock.
    account = directory.get_for_change(row.account_id) if row else None
    link = tokens.redeem(Purpose.CONFIRM_EMAIL, value) if account else None
    if account is None or link is None or account.pending_email != link.address:
        db.session.rollback()
        return None
    account.email, account.email_confirmed_at, account.pending_email = link.address, now(), None
    log.record(
        EmailConfirmed(
            account_id=link.account_id, client_id=link.client_id, mail_domain=link.address.rpartition("@")[2]
        )
    )
    db.session.commit()
    return link


def explain(fault: InvalidAddress) -> LazyString:
    """Return the sentence that tells a person what is wrong with the address that they typed."""
    match fault.reason:
        case AddressFault.INCOMPLETE:
            return _("Il manque une partie de l’adresse. Elle ressemble à : prenom.nom@exemple.fr")
        case AddressFault.NOT_ASCII:
            return _("Une adresse mail n’a pas d’accent avant le signe @. Vérifiez chaque lettre.")
        case AddressFault.TOO_LONG:
            return _("Cette adresse est trop longue : 254 caractères au plus.")
        case _:
            return _("Cette adresse n’est pas écrite comme une adresse mail. Vérifiez chaque lettre, sans espace.")
