"""« Ce n’est pas moi », from the mailbox of the school's file: somebody else activated the account with the letter.

The link gives no control of the account: the account stays as it is, and the school decides.
"""

from dataclasses import dataclass

from idp.accounts import directory, one_time_links, school_notices
from idp.accounts.models import Account, School
from idp.accounts.one_time_links import LinkState, Purpose
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.events import ActivationReported
from idp.db import db, unit_of_work


@dataclass(frozen=True)
class Report:
    """The values that the page of a link may show.

    Attributes:
        state: the state of the link.
        schools: the schools that are told.
    """

    state: LinkState
    schools: tuple[School, ...] = ()


def look(value: str) -> Report:
    """Return the values that the page of the link `value` may show; change nothing."""
    link = one_time_links.look_up(Purpose.REPORT_ACTIVATION, value)
    account = db.session.get(Account, link.row.account_id, populate_existing=True) if link.row else None
    if link.row is None or account is None:
        return Report(LinkState.DEAD)
    return Report(link.state, tuple(directory.schools(account)))


@unit_of_work()
def send(value: str) -> bool:
    """Use the link `value` and write a notice for each school; return False if the link does not work.

    Of two clicks one acts; `look` then returns USED for both.
    """
    row = one_time_links.look_up(Purpose.REPORT_ACTIVATION, value).row
    account = directory.get_for_change(row.account_id) if row else None
    link = one_time_links.redeem(Purpose.REPORT_ACTIVATION, value) if account else None
    if account is None or link is None:
        return False
    schools = directory.schools(account)
    school_notices.add(Kind.OTHER_MAILBOX, account.id, [school.id for school in schools])
    log.record(ActivationReported(account_id=account.id, uais=[school.uai for school in schools]))
    return True
