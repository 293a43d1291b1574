"""The mail catcher: an SMTP server (RFC 5321) that forwards nothing, and the web page that shows its messages.

`idp demo` runs it as `python -m demo.catcher`. A message is on the disk before it is accepted (« 250 »), and malformed
messages are kept like the others: the sender is under test, not the catcher.
"""

import asyncio
import logging
import signal
import sys
import threading
from pathlib import Path

import click
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from werkzeug.serving import WSGIRequestHandler, make_server

from demo.mailbox import Mailbox
from demo.webmail import create_webmail

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
    """Logs errors, but no requests."""

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


if __name__ == "__main__":
    main(sys.argv[1:])
