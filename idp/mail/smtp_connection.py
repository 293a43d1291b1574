"""smtplib with an end to its patience: its time-out is for each answer alone, and a hand-over has many answers.

The whole must end before the outbox's lease does (`idp.outbox.claims.LEASE`), or a second worker sends the same mail.
"""

import smtplib
import ssl
import time
from contextlib import suppress

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
DIALOGUE_SECONDS = 90.0
"""From the connection to the last line of the mail, whatever the number of answers in between."""
ACCEPT_SECONDS = 120.0
"""For the answer to the last line: a server that scans may take a minute, and who hangs up before gets a copy sent."""
_GOODBYE_SECONDS = 1.0


class Dialogue(smtplib.SMTP):
    """A connection whose every answer is waited for until the dialogue's own end at most."""

    def __init__(self, host: str, port: int, name: str, **options: ssl.SSLContext) -> None:
        """Connect to `host` and read its greeting; `name` is how this machine calls itself.

        Raises:
            OSError: no connection, or (as `smtplib.SMTPConnectError`) a server that does not want any.
        """
        self._end = time.monotonic() + DIALOGUE_SECONDS
        self._patience = ANSWER_SECONDS
        super().__init__(host, port, name, timeout=CONNECT_SECONDS, **options)  # type: ignore[arg-type]

    def getreply(self) -> tuple[int, bytes]:
        """Read one answer, in the time that is left."""
        if self.sock is not None:
            self.sock.settimeout(max(0.1, min(self._patience, self._end - time.monotonic())))
        return super().getreply()

    def await_acceptance(self) -> tuple[int, bytes]:
        """Read the answer to a whole mail: from here on the server has it, and time is given."""
        self._end, self._patience = time.monotonic() + ACCEPT_SECONDS, ACCEPT_SECONDS
        return self.getreply()

    def leave(self) -> None:
        """Say goodbye, briefly: what comes of it changes nothing to the mail."""
        self._end, self._patience = time.monotonic() + _GOODBYE_SECONDS, _GOODBYE_SECONDS
        with suppress(OSError):
            self.quit()
        self.close()


class TlsDialogue(Dialogue, smtplib.SMTP_SSL):
    """The same over TLS from the first byte (RFC 8314); takes `context`."""
