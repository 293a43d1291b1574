"""Hands one mail to the SMTP server that the settings name, and says exactly how it went (RFC 5321).

Certificates are verified, and `smtp+starttls://` never falls back to clear text: whoever strips STARTTLS on the way
gets nothing. What the server answers is kept for operators, without the recipient and without links.
"""

import re
import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import unquote, urlsplit

from idp.config import Settings
from idp.mail.dialogue import Dialogue, TlsDialogue
from idp.outbox.worker import PermanentFailure, TemporaryFailure, UncertainFailure

_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
_GO_ON, _REFUSED = 354, 500
_NOT_FOR_THIS_MAIL = frozenset({530, 534, 535, 538})  # « authenticate first » (RFC 4954): an operator can mend that
_PRIVATE = re.compile(r"\S*@\S*|https?:\S*", re.IGNORECASE)


class Transport:
    """The way to the SMTP server. Each mail has its own connection: an idle one would have been closed in between."""

    def __init__(self, settings: Settings) -> None:
        """Read the server's address from the settings.

        Raises:
            ValueError: when the port is not a number up to 65535.
        """
        parts = urlsplit(settings.smtp_url.get_secret_value())
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._sender = settings.mail_from
        self._name = urlsplit(settings.issuer).hostname or "localhost"  # smtplib would ask the DNS, and wait for it

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Hand `message` over to the server, for `recipient` alone.

        Raises:
            TemporaryFailure: nothing was taken: no connection, no TLS, not now (4xx), or the server refuses us.
            UncertainFailure: the whole mail had left when the answer was lost.
            PermanentFailure: the server refuses this recipient or this mail (5xx to RCPT or DATA).
        """
        data = _wire_format(message)
        try:
            client = self._connect()
            try:
                self._identify(client)
                self._envelope(client, recipient)
                client.send(data)
                _await_acceptance(client, recipient)
            finally:
                client.leave()
        except smtplib.SMTPResponseException as error:
            raise TemporaryFailure(_told(error.smtp_code, error.smtp_error, recipient)) from error
        except ssl.SSLError as error:
            raise TemporaryFailure(f"TLS refused: {getattr(error, 'verify_message', '') or error.reason}") from error
        except UnicodeError as error:  # its text would show a sign of the password
            raise TemporaryFailure("the SMTP user, its password or the sender's address is not ASCII") from error
        except OSError as error:  # smtplib's own exceptions among them
            raise TemporaryFailure(f"no delivery: {_plain(str(error), recipient)}") from error

    def _connect(self) -> Dialogue:
        if self._scheme == "smtps":
            return TlsDialogue(self._host, self._port, self._name, context=ssl.create_default_context())
        return Dialogue(self._host, self._port, self._name)

    def _identify(self, client: Dialogue) -> None:
        if self._scheme == "smtp+starttls":
            client.starttls(context=ssl.create_default_context())  # raises when it is not offered, or not granted
        client.ehlo_or_helo_if_needed()
        if self._user:
            client.login(self._user, self._password)

    def _envelope(self, client: Dialogue, recipient: str) -> None:
        code, answer = client.mail(self._sender)
        if not _is_yes(code):
            raise smtplib.SMTPResponseException(code, answer)
        code, answer = client.rcpt(recipient)
        if not _is_yes(code):
            _refuse(code, answer, recipient)
        code, answer = client.docmd("DATA")
        if code != _GO_ON:
            _refuse(code, answer, recipient)


def _await_acceptance(client: Dialogue, recipient: str) -> None:
    try:
        code, answer = client.await_acceptance()
    except OSError as error:
        raise UncertainFailure("the server did not answer after the whole mail; it may have taken it") from error
    if code < 0:
        raise UncertainFailure("the server's answer after the whole mail makes no sense; it may have taken it")
    if not _is_yes(code):
        _refuse(code, answer, recipient)


def _is_yes(code: int) -> bool:
    return code // 100 == 2  # noqa: PLR2004 - RFC 5321 §4.2.1: the first digit tells


def _refuse(code: int, answer: bytes, recipient: str) -> None:
    told = _told(code, answer, recipient)
    if code >= _REFUSED and code not in _NOT_FOR_THIS_MAIL:
        raise PermanentFailure(told)
    raise TemporaryFailure(told)


def _wire_format(message: EmailMessage) -> bytes:
    """Return the mail as it goes through the connection: CRLF everywhere, dots doubled, the final dot (§4.5.2)."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", message.as_bytes(policy=SMTP)).removesuffix(b"\r\n")
    return re.sub(rb"(?m)^\.", b"..", lines) + b"\r\n.\r\n"


def _told(code: int, answer: bytes | str, recipient: str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return f"{code} {_plain(text, recipient)}"


def _plain(text: str, recipient: str) -> str:
    """Leave out of a server's words the recipient, any other address and any link: operators and logs read them."""
    local = re.escape(recipient.partition("@")[0])
    text = re.sub(rf"(?<![\w.]){local}(?!\w)", "…", _PRIVATE.sub("…", text), flags=re.IGNORECASE)
    return " ".join(text.split())[:300]
