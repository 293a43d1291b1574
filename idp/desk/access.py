"""The one place that decides what a person may do at the desk: rights by role, scopes, fresh proofs, reasons.

Each view declares what it needs (`needs`, `signed_in`, `public`); `check` runs before it. A view that reads or writes
for a family, a school or an ENT also takes its rows by the conditions of this module, so that a list and a page never
differ. What is outside the scope is reported as missing (security row K-04).
"""

import enum
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

from flask import Flask, Response, current_app, request
from sqlalchemy import ColumnElement, Select, and_, exists, false, or_, select, true

from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.audit import log
from idp.audit.desk_events import DeskRefused
from idp.audit.models import AuditEntry
from idp.clients import audience
from idp.clients.models import Client
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk import onward, ties
from idp.desk.kept_forms import keeping
from idp.desk.staff import sessions
from idp.desk.staff.models import Role
from idp.desk.staff.posts import AT_A_SCHOOL, AT_AN_ENT, Post
from idp.desk.staff.sessions import SignedIn
from idp.web.errors import not_found
from idp.web.redirects import see_other

_View = TypeVar("_View", bound=Callable[..., Any])
_Entity = TypeVar("_Entity")
_NEED = "idp_desk_need"


class Right(enum.Enum):
    """What a role may do; the scope of the role bounds each of them."""

    READ_FAMILIES = enum.auto()
    """Search, and read the state of a family."""
    HELP_FAMILIES = enum.auto()
    """Send a mail again, unlock an account."""
    PRINT_LETTER = enum.auto()
    """Print a letter for one person, also for an active account."""
    SUSPEND = enum.auto()
    """Suspend an account or one tie."""
    REOPEN = enum.auto()
    """Reopen what was suspended."""
    READ_NOTICES = enum.auto()
    SETTLE_NOTICES = enum.auto()
    IMPORT_FILES = enum.auto()
    """Check and import school files."""
    READ_CLASSES = enum.auto()
    """Read the state of classes, remind families."""
    PRINT_CLASSES = enum.auto()
    """Print the letters of a class."""
    EDIT_SCHOOL = enum.auto()
    """Change the school's own data."""
    MANAGE_TEAM = enum.auto()
    """Invite staff, end roles, give an access back."""
    READ_ENTS = enum.auto()
    MANAGE_ENTS = enum.auto()
    """Register and test ENTs, rotate secrets, publish charters."""
    READ_STATISTICS = enum.auto()
    READ_JOURNAL = enum.auto()
    FORCE_PASSWORDS = enum.auto()
    """Make all families of a school choose new passwords."""
    SERVE_RIGHTS = enum.auto()
    """Answer requests of access, rectification and erasure."""


_SCHOOL = frozenset({Role.SECRETARY, Role.HEAD})
RIGHTS: dict[Right, frozenset[Role]] = {
    Right.READ_FAMILIES: _SCHOOL | {Role.HELPDESK, Role.DPO},
    Right.HELP_FAMILIES: _SCHOOL | {Role.HELPDESK},
    Right.PRINT_LETTER: _SCHOOL,
    Right.SUSPEND: _SCHOOL | {Role.HELPDESK},
    Right.REOPEN: frozenset({Role.HEAD}),
    Right.READ_NOTICES: _SCHOOL | {Role.HELPDESK, Role.DPO},
    Right.SETTLE_NOTICES: _SCHOOL,
    Right.IMPORT_FILES: _SCHOOL | {Role.ENGINEER},
    Right.READ_CLASSES: _SCHOOL,
    Right.PRINT_CLASSES: _SCHOOL,
    Right.EDIT_SCHOOL: _SCHOOL | {Role.ENGINEER},
    Right.MANAGE_TEAM: frozenset({Role.HEAD, Role.ENT_OPERATOR, Role.HELPDESK, Role.ENGINEER}),
    Right.READ_ENTS: frozenset({Role.HEAD, Role.ENT_OPERATOR, Role.HELPDESK, Role.DPO, Role.ENGINEER}),
    Right.MANAGE_ENTS: frozenset({Role.ENT_OPERATOR, Role.ENGINEER}),
    Right.READ_STATISTICS: frozenset(Role),
    Right.READ_JOURNAL: frozenset(Role),
    Right.FORCE_PASSWORDS: frozenset({Role.HEAD, Role.ENGINEER}),
    Right.SERVE_RIGHTS: frozenset({Role.DPO}),
}
"""The roles that have each right."""

