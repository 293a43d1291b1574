"""SMTP connections with a deadline for the whole dialogue; the timeout of smtplib is for each answer."""

import smtplib
import ssl
import time
from contextlib import suppress

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
DIALOGUE_SECONDS = 90.0
"""From the connection to the last line of the mail."""
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
