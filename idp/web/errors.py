"""Error pages and JSON errors, with a reference number that the log has too."""

from types import TracebackType

import structlog
from flask import Flask, Response, make_response, request
from flask_babel import gettext
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError, TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from idp.clock import now
from idp.logging import frames
from idp.metrics.catalogue import SHED
from idp.web import endpoints, http, languages
from idp.web.declarations import is_called_by_program
from idp.web.redirects import page_of_button, render_page, shown_page
from idp.web.request_context import request_id

log = structlog.get_logger()

_BUSY_SECONDS = 5
_SHED_RETRY_SECONDS = 8  # when who was shed may try again: each try costs a page, so that it is later than for a hash
# SQLSTATE of a server that became read-only after a failover, and of a transaction that it ended for being idle.
_UNAVAILABLE = frozenset({"25006", "25P03"})


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
    """429: a rate limit refused the request; the next try is granted in `wait` seconds.

    `sentence` is the reason for the page, and `back` the text and the URL of its link.
    """

    code = 429
    description = "too many requests"

    def __init__(self, wait: int, *, sentence: str = "", back: tuple[str, str] | None = None) -> None:
        super().__init__()
        self.wait = wait
        self.sentence = sentence
        self.back = back


def _page(template: str, status: int, *, dest: object = None, **context: object) -> Response:
    return render_page(template, status, dest=dest, is_error=True, **context)


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


def _too_much(code: int) -> http.Response:
    titles = {
        413: (gettext("Ce message est trop long"), gettext("La page a reçu plus de données qu’elle n’en accepte.")),
        414: (gettext("Cette adresse est trop longue"), gettext("L’adresse reçue dépasse ce que la page accepte.")),
    }
    title, sentence = titles.get(code, titles[413])
    texts = {"title": title, "sentence": sentence, "is_about_url": code == 414}  # noqa: PLR2004
    return endpoints.from_memory("errors/trop.html", code, **texts, wait=0, back=None)


def _on_http_error(error: HTTPException) -> Response | http.Response:
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
        return _too_much(code)
    log.warning("refused", status=code, reference=request_id(), endpoint=request.endpoint)
    return _page("errors/erreur.html", code, reference=request_id(), at=now())


def with_retry_after(response: Response, seconds: int) -> Response:
    """Add `Retry-After` (RFC 9110, 10.2.3): the request may be repeated in `seconds`. Return the response."""
    response.headers["Retry-After"] = str(seconds)
    return response


def _busy(reason: str, seconds: int) -> http.Response:
    SHED.count(reason)
    if is_called_by_program():
        return _unavailable(seconds)
    page = endpoints.from_memory("errors/affluence.html", 503, wait=seconds)
    page.headers.append(("Retry-After", str(seconds)))
    return page


def overloaded(_request: http.Request) -> http.Response:
    """Return the response to a request for which too many wait, from memory."""
    return _busy("queue", _SHED_RETRY_SECONDS)


def nowhere(_request: http.Request) -> http.Response:
    """Return the page of a path that no page has, from memory; remember a language that was chosen on it."""
    page = endpoints.from_memory("errors/introuvable.html", 404)
    if language := languages.asked():
        languages.keep(page, language)
    return page


def _unavailable(seconds: int) -> http.Response:
    return http.json_response({"error": "temporarily_unavailable"}, 503, [("Retry-After", str(seconds))])


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


def form_token_refused(_error: FormTokenError) -> Response:
    """Show that the form was open for too long, and the way to open it again."""
    return _page("errors/formulaire.html", 400, retry_url=shown_page())


def _on_foreign_form(_error: ForeignFormError) -> Response:
    log.warning("form of another origin refused", reference=request_id(), endpoint=request.endpoint)
    return _page("errors/origine.html", 400)


def _on_database(error: SQLAlchemyError) -> Response | http.Response:
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


def _on_driver(error: DBAPIError) -> Response | http.Response:
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


def configure(app: Flask) -> None:
    """Register the error handlers of `app`."""
    app.log_exception = _on_late_fault  # type: ignore[method-assign,assignment] # Flask wants a subclass
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(ServiceBusyError, lambda error: _busy(error.reason, error.retry_after))
    app.register_error_handler(TooManyRequestsError, _on_too_many)
    app.register_error_handler(InteractionLostError, lambda e: _page("errors/expire.html", 400, dest=e.dest, code=""))
    app.register_error_handler(IncompleteLinkError, lambda e: _page("errors/lien_incomplet.html", 410, onward=e.onward))
    app.register_error_handler(FormTokenError, form_token_refused)
    app.register_error_handler(ForeignFormError, _on_foreign_form)
    app.register_error_handler(OperationalError, _on_database)
    app.register_error_handler(DBAPIError, _on_driver)
    app.register_error_handler(PoolTimeout, _on_database)
    app.register_error_handler(Exception, _on_fault)
