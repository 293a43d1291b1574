"""`python -m tests.outbox.hands DATABASE SMTP [--once]`: the worker's own command, in a process that tests may kill."""

import sys

from idp.mail.deliver import EXTENSION as TRANSPORT
from idp.mail.smtp import Transport
from idp.outbox.commands import EXTENSION as HANDLERS
from idp.outbox.commands import worker
from tests.mail.handler import TEMPLATES, mailing, settings_for
from tests.outbox.application import running


def main(database_url: str, smtp_url: str, *options: str) -> None:
    """Run `idp worker` with one kind of message, `mail`."""
    settings = settings_for(smtp_url)
    with running(database_url, TEMPLATES) as app:
        app.extensions[TRANSPORT] = Transport(settings)
        app.extensions[HANDLERS] = {"mail": mailing(settings)}
        worker.main(list(options), prog_name="idp worker", standalone_mode=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
