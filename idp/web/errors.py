"""Error pages and JSON errors, with a reference number that the log has too."""

import secrets
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import NoReturn

import structlog
from flask import Flask, Response, abort, make_response, render_template, request
from flask_babel import gettext
from markupsafe import escape
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from idp.clock import now
from idp.logging import frames
from idp.metrics.catalogue import SHED
from idp.web import i18n
from idp.web.declarations import is_called_by_program
from idp.web.languages import menu
from idp.web.redirects import page_of_button, shown_page
from idp.web.request_context import request_id

log = structlog.get_logger()

_Show = Callable[..., str]
"""Returns a page of a template with its context, and with `retry_url`, the link to the page of the request."""
_BUSY_SECONDS = 5
_UNAVAILABLE = frozenset({"25006", "25P03"})
"""SQLSTATE of a server that became read-only after a failover, and of a transaction that it ended for being idle."""


class ServiceBusyError(HTTPException):
    """503: the service is overloaded. `retry_after` is in seconds, `reason` that of the metric."""

    code = 503
    description = "busy"

    def __init__(self, retry_after: int = _BUSY_SECONDS, *, reason: str = "busy") -> None:
        super().__init__()
        self.retry_after = retry_after
        self.reason = reason


class FormTokenError(HTTPException):
    """400: a form has no valid form token: it was open for too long, or another site made it."""

    code = 400


class ForeignFormError(HTTPException):
    """400: the browser says that a form is of another site."""

    code = 400


class InteractionLostError(HTTPException):
    """400: the authorization request has expired, or belongs to another browser.

    `dest` is the ENT of the request, if it is known; the page links to it.
    """

    code = 400
    description = "interaction expired"

    def __init__(self, dest: object = None) -> None:
        super().__init__()
        self.dest = dest


class IncompleteLinkError(HTTPException):
    """410: the link of a mail was cut or changed on its way; the text of the URL alone tells.

    `onward` is the text and the URL of the page's button; without it, the button leads to the list of ENTs.
    """

    code = 410

    def __init__(self, onward: tuple[str, str] | None = None) -> None:
        super().__init__()
        self.onward = onward


class TooManyRequestsError(HTTPException):
    """429: a rate limit refused the request.

    Attributes:
        wait: seconds until the next try is granted.
        sentence: the reason, for the page; may be empty.
        back: text and URL of a link; may be None.
    """

    code = 429
    description = "too many requests"

    def __init__(self, wait: int, *, sentence: str = "", back: tuple[str, str] | None = None) -> None:
        super().__init__()
        self.wait = wait
        self.sentence = sentence
        self.back = back


def not_found() -> NoReturn:
    """Abort with 404."""
    abort(404)


def _render(template: str, *, dest: object = None, **context: object) -> str:
    return render_template(template, dest=dest, is_error=True, **context)


def _page(template: str, status: int, **context: object) -> Response:
    return make_response(_render(template, **context), status)


def _plain(error: HTTPException) -> Response:
    """Return the JSON error of RFC 6749 5.2."""
    body = {"error": "invalid_request" if (error.code or 500) < 500 else "server_error"}  # noqa: PLR2004
    if isinstance(error, MethodNotAllowed):
        body["error_description"] = f"this endpoint supports {_served(error)}"
    response = make_response(body, error.code)
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _served(error: MethodNotAllowed) -> str:
    return ", ".join(sorted(error.valid_methods or ["GET"]))


def _too_much(show: _Show, code: int) -> Response:
    titles = {
        413: (gettext("Ce message est trop long"), gettext("La page a reçu plus de données qu’elle n’en accepte.")),
        414: (gettext("Cette adresse est trop longue"), gettext("L’adresse reçue dépasse ce que la page accepte.")),
    }
    title, sentence = titles.get(code, titles[413])
    texts = {"title": title, "sentence": sentence, "is_about_url": code == 414}  # noqa: PLR2004
    return make_response(show("errors/trop.html", **texts, wait=0, back=None), code)


def _on_http_error(show: _Show, error: HTTPException) -> Response:
    if error.response is not None:
        return make_response(error.response)
    if is_called_by_program():
        return _plain(error)
    code = error.code or 500
    if code in {404, 410}:
        return _page("errors/introuvable.html", code)
    if isinstance(error, MethodNotAllowed):
        response = _page("errors/methode.html", code, back=page_of_button())
        response.headers["Allow"] = _served(error)
        return response
    if code in {413, 414, 431}:
        return _too_much(show, code)
    log.warning("refused", status=code, reference=request_id(), endpoint=request.endpoint)
    return _page("errors/erreur.html", code, reference=request_id(), at=now())


def with_retry_after(response: Response, seconds: int) -> Response:
    """Add `Retry-After` (RFC 9110, 10.2.3): the request may be repeated in `seconds`. Return the response."""
    response.headers["Retry-After"] = str(seconds)
    return response


