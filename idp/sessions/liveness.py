"""Decides whether a session is alive: the one home of that rule.

The service asks this question in several ways, which differ on purpose. Each way has a name here:

- *unended*: nobody has ended the session. A sign-out ends it, and clients are told once.
- *holding*: unended, the account is neither disabled nor closed, and none of its credentials has changed since the
  session was opened. Codes and tokens that clients got in the session are good. No limit of time counts: refresh tokens
  outlive a session.
- *resumable*: holding and not expired. A sign-in of the same person in the same browser continues the session, even if
  nobody has used it for long.
- *live*: resumable and used within `session_idle`. It opens pages and gives codes (OWASP ASVS 5, V 7.3).
- *staying*: what *resumable* is for a device session, which opens sessions.
- *listed*: live, or holding while a client can still renew its tokens. The person sees it among the open sessions.

The rule lives only in this module: once for statements that read `Session` and `Account`, once for rows that were read
(the functions `is_…`). The functions `…_sql` return the conditions of statements as text, for `idp.oidc.store.store`.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, and_, literal_column, or_
from sqlalchemy.orm import aliased

from idp.accounts.models import Account
from idp.config import Settings
from idp.sessions.models import DeviceSession, Session, is_at_least

TOUCH_AFTER = timedelta(minutes=5)
"""The least time between two updates of `last_seen_at`: not every request has to write."""


def unended(session: type[Session | DeviceSession] = Session) -> ColumnElement[bool]:
    """Return the condition of the sessions that nobody has ended."""
    return session.ended_at.is_(None)


def ended_since(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the sessions that were ended at `moment` or later."""
    return Session.ended_at >= moment


def unexpired(moment: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Return the condition of the sessions whose absolute lifetime ends after `moment`."""
    return Session.expires_at > moment


def holding(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the sessions in which codes and tokens are good."""
    return _holding(Session, Account, moment)


def resumable(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the sessions that a sign-in of the same person continues."""
    return and_(holding(moment), unexpired(moment))


def live(settings: Settings, moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the sessions that open pages and give codes."""
    return and_(holding(moment), _in_time(Session, moment, idle_since(settings, moment)))


def staying(moment: datetime) -> ColumnElement[bool]:
    """Return the condition of the device sessions that open sessions: holding, as a session is, and not expired."""
    return and_(_holding(DeviceSession, Account, moment), DeviceSession.expires_at > moment)


def listed(settings: Settings, moment: datetime, renewable: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition of the sessions that the person sees as open.

    Args:
        settings: for the idle time.
        moment: the present instant.
        renewable: the condition that `Services.renewable` returns.
    """
    return and_(holding(moment), or_(_in_time(Session, moment, idle_since(settings, moment)), renewable))


def holding_sql(session: str, account: str, *, moment: str) -> str:
    """Return the condition `holding` as SQL text.

    Args:
        session: the alias under which the statement reads the table `session`.
        account: the alias under which the statement reads the table `account`.
        moment: the driver's placeholder for the present instant.
    """
    return _as_text(_holding_as_text(session, account, moment))


def live_sql(session: str, account: str, *, moment: str, idle_since: str) -> str:
    """Return the condition `live` as SQL text.

    Args:
        session: the alias under which the statement reads the table `session`.
        account: the alias under which the statement reads the table `account`.
        moment: the driver's placeholder for the present instant.
        idle_since: the driver's placeholder for the value of the function `idle_since`.
    """
    row = aliased(Session, name=session)
    in_time = _in_time(row, literal_column(moment), literal_column(idle_since))
    return _as_text(and_(_holding_as_text(session, account, moment), in_time))


def idle_since(settings: Settings, moment: datetime) -> datetime:
    """Return the instant after which a session that is live at `moment` was last used."""
    return moment - settings.lifetime("session_idle")


def touch_before(moment: datetime) -> datetime:
    """Return the instant before which `last_seen_at` lies if a request at `moment` has to update it."""
    return moment - TOUCH_AFTER


def is_holding(session: Session, account: Account, moment: datetime) -> bool:
    """Return whether codes and tokens of the session are good, by its row and that of its account."""
    is_current = account.generation == session.generation
    return session.ended_at is None and account.is_enabled_at(moment) and is_current


def is_out_of_time(session: Session, settings: Settings, moment: datetime) -> bool:
    """Return whether the session is expired or idle, by its row."""
    return session.expires_at <= moment or session.last_seen_at <= idle_since(settings, moment)


def is_touch_due(session: Session, moment: datetime) -> bool:
    """Return whether a request at `moment` has to update `last_seen_at`, by the session's row."""
    return session.last_seen_at < touch_before(moment)


def _holding(
    session: type[Session | DeviceSession], account: type[Account], moment: Any, key: Any = None
) -> ColumnElement[bool]:
    return and_(unended(session), account.where_enabled(moment, key), account.generation == session.generation)


def _holding_as_text(session: str, account: str, moment: str) -> ColumnElement[bool]:
    rows = aliased(Session, name=session), aliased(Account, name=account)
    # outside of a statement, a column in a subquery would bring its table into it
    return _holding(*rows, literal_column(moment), literal_column(f"{account}.id"))


def _in_time(session: type[Session], moment: Any, idle_since: Any) -> ColumnElement[bool]:
    return and_(session.expires_at > moment, session.last_seen_at > idle_since)


def _as_text(condition: ColumnElement[bool]) -> str:
    return str(condition.compile())


_WAY_BACK_SECONDS = 60


def is_fresh_enough(
    session: Session,
    *,
    prompts: frozenset[str],
    max_age: int | None,
    acr: str | None,
    started_at: datetime,
    now: datetime,
) -> bool:
    """Return whether the session satisfies `prompt`, `max_age` and `acr` of a request that began at `started_at`."""
    age = (now - session.auth_time).total_seconds()
    if session.auth_time >= started_at:
        # the person signed in for this request: the redirects back to the client may take a minute
        return max_age is None or age <= max(max_age, _WAY_BACK_SECONDS)
    if prompts & {"login", "select_account"} or lacks_acr(session, acr):
        return False
    return max_age is None or age <= max_age


def lacks_acr(session: Session, acr: str | None) -> bool:
    """Return whether the session lacks an essential `acr` (OpenID Connect Core 5.5.1.1)."""
    return acr is not None and not is_at_least(session.acr, acr)
