"""Who acts in this request: the person, the post, and what the person proved and gave as a reason."""

from datetime import timedelta

from idp.accounts.suspensions.models import Suspension
from idp.clock import now
from idp.desk.access.rights import ASKED_FOR_A_REASON, RIGHTS, Right
from idp.desk.staff import actors, sessions
from idp.desk.staff.models import Role
from idp.desk.staff.posts import Post
from idp.desk.staff.sessions import SignedIn
from idp.web.errors import not_found

PROOF = timedelta(minutes=5)
"""How long a proof is fresh."""
REASON = timedelta(minutes=30)
"""How long a reason for reading families' data holds."""
_LOWER = RIGHTS[Right.SUSPEND] - RIGHTS[Right.REOPEN]
"""The roles that suspend and do not reopen."""


def person() -> SignedIn:
    """Return the signed-in person of this request. The view has declared that it needs one."""
    known = sessions.current()
    if known is None:
        not_found()
    return known


def post() -> Post:
    """Return the post that the person acts in."""
    chosen = person().post
    if chosen is None:
        not_found()
    return chosen


def role() -> Role:
    """Return the role that the person acts in."""
    return post().role


def may(right: Right) -> bool:
    """Return whether the role that the person acts in has a right."""
    return role() in RIGHTS[right]


def may_end(row: Suspension) -> bool:
    """Return whether a decision of the post may end another one about the same access, or a wait for the head.

    Who may not reopen an access ends only decisions of others who may not.
    """
    return may(Right.REOPEN) or (not row.awaits_head and actors.role(row.begun_by) in _LOWER)


def was_by(actor: str) -> bool:
    """Return whether the person of this request is the one of a stored actor, in whatever role."""
    return actors.staff_id(actor) == person().staff.id


def has_fresh_proof(person: SignedIn) -> bool:
    """Return whether the last proof is younger than `PROOF`, and the request came with the cookie of that proof."""
    return not person.by_former_cookie and now() - person.session.proved_at < PROOF


def lacks_reason(person: SignedIn) -> bool:
    """Return whether the person has to say first why they read families' data."""
    if person.post is None or person.post.role not in ASKED_FOR_A_REASON:
        return False
    given = person.session.reason_at
    return given is None or now() - given >= REASON
