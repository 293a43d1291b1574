"""The check of the mail server, and the test mail of `idp mail test`."""

import uuid
from collections.abc import Iterator
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from idp.clock import now
from idp.config import Settings
from idp.operations.doctor.finding import Finding, Site
from idp.outbox.worker import TemporaryDeliveryError
from idp.services import services

_TEXT = """\
Bonjour,

Ce mail d’essai vient de {name} ({issuer}), par la commande « idp mail test ».
S’il est arrivé dans les indésirables, faites vérifier SPF, DKIM et DMARC pour le domaine {domain}.
"""


def check(_site: Site) -> Iterator[Finding]:
    """Connect to the mail server, start TLS and authenticate, as for a mail."""
    try:
        yield Finding("mail server", services().transport.greet())
    except TemporaryDeliveryError as error:
        advice = "check IDP_SMTP_URL and the mail server; mails wait in the outbox meanwhile"
        yield Finding("mail server", str(error), "fault", advice)


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
