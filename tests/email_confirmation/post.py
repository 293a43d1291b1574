"""The product's worker and handlers, and a real SMTP server that keeps the mails."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage

from flask import Flask

from idp.db import db
from idp.mail.smtp import Transport
from idp.outbox.worker import Worker
from idp.services import services_of
from tests.mail.servers import Mailbox, smtp_server
from tests.services import change_services

_LINK = re.compile(r"https://connexion\.exemple\.test(/adresse/lien/[A-Za-z0-9_-]{43})\b")


@dataclass
class PostOffice:
    app: Flask
    mailbox: Mailbox

    def deliver(self) -> list[EmailMessage]:
        db.session.rollback()
        Worker(services_of(self.app).outbox_handlers).run_once()
        db.session.expire_all()
        return self.mailbox.mails()


@contextmanager
def post_office(app: Flask) -> Iterator[PostOffice]:
    mailbox = Mailbox()
    settings = services_of(app).settings
    with smtp_server(mailbox) as port:
        here = settings.model_copy(update={"smtp_url": type(settings.smtp_url)(f"smtp://127.0.0.1:{port}")})
        change_services(app, transport=Transport(here))
        yield PostOffice(app, mailbox)


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def html_of(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def link_of(mail: EmailMessage) -> str:
    [link] = set(_LINK.findall(text_of(mail)) + _LINK.findall(html_of(mail)))
    return str(link)
