"""Checks of the mail server, the outbox, its worker and the daily purge; and the test mail of `idp mail test`."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from sqlalchemy import func, select

from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.operations import measured
from idp.operations.checks.finding import Finding, Site, judged
from idp.outbox import leases, queue
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import DEAD, TemporaryDeliveryError
from idp.services import services

_TEXT = """\
Bonjour,

Ce mail d’essai vient de {name} ({issuer}), par la commande « idp mail test ».
S’il est arrivé dans les indésirables, faites vérifier SPF, DKIM et DMARC pour le domaine {domain}.
"""
_LONG = timedelta(minutes=10)
_PURGED_WITHIN = timedelta(days=2)
_PERIODS = 3  # A worker that runs has done each periodic job within so many periods


def check_mail_server(_site: Site) -> Iterator[Finding]:
    """Connect to the mail server, start TLS and authenticate, as for a mail."""
    try:
        yield Finding("mail server", services().transport.greet())
    except TemporaryDeliveryError as error:
        advice = "check IDP_SMTP_URL and the mail server; mails wait in the outbox meanwhile"
        yield Finding("mail server", str(error), "fault", advice)


def check_outbox(_site: Site) -> Iterator[Finding]:
    """Check the age of what is ready for delivery, dead messages, and the last periodic job."""
    moment = now()
    yield _waiting(moment)
    dead = db.session.scalar(select(func.count()).where(OutboxMessage.outcome == DEAD)) or 0
    if dead:
        advice = "idp outbox list says why; then idp outbox retry --dead, or idp outbox drop for what can never be sent"
        yield Finding("dead messages", str(dead), "warning", advice)
    yield _worker(moment)


def _waiting(moment: datetime) -> Finding:
    since = queue.ready_since(moment)
    ready = (
        OutboxMessage.finished_at.is_(None),
        since.is_not(None),
        leases.is_free(),
    )
    stopped = func.count().filter(OutboxMessage.outcome == queue.RELAY_DOWN)
    count, mails, oldest = db.session.execute(select(func.count(), stopped, func.min(since)).where(*ready)).one()
    if not count:
        return Finding("outbox", "nothing waits")
    age = moment - oldest
    result = f"{count} ready, the oldest for {age // timedelta(minutes=1)} minutes"
    advice = "does idp worker run? more workers share the messages"
    if mails:
        result += f"; {mails} of them wait for the mail server"
        advice = "check IDP_SMTP_URL and the mail server: the mails leave as soon as it answers"
    return judged("outbox", result, (age > _LONG, "fault", advice))


def _worker(moment: datetime) -> Finding:
    kind, period = min(services().periodic_jobs.items(), key=lambda job: job[1])
    done = select(func.max(OutboxMessage.finished_at)).where(OutboxMessage.kind == kind)
    last = db.session.scalar(done)
    if last is None:
        return Finding("worker", "has not run yet", "warning", "start idp worker")
    is_late = moment - last > _PERIODS * period
    result = f"did its last job {(moment - last) // timedelta(minutes=1)} minutes ago"
    return judged("worker", result, (is_late, "fault", "start idp worker, or read its log"))


def check_purge(_site: Site) -> Iterator[Finding]:
    """Check the age of the last completed purge: nothing else removes what must not be kept."""
    last = db.session.scalar(measured.LAST_PURGE)
    if last is None:
        advice = "enable idp-purge.timer, or run idp purge once a day"
        yield Finding("purge", "has not been completed yet", "warning", advice)
        return
    age = now() - last
    advice = "data are kept longer than promised: systemctl status idp-purge.timer, journalctl -u idp-purge"
    yield judged("purge", f"completed {age // timedelta(hours=1)} hours ago", (age > _PURGED_WITHIN, "fault", advice))


def compose_test(settings: Settings, recipient: str) -> EmailMessage:
    """Return a mail to somebody who operates the service."""
    domain = settings.mail_from.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(display_name=settings.service_name, addr_spec=settings.mail_from)
    mail["To"] = Address(addr_spec=recipient)
    mail["Subject"] = "Mail d’essai"
    mail["Date"] = now()
    mail["Message-ID"] = f"<{uuid.uuid4()}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    text = _TEXT.format(name=settings.service_name, issuer=settings.issuer, domain=domain)
    mail.set_content(text, cte="quoted-printable")
    return mail
