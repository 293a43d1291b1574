"""Headers of all responses, size limits of all requests, the form token of all forms."""

from collections.abc import Iterable
from functools import partial

from flask import Blueprint, Flask, current_app, request as flask_request
from werkzeug.exceptions import RequestEntityTooLarge, RequestURITooLarge, UnsupportedMediaType

from idp.config import Settings
from idp.web import browser, declarations
from idp.web.door import Door
from idp.web.errors import ForeignFormError, FormTokenError
from idp.web.http import FORM_WITH_FILES, MAX_BODY, MAX_FIELDS, Request, current_request

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # the methods that change nothing (RFC 9110 9.2.1)

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""The policy of all pages; pages that do not lead to an ENT also have `form-action`."""

_OF_ALL = (("X-Content-Type-Options", "nosniff"),)
# Headers of what may be shown as a document. On the style sheets, scripts and logo of a page, whose headers are a tenth
# of a first page, they say nothing that the page's do not say.
_OF_DOCUMENTS = (
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)
_PARTS_OF_PAGES = ("text/css", "text/javascript", "image/svg+xml")
_PRIVATE = (("Cross-Origin-Resource-Policy", "same-origin"), ("Cache-Control", "no-store"))
_REPLACED = frozenset({"cache-control"})
_REPLACED_ON_PAGES = frozenset({"cache-control", "vary"})
_CSP = "content-security-policy"


def check_limits(request: Request) -> None:
    """Refuse long queries, many cookies and many fields, before anything is parsed.

    Raises:
        HTTPException: The request exceeds a limit.
    """
    if request.has_long_target:
        raise RequestURITooLarge
    if request.has_many_cookies:
        raise RequestEntityTooLarge
    if request.has_files:
        return  # the number of its parts is limited where they are parsed
    if request.media_type == FORM_WITH_FILES and not declarations.is_called_by_program():
        raise UnsupportedMediaType  # no other page uploads files
    if request.method == "POST" and request.has_many_fields:
        raise RequestEntityTooLarge


def configure(app: Flask, door: Door, settings: Settings, *, origin: str = "") -> None:
    """Configure the limits, headers and form tokens of `app`.

    Args:
        app: the application.
        door: what requests pass before it.
        settings: the settings.
        origin: the only origin whose pages may post forms, for a browser that says where a form comes from; the form
            token alone decides without it.
    """
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY,
        MAX_FORM_MEMORY_SIZE=MAX_BODY,
        MAX_FORM_PARTS=MAX_FIELDS,
    )
    door.before(check_limits)  # first, because the check of the form token parses the form
    if origin:
        app.before_request(partial(_check_origin, origin))
    app.before_request(_check_form)
    https = [("Strict-Transport-Security", "max-age=31536000; includeSubDomains")] if settings.https else []
    door.protect = Protection([*_OF_ALL, *_OF_DOCUMENTS, *https], declarations.of(app))


def exempt(app: Flask, blueprint: Blueprint) -> None:
    """Exempt the views of a blueprint from the form token: clients authenticate its requests."""
    declarations.of(app).exempt.add(blueprint.name)


def _check_origin(origin: str) -> None:
    """Refuse a form of another site, a second time beside its token, by what the browser says of it.

    `null` is no fault: browsers send it from our own pages, whose policy is `no-referrer`. There, and in browsers
    without these headers, the token decides. `none` is a form that the person sends again.

    Raises:
        ForeignFormError: the browser names another origin or site.
    """
    if flask_request.method in _SAFE:
        return
    named, site = flask_request.headers.get("Origin", ""), flask_request.headers.get("Sec-Fetch-Site", "")
    if named not in {"", "null", origin} or site not in {"", "none", "same-origin"}:
        raise ForeignFormError


def _check_form() -> None:
    is_exempt = flask_request.blueprint in declarations.of(current_app).exempt
    if flask_request.method not in _SAFE and flask_request.endpoint and not is_exempt:
        check_form_token(current_request())


def check_form_token(request: Request) -> None:
    """Refuse a form that is not of this browser, or older than its last renewal.

    Raises:
        FormTokenError: it has no valid form token.
    """
    if not browser.has_form_token(request):
        raise FormTokenError


class Protection:
    """The security headers of all responses, also of static files, which do not pass through Flask."""

    def __init__(self, fixed: Iterable[tuple[str, str]], declared: declarations.Declarations) -> None:
        self._fixed = tuple(fixed)
        self._declared = declared

    def __call__(self, path: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the headers of a response with the security headers; only public responses may be cached.

        A response that sets a cookie is not public, whatever its path says.
        """
        given = {name.lower(): value for name, value in headers}
        is_of_one_browser = "set-cookie" in given
        if given.get("content-type", "").startswith(_PARTS_OF_PAGES) and not is_of_one_browser:
            kept = [pair for pair in headers if pair[0] != "Last-Modified"]  # the URL has a version
            return [*kept, *_OF_ALL]
        ours = [*self._fixed]
        is_page = given.get("content-type", "").startswith("text/html") and _CSP not in given
        if is_page:
            leads_to_ent = path in self._declared.leading_to_ent
            ours.append(("Content-Security-Policy", POLICY if leads_to_ent else f"{POLICY}; form-action 'self'"))
        if path.startswith(self._declared.for_other_sites) and not is_page:  # a page there is that of an error
            ours.append(("Cross-Origin-Resource-Policy", "cross-origin"))
            return _uncached([*headers, *ours]) if is_of_one_browser else [*headers, *ours]
        ours += _PRIVATE
        replaced = _REPLACED
        if not self._declared.is_for_programs(path):
            ours.append(("Vary", _with_cookie(given.get("vary", ""))))
            replaced = _REPLACED_ON_PAGES
        return [*(pair for pair in headers if pair[0].lower() not in replaced), *ours]


def _uncached(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers of a response that sets a cookie: no cache may give it to another browser."""
    kept = [pair for pair in headers if pair[0].lower() not in {"cache-control", "expires"}]
    return [*kept, ("Cache-Control", "no-store")]


def _with_cookie(vary: str) -> str:
    """Return `vary` with `Cookie`, on which all pages depend (RFC 9110 12.5.5)."""
    if not vary:
        return "Cookie"
    return vary if "cookie" in vary.lower() else f"{vary}, Cookie"
