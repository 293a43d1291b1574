"""The sessions of an account as pages and commands list them."""

from sqlalchemy import select

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.services import services
from idp.sessions import liveness
from idp.sessions.models import Session


def open_sessions(account: Account, most: int | None = None) -> list[Session]:
    """Return the account's open sessions (`liveness.listed`), the last used first: all of them, or the first `most`."""
    moment = now()
    renewable = services().renewable(moment)
    return list(
        db.session.scalars(
            select(Session)
            .join(Account, Account.id == Session.account_id)
            .where(Account.id == account.id, liveness.listed(services().settings, moment, renewable))
            .order_by(Session.last_seen_at.desc())
            .limit(most)
        )
    )


def is_left_alone(session: Session) -> bool:
    """Return whether an open session gives no access to pages any more, because it is idle or expired."""
    return liveness.is_out_of_time(session, services().settings, now())
