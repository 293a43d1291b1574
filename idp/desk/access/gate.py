"""What comes before each view: the sign-in, the choice of a post, a proof, a reason."""

from urllib.parse import urlencode

from flask import Response, current_app, request

from idp.desk.access.acting import has_fresh_proof, lacks_reason, may, person, role
from idp.desk.access.declarations import Level, Need, need_of
from idp.desk.access.refusal import refuse
from idp.desk.access.rights import ASKED_FOR_A_REASON
from idp.desk.staff import sessions
from idp.web.redirects import see_other


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
    if first in {None, "sign_in.prove"} and need.right is not None and not may(need.right):
        refuse()
    if first is None and lacks_reason(person()) and need.right in ASKED_FOR_A_REASON[role()]:
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
    url, onward = current_app.url_for(endpoint), _shown_path()
    return see_other(url if onward == "/" else f"{url}?{urlencode({'suite': onward})}")


def _shown_path() -> str:
    """Return the path and query of the page that was asked for; for a form without a page, the path of that above."""
    adapter, path = current_app.url_map.bind(""), request.path
    while path and request.method not in {"GET", "HEAD"} and not adapter.test(path, "GET"):
        path = path.rpartition("/")[0]
    query = request.query_string.decode("latin-1") if path == request.path else ""
    return f"{path}?{query}" if query else path or "/"


def proof_first() -> Response | None:
    """Return the redirect to a proof, for a view that needs a fresh one in some cases only; None if the proof is fresh.

    A view that always needs it declares `needs(…, fresh=True)`.
    """
    return None if has_fresh_proof(person()) else _first("sign_in.prove")
