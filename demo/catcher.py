"""The mail catcher: an SMTP server (RFC 5321) that forwards nothing, and the web page that shows its messages.

The page is for a person (`/`) and for a script (`/mails.json`). A mail is foreign HTML: it is shown in a sandboxed
frame under its own policy, without scripts; only links work.

`idp demo` runs it as `python -m demo.catcher`. A message is on the disk before it is accepted (« 250 »), and malformed
messages are kept like the others: the sender is under test, not the catcher.
"""

import asyncio
import logging
import re
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from babel.dates import format_date
from flask import Flask, Response, abort, jsonify, render_template
from jinja2 import StrictUndefined
from markupsafe import Markup, escape
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.serving import WSGIRequestHandler, make_server

from demo.mailbox import Mailbox, Message
from idp import paths
from idp.clock import now

SIZE_LIMIT = 5 * 1024 * 1024
"""The most bytes of a message; a larger one is refused (552), as SIZE (RFC 1870) announces."""
RECIPIENTS = 100
_HOST = "127.0.0.1"
_log = logging.getLogger(__name__)


class Handler:
    """Handles the messages of the SMTP server."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name and signature
        self, _server: SMTP, _session: Session, envelope: Envelope, email: str, options: list[str]
    ) -> str:
        """Accept any recipient, up to `RECIPIENTS` of them."""
        if len(envelope.rcpt_tos) >= RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(email)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Store the message, then accept it; if the disk fails, answer with a temporary failure."""
        content = envelope.content or b""
        raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        try:
            message = await asyncio.to_thread(
                self._mailbox.add, raw, sender=envelope.mail_from or "", to=list(envelope.rcpt_tos)
            )
        except OSError as error:
            _log.error("a message could not be written: %s", error)
            return "451 4.3.0 Cannot be kept now, try again"
        return f"250 2.0.0 Kept as {message.id}"


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


def serve(mailbox: Mailbox, *, smtp_port: int, web_port: int) -> None:
    """Serve SMTP and the web page on 127.0.0.1 until SIGTERM or SIGINT.

    Raises:
        OSError: a port is taken.
    """
    web = make_server(_HOST, web_port, create_webmail(mailbox), threaded=True, request_handler=_QuietHandler)
    web.daemon_threads = True  # type: ignore[attr-defined] # an open connection must not delay the shutdown
    controller = Controller(
        Handler(mailbox),
        hostname=_HOST,
        port=smtp_port,
        server_hostname="boite.demonstration",
        data_size_limit=SIZE_LIMIT,
        enable_SMTPUTF8=True,
        timeout=120,
        ident="demonstration",
    )

    def stop(_signal: int, _frame: object) -> None:
        threading.Thread(target=web.shutdown).start()  # shutdown waits for the loop that this handler interrupts

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    controller.start()
    try:
        web.serve_forever(poll_interval=0.1)
    finally:
        web.server_close()
        controller.stop()


@click.command()
@click.option("--smtp-port", type=click.IntRange(1, 65535), required=True, help="The SMTP port.")
@click.option("--web-port", type=click.IntRange(1, 65535), required=True, help="The web page's port.")
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), required=True, help="The messages' folder.")
def main(smtp_port: int, web_port: int, store: Path) -> None:
    """Catch all mails sent to the SMTP port of this machine and show them on a page."""
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s", level=logging.WARNING)
    try:
        serve(Mailbox(store), smtp_port=smtp_port, web_port=web_port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(f"the mail catcher cannot start: {reason}") from error


PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
"""A link opens a new page, which must not inherit the sandbox: the last word allows that."""

_LINK = re.compile(r"https?://[^\s<>\"«»]+")
_HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_PARIS = ZoneInfo("Europe/Paris")
_NO_BREAK = "\u00a0"


def create_webmail(mailbox: Mailbox) -> Flask:
    """Return the web application that shows `mailbox`."""
    app = Flask(__name__, static_folder=str(paths.STATIC), template_folder=str(paths.TEMPLATES))
    app.config.update(TRUSTED_HOSTS=["127.0.0.1", "localhost", "[::1]"])  # refuse other host names (DNS rebinding)
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    _prepare_templates(app)

    @app.get("/")
    def messages() -> str:
        return render_template("demo/messages.html", messages=mailbox.messages()[::-1])

    @app.get("/mails.json")
    def mails() -> Response:
        return jsonify([message.row() for message in mailbox.messages()])

    @app.get("/messages/<identifier>")
    def message(identifier: str) -> str:
        return render_template("demo/message.html", message=_get(mailbox, identifier))

    @app.get("/messages/<identifier>/html")
    def mail_html(identifier: str) -> Response:
        response = Response(_with_base(_get(mailbox, identifier).html), mimetype="text/html")
        response.headers["Content-Security-Policy"] = MAIL_POLICY
        return response

    @app.get("/messages/<identifier>/source")
    def source(identifier: str) -> Response:
        raw = mailbox.find_source(identifier)
        return abort(404) if raw is None else Response(raw, content_type="text/plain; charset=utf-8")

    app.register_error_handler(HTTPException, _error)
    app.after_request(_secure)
    return app


def _get(mailbox: Mailbox, identifier: str) -> Message:
    message = mailbox.find(identifier)
    if message is None:
        raise NotFound
    return message


def _error(error: HTTPException) -> Response:
    """Answer an error. Only 404 has a page, since a page needs a valid URL."""
    if isinstance(error, NotFound):
        return Response(render_template("demo/introuvable.html"), error.code)
    return Response(f"{error.name}\n", error.code, mimetype="text/plain")


def _secure(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"  # the URL of a link in a mail is a secret
    response.headers["Cache-Control"] = "no-store"
    return response


def _prepare_templates(app: Flask) -> None:
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(french, _plural, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.filters.update(linked=linked, received=received)


def french(text: str) -> str:
    """Return `text` with the no-break spaces of French typography; this page has one language."""
    text = re.sub(r" (?=[:;?!»%])", _NO_BREAK, text)
    return text.replace("« ", f"«{_NO_BREAK}")


def _plural(singular: str, plural: str, number: int) -> str:
    return french(singular if number < 2 else plural)  # noqa: PLR2004 - in French, 0 and 1 are singular


def linked(text: str) -> Markup:
    """Return `text` escaped, its URLs as links that open in a new tab."""
    parts: list[str] = []
    end = 0
    for match in _LINK.finditer(text):
        url = match.group().rstrip(".,;:!?)]}’'")
        parts += [
            escape(text[end : match.start()]),
            Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>').format(url),
        ]
        end = match.start() + len(url)
    return Markup("").join([*parts, escape(text[end:])])


def received(at: datetime) -> str:
    """Return when a message came, in Paris time: « 20 h 42 » today, with the day before that."""
    local = at.astimezone(_PARIS)
    hour = f"{local:%H} h {local:%M}".replace(" ", _NO_BREAK)
    if local.date() == now().astimezone(_PARIS).date():
        return hour
    return f"{format_date(local.date(), 'd MMMM y', locale='fr')} à {hour}"


def _with_base(html: str) -> str:
    """Return a mail whose links open in a new tab: the linked pages refuse to be framed."""
    base = '<base target="_blank">'
    if _HEAD.search(html):
        return _HEAD.sub(lambda head: head.group() + base, html, count=1)
    return f"<!doctype html>{base}{html}"


if __name__ == "__main__":
    main(sys.argv[1:])