PROOF = timedelta(minutes=5)
"""How long a proof is fresh."""
REASON = timedelta(minutes=30)
"""How long a reason for reading families' data holds."""
_READS_FAMILIES = frozenset(
    {Right.READ_FAMILIES, Right.HELP_FAMILIES, Right.SUSPEND, Right.READ_NOTICES, Right.SERVE_RIGHTS}
)
"""The rights for whose pages, which show families' data, a person of the académie gives a reason first."""
TECHNICAL = (
    "charter.published",
    "client.changed",
    "client.changed_itself",
    "client.invited",
    "desk.alert",
    "desk.figures_exported",
    "desk.passwords_forced",
    "failures.alarm",
    "journal.exported",
    "key.changed",
    "password.list_loaded",
    "proxy.ignored",
    "roster.imported",
    "school.changed",
    "settings.changed",
    "staff.credential",
    "staff.disabled",
    "staff.enrolled",
    "staff.invited",
    "staff.proved",
    "staff.role_ended",
    "staff.role_granted",
    "staff.sign_in",
    "staff.sign_out",
)
"""The kinds of events that an engineer reads: none of them is about a family."""
_ASKED_FOR_A_REASON = {Role.HELPDESK: _READS_FAMILIES, Role.DPO: _READS_FAMILIES | {Right.READ_JOURNAL}}


class _Level(enum.Enum):
    PUBLIC = enum.auto()
    SIGNED_IN = enum.auto()
    POST = enum.auto()


class Need:
    """What a view needs: a level, a right, a fresh proof."""

    def __init__(self, level: _Level, right: Right | None = None, *, fresh: bool = False) -> None:
        self.level = level
        self.right = right
        self.fresh = fresh


def public(view: _View) -> _View:
    """Declare that anybody may call the view."""
    return _declare(view, Need(_Level.PUBLIC))


def signed_in(*, fresh: bool = False) -> Callable[[_View], _View]:
    """Declare that the view needs a signed-in person, whatever the role."""
    return lambda view: _declare(view, Need(_Level.SIGNED_IN, fresh=fresh))


def needs(right: Right | None = None, *, fresh: bool = False) -> Callable[[_View], _View]:
    """Declare that the view needs a person in a role that has `right`, with a proof younger than `PROOF` if `fresh`."""
    return lambda view: _declare(view, Need(_Level.POST, right, fresh=fresh))


def _declare(view: _View, need: Need) -> _View:
    setattr(view, _NEED, need)
    return view


def need_of(app: Flask, endpoint: str) -> Need:
    """Return what an endpoint needs.

    Raises:
        RuntimeError: its view declares nothing.
    """
    need = getattr(app.view_functions[endpoint], _NEED, None)
    if not isinstance(need, Need):
        raise RuntimeError(f"{endpoint} does not declare what it needs")  # noqa: TRY004 - a fault of the program
    return need


def check() -> Response | None:
    """Return a redirect if the person has to do something first, or None if the view may run.

    Raises:
        NotFound: the role has no right to the page.
    """
    if request.endpoint is None:
        return None
    need = need_of(current_app, request.endpoint)
    if need.level is _Level.PUBLIC:
        return None
    first = _comes_first(need)
    if first in {None, "sign_in.prove"} and need.right is not None and not may(need.right):
        refuse()
    if first is None and lacks_reason(person()) and need.right in _ASKED_FOR_A_REASON[role()]:
        first = "home.give_reason"
    return _first(first) if first else None


def _comes_first(need: Need) -> str | None:
    """Return the endpoint that comes before a view: the sign-in, a proof, the choice of a post; None if none does."""
    known = sessions.current()
    if known is None:
        return "sign_in.sign_in"
    if need.level is _Level.POST and known.post is None:
        return "home.choose"
    return "sign_in.prove" if need.fresh and not has_fresh_proof(known) else None


def _first(endpoint: str) -> Response:
    """Return the redirect to a page that comes first, and then leads to the page that was asked for."""
    url, page = current_app.url_for(endpoint), onward.asked()
    if request.method == "POST":
        _keep_form(page)
    return see_other(url if page == "/" else f"{url}?{urlencode({'suite': page})}")


def _keep_form(page: str) -> None:
    """Keep what was typed, for a person who may open the page, also if their session has just ended."""
    need, person = need_of(current_app, request.endpoint or ""), sessions.current() or sessions.lapsed()
    is_for_post = need.level is _Level.POST
    if person and (not is_for_post or (person.post and (need.right is None or person.post.role in RIGHTS[need.right]))):
        keeping.keep(person, page, is_for_post=is_for_post)


def proof_first() -> Response | None:
    """Return the redirect to a proof, for a view that needs a fresh one in some cases only; None if the proof is fresh.

    A view that always needs it declares `needs(…, fresh=True)`.
    """
    return None if has_fresh_proof(person()) else _first("sign_in.prove")


def person() -> SignedIn:
    """Return the signed-in person of this request, whose view needs one."""
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


def own_school() -> School:
    """Return the school of the post, for a view that only roles at a school may call."""
    chosen = post().school
    if chosen is None:
        refuse()
    return chosen


def role() -> Role:
    """Return the role that the person acts in."""
    return post().role


def may(right: Right) -> bool:
    """Return whether the role that the person acts in has a right."""
    return role() in RIGHTS[right]


