"""Decides whether a session is fresh enough for a request (OpenID Connect Core 3.1.2.1)."""

from datetime import datetime

from idp.sessions.models import Session, is_at_least

_WAY_BACK_SECONDS = 60


def is_enough(
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
    if prompts & {"login", "select_account"} or lacks(session, acr):
        return False
    return max_age is None or age <= max_age


def lacks(session: Session, acr: str | None) -> bool:
    """Return whether the session lacks an essential `acr` (OpenID Connect Core 5.5.1.1)."""
    return acr is not None and not is_at_least(session.acr, acr)