def _on_busy(show: _Show, error: ServiceBusyError) -> Response:
    if is_called_by_program():
        response = _unavailable(error.retry_after)
    else:
        page = show("errors/affluence.html", wait=error.retry_after)
        response = with_retry_after(make_response(page, 503), error.retry_after)
    SHED.count(error.reason)  # last: if the page cannot be made from memory, a thread answers the request after all
    return response


def _unavailable(seconds: int) -> Response:
    return with_retry_after(make_response({"error": "temporarily_unavailable"}, 503), seconds)


def _render_again(template: str, **context: object) -> str:
    return _render(template, retry_url=shown_page(), **context)


class _Prepared:
    """Pages of refused requests, rendered once for each language: they are asked for when the processor is full.

    Nothing in them depends on who asks. Marks stand in place of the links, which have the query of the request.
    """

    def __init__(self) -> None:
        self._query, self._retry = f"mark{secrets.token_hex(16)}&", f"mark{secrets.token_hex(16)}"
        self._pages: dict[tuple[object, ...], str] = {}

    def __call__(self, template: str, **context: object) -> str:
        """Return the page with the links of the current request."""
        key = i18n.language(), template, *context.items()
        if key not in self._pages:
            with menu.keeping(self._query):
                self._pages[key] = _render(template, retry_url=self._retry, **context)
        page = self._pages[key].replace(str(escape(self._query)), escape(menu.kept_query()))
        return page.replace(self._retry, escape(shown_page()))


def _on_too_many(error: TooManyRequestsError) -> Response:
    if is_called_by_program():
        response = make_response({"error": "slow_down"}, 429)
    else:
        response = _page(
            "errors/trop.html",
            429,
            title=gettext("Un peu de patience"),
            sentence=error.sentence
            or gettext("Il y a eu beaucoup de demandes. Pour protéger les comptes, il faut attendre."),
            wait=error.wait,
            back=error.back,
        )
    return with_retry_after(response, error.wait)


def _on_lost(error: InteractionLostError) -> Response:
    return _page("errors/expire.html", 400, dest=error.dest, code="")


def _on_incomplete_link(error: IncompleteLinkError) -> Response:
    return _page("errors/lien_incomplet.html", 410, onward=error.onward)


def form_token_refused(_error: FormTokenError) -> Response:
    """Show that the form was open for too long, and the way to open it again."""
    return _page("errors/formulaire.html", 400, retry_url=shown_page())


def _on_foreign_form(_error: ForeignFormError) -> Response:
    log.warning("form of another origin refused", reference=request_id(), endpoint=request.endpoint)
    return _page("errors/origine.html", 400)


def _on_database(error: SQLAlchemyError) -> Response:
    from idp import database_faults  # noqa: PLC0415 - most processes never need it

    SHED.count("database_pool" if isinstance(error, PoolTimeout) else "database")
    log.error(
        "database unavailable",
        error=type(error).__name__,
        cause=database_faults.cause(error),
        reference=request_id(),
        endpoint=request.endpoint,
    )
    if is_called_by_program():
        return _unavailable(_BUSY_SECONDS)
    retry = {"wait": _BUSY_SECONDS, "retry_url": shown_page()}
    return with_retry_after(_page("errors/panne.html", 503, reference=request_id(), at=now(), **retry), _BUSY_SECONDS)


def _on_driver(error: DBAPIError) -> Response:
    """Handle an error of the database whose class says nothing of its cause."""
    return _on_database(error) if getattr(error.orig, "sqlstate", "") in _UNAVAILABLE else _on_fault(error)


def _on_fault(error: Exception) -> Response:
    log.error("fault", reference=request_id(), endpoint=request.endpoint, where=frames(error))
    if is_called_by_program():
        return make_response({"error": "server_error", "error_description": f"reference {request_id()}"}, 500)
    return _page("errors/erreur.html", 500, reference=request_id(), at=now())


def _on_late_fault(
    raised: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
) -> None:
    """Log an error outside a view, such as in saving the cookie. Flask would log the path, which may have a secret."""
    if raised[1] is not None:
        log.error("fault", reference=request_id(), endpoint=request.endpoint, where=frames(raised[1]))


def configure(app: Flask, *, names_people: bool) -> None:
    """Register the error handlers of `app`.

    Args:
        app: the application.
        names_people: whether all pages name who is signed in, as the desk's do.
    """
    app.log_exception = _on_late_fault  # type: ignore[method-assign,assignment] # Flask wants a subclass
    show: _Show = _render_again if names_people else _Prepared()
    app.register_error_handler(HTTPException, partial(_on_http_error, show))
    app.register_error_handler(ServiceBusyError, partial(_on_busy, show))
    app.register_error_handler(TooManyRequestsError, _on_too_many)
    app.register_error_handler(InteractionLostError, _on_lost)
    app.register_error_handler(IncompleteLinkError, _on_incomplete_link)
    app.register_error_handler(FormTokenError, form_token_refused)
    app.register_error_handler(ForeignFormError, _on_foreign_form)
    app.register_error_handler(OperationalError, _on_database)
    app.register_error_handler(DBAPIError, _on_driver)
    app.register_error_handler(PoolTimeout, _on_database)
    app.register_error_handler(Exception, _on_fault)
