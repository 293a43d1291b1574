"""An SMTP server of this process: it takes mails, refuses them, is slow, or is away."""

import asyncio
from collections import Counter
from typing import Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from bench.driver.transport import HOST

Mood = Literal["ready", "slow", "refusing"]
_SLOW_SECONDS = 2.0


class Mailbox:
    """The server, and how many mails each address has got."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mood: Mood = "ready"
        self.received: Counter[str] = Counter()
        self._controller: Controller | None = None

    def open(self) -> None:
        """Listen."""
        if self._controller is None:
            self._controller = Controller(self, hostname=HOST, port=self.port, server_hostname="boite.exemple")
            self._controller.start()

    def close(self) -> None:
        """Stop listening, and break connections."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail, or not."""
        if self.mood == "refusing":
            return "451 4.3.0 Try again later"
        if self.mood == "slow":
            await asyncio.sleep(_SLOW_SECONDS)
        self.received.update(envelope.rcpt_tos)
        return "250 2.0.0 Taken"
