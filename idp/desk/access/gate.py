"""Who acts in a request, what each view declares that it needs, and what comes before it: a sign-in, a proof, a reason.

The form is kept meanwhile. A form acts in the post whose page showed it: its token names the post. If the person works
in another post by then, from another tab, nothing is done.

Refusals are journaled so that a script of one person cannot fill the journal. The first ones of an hour are entries,
each with its object. Then only those whose number is a power of two are, so that a reader of the journal still learns
how many there were.
"""

import enum
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

from flask import Flask, Response, abort, current_app, make_response, render_template, request
from sqlalchemy import func, or_, select, update
from werkzeug.exceptions import HTTPException

from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.audit import log
from idp.audit.desk_events import DeskRefused
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk import kept_forms
from idp.desk.access.roles import Right, RoleSpec, spec
from idp.desk.staff import models, posts, sessions
from idp.desk.staff.models import Role, StaffSession
from idp.desk.staff.posts import Post
from idp.desk.staff.sessions import SignedIn
from idp.services import services
from idp.throttle import guard
from idp.throttle.limits import DESK_REFUSALS
from idp.web import browser
from idp.web.http import current_request
from idp.web.redirects import see_other, shown_page

_View = TypeVar("_View", bound=Callable[..., Any])
_NEED = "idp_desk_need"


class Level(enum.Enum):
    """Whom a view is for: anybody, a signed-in person, a person who acts in a post."""

    PUBLIC = enum.auto()
    SIGNED_IN = enum.auto()
    POST = enum.auto()


@dataclass(frozen=True)
class Need:
    """What a view needs: a level, a right, a fresh proof: always, or (None) in some cases that the view decides."""

    level: Level
    right: Right | None = None
    fresh: bool | None = False


def public(view: _View) -> _View:
    """Declare that anybody may call the view."""
    return _declare(view, Need(Level.PUBLIC))


def signed_in(*, fresh: bool = False) -> Callable[[_View], _View]:
    """Declare that the view needs a signed-in person, whatever the role."""
    return lambda view: _declare(view, Need(Level.SIGNED_IN, fresh=fresh))


def needs(right: Right | None = None, *, fresh: bool | None = False) -> Callable[[_View], _View]:
    """Declare that the view needs a person in a role that has `right`, with a fresh proof if `fresh`.

    With None, the view decides itself when it needs the proof, and calls `proof_first` then.
    """
    return lambda view: _declare(view, Need(Level.POST, right, fresh=fresh))


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
    if need.level is Level.PUBLIC:
        return None
    first = _comes_first(need)
    if first in {None, "sign_in.prove"}:
        if need.level is Level.POST and request.method == "POST" and _form_post(person()) != person().post:
            return _refuse_other_post()
        if need.right is not None and not may(need.right):
            refuse()
    asks = first is None and need.right is not None and need.right in own_spec().asks_reason
    if asks and (not reason(person()) or _is_other(person().session)):
        first = "home.give_reason"
    return _first(first) if first else None


def _comes_first(need: Need) -> str | None:
    known = sessions.current()
    if known is None:
        return "sign_in.sign_in"
    if need.level is Level.POST and known.post is None:
        return "home.choose"
    return "sign_in.prove" if need.fresh and not has_fresh_proof(known) else None


def _first(endpoint: str) -> Response:
    url, page = current_app.url_for(endpoint), shown_page()
    if request.method == "POST":
        _keep_form(page)
    return see_other(url if page == "/" else f"{url}?{urlencode({'suite': page})}")


def _keep_form(page: str) -> None:
    """Keep what was typed, for a person who may open the page, also if their session has just ended."""
    need, person = need_of(current_app, request.endpoint or ""), sessions.current() or sessions.lapsed()
    if person and need.level is not Level.POST:
        kept_forms.keep(person, page, None)
    elif person and (post := _form_post(person)) and (need.right is None or need.right in spec(post.role).rights):
        kept_forms.keep(person, page, post)


def form_token() -> str:
    """Return the token of the forms of a page, which names the post of the page."""
    known = sessions.current()
    return browser.form_token(str(known.post.id) if known and known.post else "")


def _form_post(person: SignedIn) -> Post | None:
    """Return the post whose page showed the form of this request, or None if it is not in force any more."""
    scope = browser.form_scope(current_request())
    return next((post for post in person.posts if str(post.id) == scope), None)


def _refuse_other_post() -> Response:
    """Keep the form for the post whose page showed it, and show the way back to this post; nothing is done."""
    page, former = shown_page(), _form_post(person())
    _keep_form(page)
    html = render_template(
        "desk/errors/poste.html",
        former=former,
        former_place=former and (posts.place(former) or services().settings.academy),
        back=current_app.url_for("home.choose", suite=page),
        is_error=True,
    )
    return make_response(html, 409)


def page_without_proof(path: str) -> str:
    """Return where a person goes who gives no proof: a path if its page asks for none, or the nearest page above it."""
    adapter, page = current_app.url_map.bind(""), path.partition("?")[0]
    while page:
        with suppress(HTTPException):
            if _opens_without_proof(adapter.match(page, "GET")[0]):
                return path if path.startswith(f"{page}?") else page
        page = page.rpartition("/")[0]
    return "/"


