"""What comes before each view: the sign-in, the choice of a post, a proof, a reason; and keeps a form meanwhile.

A form acts in the post whose page showed it: its token names the post. If the person works in another post by then,
from another tab, nothing is done.
"""

from contextlib import suppress
from urllib.parse import urlencode

from flask import Response, current_app, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from idp.desk import kept_forms
from idp.desk.access.acting import has_fresh_proof, lacks_reason, may, own_spec, person
from idp.desk.access.declarations import Level, Need, need_of
from idp.desk.access.refusal import refuse
from idp.desk.access.roles import spec
from idp.desk.staff import posts, sessions
from idp.desk.staff.posts import Post
from idp.desk.staff.sessions import SignedIn
from idp.services import services
from idp.web import browser
from idp.web.http import current_request
from idp.web.redirects import see_other, shown_page


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
    """Return the redirect to a page that comes first, and then leads to the page that was asked for."""
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
