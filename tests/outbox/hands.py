"""`python -m tests.outbox.hands DATABASE SMTP [--once]`: run the worker in a process that tests may kill."""

import sys
import time
from pathlib import Path

from idp.mail.smtp import Transport
from idp.outbox.commands import worker
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from tests.mail.handler import TEMPLATES, mailing, settings_for
from tests.outbox.application import running
from tests.services import change_services


def main(database_url: str, smtp_url: str, *options: str) -> None:
    """Run `idp worker` with two kinds of messages: `mail`, and `slow`, which waits for a file."""
    settings = settings_for(smtp_url)
    with running(database_url, TEMPLATES) as app:
        handlers = {"mail": mailing(settings), "slow": _wait_for_file}
        change_services(
            app,
            settings=settings,
            transport=Transport(settings),
            outbox_handlers=handlers,
            outbox_lanes=(frozenset({"slow"}),),
        )
        worker.main(list(options), prog_name="idp worker", standalone_mode=False)


def _wait_for_file(message: OutboxMessage) -> Outcome:
    started, release = Path(message.payload["started"]), Path(message.payload["wanted"])
    started.touch()
    while not release.exists():
        time.sleep(0.05)
    return Outcome.DONE


if __name__ == "__main__":
    main(*sys.argv[1:])