def _opens_without_proof(endpoint: str) -> bool:
    need, known = need_of(current_app, endpoint), person()
    if need.level is Level.PUBLIC or need.fresh is not False or endpoint == "sign_in.prove":
        return False
    return need.right is None or (known.post is not None and need.right in spec(known.post.role).rights)


def sign_in_first() -> Response:
    """Return the redirect to the sign-in, for a session that ended while its request was answered."""
    return _first("sign_in.sign_in")


def proof_first() -> Response | None:
    """Return the redirect to a proof, for a view that needs a fresh one in some cases only; None if the proof is fresh.

    Raises:
        RuntimeError: the view declares that it needs none.
    """
    need = need_of(current_app, request.endpoint or "")
    if need.fresh is False:
        raise RuntimeError(f"{request.endpoint} asks for a proof in some cases and does not declare it")
    return None if has_fresh_proof(person()) else _first("sign_in.prove")


def _is_other(session: StaffSession) -> bool:
    """Return whether the page is about another family than the reason; the first family that is opened has it.

    Siblings, and guardians of one pupil, are one family.
    """
    arguments = request.view_args or {}
    key = arguments.get("account") or arguments.get("pupil") or arguments.get("key")
    if "notice" in arguments:
        key = db.session.scalar(select(SchoolNotice.account_id).where(SchoolNotice.id == arguments["notice"]))
    if key is None:
        return False
    about = session.reason_about or _begin(session, key)
    return about != key and _guardians(about).isdisjoint(_guardians(key))


@unit_of_work()
def _begin(session: StaffSession, key: uuid.UUID) -> uuid.UUID:
    """Note the family of the reason, if it exists; return that which another tab noted first, if one did."""
    known = (select(table.id).where(table.id == key).scalar_subquery() for table in (Account, Child))
    first = func.coalesce(StaffSession.reason_about, *known)
    noted = update(StaffSession).where(StaffSession.id == session.id).values(reason_about=first)
    return db.session.scalars(noted.returning(StaffSession.reason_about)).one() or key


def _guardians(key: uuid.UUID) -> set[uuid.UUID]:
    pupils = select(Guardianship.child_id).where(Guardianship.account_id == key)
    of_pupils = or_(Guardianship.child_id == key, Guardianship.child_id.in_(pupils))
    return {key, *db.session.scalars(select(Guardianship.account_id).where(of_pupils))}


PROOF = timedelta(minutes=5)
"""How long a proof opens the pages that need one."""
FORM = timedelta(minutes=10)
"""How long a proof counts for the forms of these pages: nobody is asked between opening a page and sending its form."""
REASON = timedelta(minutes=30)
"""How long a reason for reading families' data holds."""


def person() -> SignedIn:
    """Return the signed-in person of this request. The view has declared that it needs one."""
    known = sessions.current()
    if known is None:
        abort(404)
    return known


def post() -> Post:
    """Return the post that the person acts in."""
    chosen = person().post
    if chosen is None:
        abort(404)
    return chosen


def role() -> Role:
    """Return the role that the person acts in."""
    return post().role


def own_spec() -> RoleSpec:
    """Return the facts of the role that the person acts in."""
    return spec(role())


def may(right: Right) -> bool:
    """Return whether the role that the person acts in has a right."""
    return right in own_spec().rights


def may_end(row: Closing) -> bool:
    """Return whether a decision of the post may end another one about the same access, or a wait for the head.

    Who may not reopen an access ends only decisions of others who may not.
    """
    begun = spec(models.role(row.begun_by)).rights
    return may(Right.REOPEN) or (row.is_decision and Right.CLOSE in begun and Right.REOPEN not in begun)


def was_by(actor: str) -> bool:
    """Return whether the person of this request is the one of a stored actor, in whatever role."""
    return models.staff_id(actor) == person().staff.id


def has_fresh_proof(person: SignedIn) -> bool:
    """Return whether the last proof is younger than `PROOF`, or `FORM`, and the request came with its cookie."""
    longest = FORM if request.method == "POST" else PROOF
    return not person.by_former_cookie and now() - person.session.proved_at < longest


def reason(person: SignedIn) -> str:
    """Return why the person reads a family's data, if they said so less than `REASON` ago; else an empty text."""
    given = person.session.reason_at
    return person.session.reason if given is not None and now() - given < REASON else ""


_ALL = 60  # so many refusals of an hour are journaled one by one


def refuse(subject: str = "") -> NoReturn:
    """Journal that a page was refused, and end the request as if there were no such page.

    What exists elsewhere and what does not exist take the same way.

    Raises:
        NotFound: always.
    """
    note_refusal(request.endpoint or "", subject)
    abort(404)


def note_refusal(page: str, subject: str) -> None:
    """Journal that a page was refused to the person of the request, in a transaction of its own.

    Args:
        page: the endpoint.
        subject: what the page is about: an id that is outside the scope, or a role.
    """
    person = sessions.current()
    taken = guard.take(DESK_REFUSALS, str(person.staff.id) if person else "")
    count = taken.count if isinstance(taken, guard.Granted) else 0
    if not count or (count > _ALL and count & (count - 1)):
        return
    with unit_of_work():
        log.record(DeskRefused(page=page, subject=subject, count=count))
