"""Sends mails through the SMTP server of the settings (RFC 5321).

Certificates are verified, and `smtp+starttls://` never falls back to clear text. The answers of the server are kept for
operators, without emails and links. `deliver` sends outside any transaction.
"""

import re
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import unquote, urlsplit

from idp.config import Settings
from idp.db import release_connection
from idp.mail.emails import InvalidEmailError, check_recipient
from idp.metrics.catalogue import MAILS
from idp.outbox import leases, queue
from idp.outbox.worker import (
    PermanentDeliveryError,
    RelayDownError,
    TemporaryDeliveryError,
    UncertainDeliveryError,
)
from idp.services import services
from idp.tracing import Kind, Span

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
DIALOGUE_SECONDS = 90.0  # from the connection to the last line of the mail
ACCEPT_SECONDS = 120.0
"""For the answer to the last line: a server that scans mails may take a minute. After a timeout, a copy is sent."""
_QUIT_SECONDS = 1.0


class SmtpConnection(smtplib.SMTP):
    """An SMTP connection with a deadline for the whole dialogue."""

    def __init__(self, host: str, port: int, name: str, **options: ssl.SSLContext) -> None:
        """Connect to `host` and read its greeting; `name` is the name of this machine in EHLO.

        Raises:
            OSError: the connection failed, or (`smtplib.SMTPConnectError`) the server refused it.
        """
        self._end = time.monotonic() + DIALOGUE_SECONDS
        self._answer_seconds = ANSWER_SECONDS
        super().__init__(host, port, name, timeout=CONNECT_SECONDS, **options)  # type: ignore[arg-type]

    def getreply(self) -> tuple[int, bytes]:
        """Read one answer before the deadline."""
        if self.sock is not None:
            self.sock.settimeout(max(0.1, min(self._answer_seconds, self._end - time.monotonic())))
        return super().getreply()

    def await_acceptance(self) -> tuple[int, bytes]:
        """Read the answer to the whole mail, with a deadline of its own."""
        self._end, self._answer_seconds = time.monotonic() + ACCEPT_SECONDS, ACCEPT_SECONDS
        return self.getreply()

    def leave(self) -> None:
        """Quit with a short deadline; errors no longer matter to the mail."""
        self._end, self._answer_seconds = time.monotonic() + _QUIT_SECONDS, _QUIT_SECONDS
        with suppress(OSError):
            self.quit()
        self.close()


class SmtpTlsConnection(SmtpConnection, smtplib.SMTP_SSL):
    """An SMTP connection over implicit TLS (RFC 8314); takes `context`."""


_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
_START_MAIL, _PERMANENT = 354, 500
_AUTHENTICATION_CODES = frozenset({530, 534, 535, 538})  # RFC 4954: an operator can repair the settings
_PRIVATE = re.compile(r"\S*@\S*|https?:\S*", re.IGNORECASE)


