"""What each view declares that it needs, and what comes before it: the sign-in, a post, a proof, a reason.

The form is kept meanwhile. A form acts in the post whose page showed it: its token names the post. If the person works
in another post by then, from another tab, nothing is done.
"""

import enum
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Flask, Response, current_app, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from idp.desk import kept_forms
from idp.desk.access.acting import has_fresh_proof, lacks_reason, may, own_spec, person, refuse
from idp.desk.access.roles import Right, spec
from idp.desk.staff import posts, sessions
from idp.desk.staff.posts import Post
from idp.desk.staff.sessions import SignedIn
from idp.services import services
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
    """What a view needs: a level, a right, a fresh proof: always, or in some cases that the view itself decides."""

    level: Level
    right: Right | None = None
    fresh: bool = False
    sometimes_fresh: bool = False


def public(view: _View) -> _View:
    """Declare that anybody may call the view."""
    return _declare(view, Need(Level.PUBLIC))


def signed_in(*, fresh: bool = False) -> Callable[[_View], _View]:
    """Declare that the view needs a signed-in person, whatever the role."""
    return lambda view: _declare(view, Need(Level.SIGNED_IN, fresh=fresh))


def needs(
    right: Right | None = None, *, fresh: bool = False, sometimes_fresh: bool = False
) -> Callable[[_View], _View]:
    """Declare that the view needs a person in a role that has `right`, with a fresh proof if `fresh`.

    A view with `sometimes_fresh` decides itself when it needs the proof, and calls `proof_first` then.
    """
    return lambda view: _declare(view, Need(Level.POST, right, fresh=fresh, sometimes_fresh=sometimes_fresh))


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
    if asks and lacks_reason(person()):
        first = "home.give_reason"
    return _first(first) if first else None


def _comes_first(need: Need) -> str | None:
    """Return the endpoint that comes before a view: the sign-in, a proof, the choice of a post; None if none does."""
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
    if need.level is Level.PUBLIC or need.fresh or need.sometimes_fresh or endpoint == "sign_in.prove":
        return False
    return need.right is None or (known.post is not None and need.right in spec(known.post.role).rights)


def sign_in_first() -> Response:
    """Return the redirect to the sign-in, for a session that ended while its request was answered."""
    return _first("sign_in.sign_in")


def proof_first() -> Response | None:
    """Return the redirect to a proof, for a view that needs a fresh one in some cases only; None if the proof is fresh.

    A view that always needs it declares `needs(…, fresh=True)`.

    Raises:
        RuntimeError: the view declares neither `needs(…, fresh=True)` nor `needs(…, sometimes_fresh=True)`.
    """
    need = need_of(current_app, request.endpoint or "")
    if not (need.fresh or need.sometimes_fresh):
        raise RuntimeError(f"{request.endpoint} asks for a proof in some cases and does not declare it")
    return None if has_fresh_proof(person()) else _first("sign_in.prove")
