"""Delivery from the outbox to a real SMTP server, for each kind of SMTP reply."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.mail.smtp import Transport
from idp.outbox import relay
from idp.outbox.models import OutboxMessage
from idp.outbox.queue import enqueue
from idp.outbox.worker import PermanentDeliveryError, Worker
from tests.mail.handler import NOEMIE, mailing
from tests.mail.servers import Mailbox, smtp_server

UseServer = Callable[[str], Settings]


def queue_one() -> None:
    enqueue("mail", {"token": "Jx7v2mQ9"})
    db.session.commit()


def only_message() -> OutboxMessage:
    with Session(db.engine, expire_on_commit=False) as session, session.begin():
        return session.query(OutboxMessage).one()


@pytest.mark.row("S-03")
def test_a_queued_mail_arrives_once_and_whole(mail_app: Flask, use_server: UseServer) -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox) as port:
        worker = Worker({"mail": mailing(use_server(f"smtp://127.0.0.1:{port}"))})
        queue_one()
        assert worker.run_once() == 1
        assert worker.run_once() == 0
    assert [each.rcpt_tos for each in mailbox.envelopes] == [[NOEMIE]]
    (mail,) = mailbox.mails()
    assert mail["Message-ID"] == f"<{only_message().id}@academie.test>"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "\n.\n24 heures" in body.get_content().replace("\r\n", "\n"), "a line with a dot alone ends nothing"
    assert (only_message().outcome, only_message().payload) == ("sent", {})


@pytest.mark.row("S-04")
def test_a_refused_recipient_is_dead_and_visible(mail_app: Flask, use_server: UseServer) -> None:
    mailbox = Mailbox(at_rcpt=f"550 5.1.1 <{NOEMIE}>: no user noemie here, see https://smtp.test/why")
    with smtp_server(mailbox) as port:
        worker = Worker({"mail": mailing(use_server(f"smtp://127.0.0.1:{port}"))})
        queue_one()
        assert worker.run_once() == 1
    message = only_message()
    assert (message.outcome, message.last_error) == ("dead", "550 5.1.1 … no user … here, see …")
    assert message.payload == {"token": "Jx7v2mQ9"}
    assert not mailbox.envelopes


@pytest.mark.row("S-04")
def test_a_connection_lost_after_the_mail_makes_one_duplicate_with_the_same_id(
    mail_app: Flask, use_server: UseServer
) -> None:
    mailbox = Mailbox(at_data="drop")
    with smtp_server(mailbox) as port, time_machine.travel(now(), tick=False) as clock:
        worker = Worker({"mail": mailing(use_server(f"smtp://127.0.0.1:{port}"))})
        queue_one()
        for _ in range(5):
            worker.run_once()
            clock.shift(timedelta(hours=2))
    first, second = mailbox.mails()
    assert first["Message-ID"] == second["Message-ID"]
    message = only_message()
    assert (message.outcome, message.attempts) == ("dead", 2)
    assert "may have accepted it" in message.last_error


@pytest.mark.row("S-04", "W-08")
def test_a_server_that_is_down_keeps_every_mail(mail_app: Flask, use_server: UseServer) -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox) as port:
        pass
    down = use_server(f"smtp://127.0.0.1:{port}")
    queue_one()
    assert Worker({"mail": mailing(down)}).run_once() == 1
    message = only_message()
    assert (message.outcome, message.attempts) == ("relay_down", 0)
    assert "refused" in message.last_error
    assert not Transport(down).can_be_used()
    with smtp_server(mailbox) as port:
        settings = use_server(f"smtp://127.0.0.1:{port}")
        worker = Worker({"mail": mailing(settings)}, probe=Transport(settings).can_be_used)
        assert worker.run_once() == 1, "at once, not after a back-off"
    assert (only_message().outcome, only_message().attempts) == ("sent", 1)
    assert len(mailbox.envelopes) == 1


def test_a_mail_that_is_accepted_makes_those_that_wait_for_the_server_due(
    mail_app: Flask, use_server: UseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_last_release", -relay._RELEASE_SECONDS)
    mailbox = Mailbox()
    with smtp_server(mailbox) as port:
        pass
    queue_one()
    assert Worker({"mail": mailing(use_server(f"smtp://127.0.0.1:{port}"))}).run_once() == 1
    with smtp_server(mailbox) as port:
        worker = Worker({"mail": mailing(use_server(f"smtp://127.0.0.1:{port}"))})
        assert worker.run_once() == 0
        queue_one()
        assert worker.run_once() == 2
    assert len(mailbox.envelopes) == 2


@pytest.mark.row("S-06")
def test_a_mail_is_marked_as_sent_before_the_connection_ends(mail_app: Flask, use_server: UseServer) -> None:
    """A worker that is killed while the server says its last word leaves no mail that another one sends again."""
    engine = db.engine
    outcomes: list[str] = []

    def look() -> None:
        with Session(engine) as session:
            outcomes.extend(session.scalars(select(OutboxMessage.outcome)))

    mailbox = Mailbox(on_quit=look)
    with smtp_server(mailbox) as port:
        queue_one()
        assert Worker({"mail": mailing(use_server(f"smtp://127.0.0.1:{port}"))}).run_once() == 1
    assert outcomes == ["sent"]


@pytest.mark.row("S-01")
def test_a_mail_to_another_recipient_is_not_sent(mail_app: Flask, use_server: UseServer) -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox) as port:
        settings = use_server(f"smtp://127.0.0.1:{port}")
        for wrong in ("x@evil.test", f"{NOEMIE}, x@evil.test", f"{NOEMIE}\r\nRCPT TO:<x@evil.test>", f"{NOEMIE}\x00"):
            queue_one()
            assert Worker({"mail": mailing(settings, to=wrong)}).run_once() == 1
    assert not mailbox.envelopes
    with Session(db.engine) as session:
        assert {message.outcome for message in session.query(OutboxMessage)} == {"dead"}


@pytest.mark.row("S-06")
def test_a_handler_that_leaves_a_transaction_open_sends_nothing(mail_app: Flask, use_server: UseServer) -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox) as port:
        settings = use_server(f"smtp://127.0.0.1:{port}")
        message = OutboxMessage(id=enqueue("mail", {}).id, payload={"token": "x"})
        db.session.flush()
        with pytest.raises(RuntimeError, match="a unit of work is open"):
            mailing(settings)(message)
        db.session.commit()
        mailing(settings)(message)
        with pytest.raises(PermanentDeliveryError):
            mailing(settings, to="x@evil.test")(message)
    assert len(mailbox.envelopes) == 1