class Transport:
    """Sends mails, each over its own connection, since servers close idle ones."""

    def __init__(self, settings: Settings) -> None:
        """Parse the URL of the server.

        Raises:
            ValueError: the port is not a number up to 65535.
        """
        parts = urlsplit(settings.smtp_url.get_secret_value())
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._sender = settings.mail_from
        self._name = urlsplit(settings.issuer).hostname or "localhost"  # without a name, smtplib would query the DNS

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Send `message` to `recipient` only. The connection ends after the outcome of the message is stored.

        Raises:
            RelayDownError: the server cannot be used: no connection, no TLS, no authentication, the sender refused.
            TemporaryDeliveryError: the mail was not accepted: a 4xx code, or a connection that broke.
            UncertainDeliveryError: the answer was lost after the whole mail was sent.
            PermanentDeliveryError: the server refused the recipient or the mail (5xx to RCPT or DATA).
        """
        data = _wire_format(message)
        with _failures(RelayDownError, recipient):
            client = self._open()
        try:
            with _failures(TemporaryDeliveryError, recipient):
                _address(client, recipient)
                client.send(data)
                _await_acceptance(client, recipient)
        finally:
            leases.after_settling(client.leave)

    def can_be_used(self) -> bool:
        """Return whether the server lets this service begin a mail."""
        try:
            with _failures(RelayDownError, ""):
                client = self._open()
        except RelayDownError:
            return False
        client.leave()
        return True

    def greet(self) -> str:
        """Begin a mail and break off; return in words what the server accepted.

        Raises:
            RelayDownError: see `send`.
        """
        with _failures(RelayDownError, ""):
            client = self._open()
        version = client.sock.version() if isinstance(client.sock, ssl.SSLSocket) else None
        client.leave()
        user = "authenticated" if self._user else "without a user"
        return f"{self._scheme}://{self._host}:{self._port}: {version or 'no TLS'}, {user}"

    def _open(self) -> SmtpConnection:
        client = self._connect()
        try:
            self._identify(client)
        except BaseException:
            client.leave()
            raise
        return client

    def _connect(self) -> SmtpConnection:
        if self._scheme == "smtps":
            return SmtpTlsConnection(self._host, self._port, self._name, context=ssl.create_default_context())
        return SmtpConnection(self._host, self._port, self._name)

    def _identify(self, client: SmtpConnection) -> None:
        if self._scheme == "smtp+starttls":
            client.starttls(context=ssl.create_default_context())  # raises if the server does not offer or refuses it
        client.ehlo_or_helo_if_needed()
        if self._user:
            client.login(self._user, self._password)
        code, answer = client.mail(self._sender)
        if not _is_positive(code):
            raise smtplib.SMTPResponseException(code, answer)


@contextmanager
def _failures(kind: type[TemporaryDeliveryError], recipient: str) -> Iterator[None]:
    try:
        yield
    except smtplib.SMTPResponseException as error:
        raise kind(_describe(error.smtp_code, error.smtp_error, recipient)) from error
    except ssl.SSLError as error:
        raise kind(f"TLS failed: {getattr(error, 'verify_message', '') or error.reason}") from error
    except UnicodeError as error:  # its text has a character of the password
        raise kind("the SMTP user, its password or the sender's email is not ASCII") from error
    except OSError as error:  # also the exceptions of smtplib
        raise kind(f"no delivery: {_without_personal_data(str(error), recipient)}") from error


def _address(client: SmtpConnection, recipient: str) -> None:
    code, answer = client.rcpt(recipient)
    if not _is_positive(code):
        _refuse(code, answer, recipient)
    code, answer = client.docmd("DATA")
    if code != _START_MAIL:
        _refuse(code, answer, recipient)


def _await_acceptance(client: SmtpConnection, recipient: str) -> None:
    try:
        code, answer = client.await_acceptance()
    except OSError as error:
        raise UncertainDeliveryError("no answer after the whole mail: the server may have accepted it") from error
    if code < 0:
        raise UncertainDeliveryError("invalid answer after the whole mail: the server may have accepted it")
    if not _is_positive(code):
        _refuse(code, answer, recipient)


def _is_positive(code: int) -> bool:
    return code // 100 == 2  # noqa: PLR2004 - RFC 5321, 4.2.1: the first digit


def _refuse(code: int, answer: bytes, recipient: str) -> None:
    reason = _describe(code, answer, recipient)
    if code >= _PERMANENT and code not in _AUTHENTICATION_CODES:
        raise PermanentDeliveryError(reason)
    raise TemporaryDeliveryError(reason)


def _wire_format(message: EmailMessage) -> bytes:
    """Return the mail in the format of DATA: CRLF line ends, leading dots doubled, the final dot (RFC 5321, 4.5.2)."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", message.as_bytes(policy=SMTP)).removesuffix(b"\r\n")
    return re.sub(rb"(?m)^\.", b"..", lines) + b"\r\n.\r\n"


def _describe(code: int, answer: bytes | str, recipient: str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return f"{code} {_without_personal_data(text, recipient)}"


def _without_personal_data(text: str, recipient: str) -> str:
    """Return the answer of a server without emails and links, for logs and operators."""
    text = _PRIVATE.sub("…", text)
    if recipient:
        local = re.escape(recipient.partition("@")[0])
        text = re.sub(rf"(?<![\w.]){local}(?!\w)", "…", text, flags=re.IGNORECASE)
    return " ".join(text.split())[:300]


def deliver(message: EmailMessage, recipient: str) -> None:
    """Send `message` to `recipient`, the only email of its `To`.

    Raises:
        RelayDownError, TemporaryDeliveryError, UncertainDeliveryError, PermanentDeliveryError: see `Transport.send`.
        RuntimeError: the handler left a unit of work open. The link in the mail would not be committed yet.
    """
    release_connection()
    try:
        check_recipient(recipient)
    except InvalidEmailError as error:
        raise PermanentDeliveryError(f"the recipient is not a valid email ({error.reason})") from error
    if [email.addr_spec for email in message["To"].addresses] != [recipient]:
        raise PermanentDeliveryError("the To header of the mail is not its recipient")
    domain = recipient.rpartition("@")[2].lower()
    try:
        with Span("smtp", Kind.CLIENT):
            services().transport.send(message, recipient)
    except (TemporaryDeliveryError, PermanentDeliveryError) as error:
        MAILS.count(domain, _result_of(error))
        raise
    MAILS.count(domain, "sent")
    leases.after_settling(queue.note_relay_success)


def _result_of(error: Exception) -> str:
    if isinstance(error, UncertainDeliveryError):
        return "uncertain"
    return "temporary" if isinstance(error, TemporaryDeliveryError) else "permanent"