def has_fresh_proof(person: SignedIn) -> bool:
    """Return whether the person proved a moment ago who they are."""
    return now() - person.session.proved_at < PROOF


def lacks_reason(person: SignedIn) -> bool:
    """Return whether the person has to say first why they read families' data."""
    if person.post is None or person.post.role not in _ASKED_FOR_A_REASON:
        return False
    given = person.session.reason_at
    return given is None or now() - given >= REASON


def schools() -> ColumnElement[bool]:
    """Return the condition of the schools in scope."""
    chosen = post()
    if chosen.role in AT_A_SCHOOL:
        return School.id == chosen.school.id if chosen.school else false()
    if chosen.role in AT_AN_ENT:
        return audience.served_by(chosen.client.id) if chosen.client else false()
    return true()


def children() -> ColumnElement[bool]:
    """Return the condition of the pupils in scope. `Child` need not be joined with `School`."""
    chosen = post()
    if chosen.role in AT_A_SCHOOL and chosen.school:
        return Child.school_id == chosen.school.id
    if chosen.role in AT_AN_ENT:
        return Child.school_id.in_(select(School.id).where(schools()))
    return true() if chosen.role not in AT_A_SCHOOL else false()


def accounts() -> ColumnElement[bool]:
    """Return the condition of the guardians' accounts in scope: those that concern a school in scope."""
    if post().role not in AT_A_SCHOOL | AT_AN_ENT:
        return true()
    concerned = ties.are_shown()
    return exists().where(
        Guardianship.account_id == Account.id, Guardianship.child_id == Child.id, concerned, children()
    )


def notices() -> ColumnElement[bool]:
    """Return the condition of the notices to schools in scope."""
    return SchoolNotice.school_id.in_(select(School.id).where(schools()))


def notice(key: uuid.UUID) -> SchoolNotice:
    """Return a notice in scope; refuse the page otherwise."""
    return _row(select(SchoolNotice).where(SchoolNotice.id == key, notices()), key)


def clients() -> ColumnElement[bool]:
    """Return the condition of the ENTs in scope: one's own, those that serve one's school, or all."""
    chosen = post()
    if chosen.role in AT_AN_ENT:
        return Client.id == chosen.client.id if chosen.client else false()
    if chosen.role in AT_A_SCHOOL:
        return audience.serving(chosen.school)
    return true()


def journal() -> ColumnElement[bool]:
    """Return the condition of the journal's entries in scope, for the page and the export.

    A secretary and the help desk read their own acts, a secretary those of the school in use. A head reads the acts
    for the school, the own ones, and those of the académie on accounts of the school. An ENT operator reads the events
    of the own ENT, and an engineer the technical ones: both without those of families.
    """
    chosen = post()
    own = AuditEntry.staff_id == person().staff.id
    no_school, no_account = AuditEntry.school_id.is_(None), AuditEntry.account_id.is_(None)
    here = AuditEntry.school_id == chosen.school.id if chosen.school else false()
    match chosen.role:
        case Role.SECRETARY:
            return and_(own, or_(here, no_school))
        case Role.HEAD:
            on_ours = AuditEntry.account_id.in_(select(Account.id).where(accounts()))
            # an entry with a school has a person: this condition lets the database use the index of the desk's acts
            return and_(AuditEntry.staff_id.is_not(None), or_(here, and_(no_school, or_(own, on_ours))))
        case Role.ENT_OPERATOR:
            return and_(AuditEntry.client_id == chosen.client.id, no_account) if chosen.client else false()
        case Role.HELPDESK:
            return own
        case Role.ENGINEER:
            return and_(no_account, AuditEntry.kind.in_(TECHNICAL))
    return true()


def child(key: uuid.UUID) -> Child:
    """Return a pupil in scope; refuse the page otherwise."""
    return _row(select(Child).where(Child.id == key, children()), key)


def account(key: uuid.UUID) -> Account:
    """Return a guardian's account in scope; refuse the page otherwise."""
    return _row(select(Account).where(Account.id == key, accounts()), key)


def school(key: uuid.UUID) -> School:
    """Return a school in scope; refuse the page otherwise."""
    return _row(select(School).where(School.id == key, schools()), key)


def client(key: uuid.UUID) -> Client:
    """Return an ENT in scope; refuse the page otherwise."""
    return _row(select(Client).where(Client.id == key, clients()), key)


def _row(statement: Select[_Entity], key: uuid.UUID) -> _Entity:
    row = db.session.scalar(statement)
    if row is None:
        refuse(str(key))
    return row


def refuse(subject: str = "") -> NoReturn:
    """Journal that a page was refused, and end the request as if there were no such page.

    What exists elsewhere and what does not exist take the same way.

    Raises:
        NotFound: always.
    """
    with unit_of_work():
        log.record(DeskRefused(page=request.endpoint or "", subject=subject))
    not_found()
