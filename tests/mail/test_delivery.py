"""Delivery from the outbox to SMTP servers that work, refuse, are slow, or stand between us and the real one."""

import socket
import threading
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from idp.config import ConfigurationError, Settings
from idp.db import db
from idp.mail import smtp
from idp.mail.smtp import Transport
from idp.outbox import queue
from idp.outbox.queue import OutboxMessage, enqueue
from idp.outbox.worker import (
    PermanentDeliveryError,
    RelayDownError,
    TemporaryDeliveryError,
    UncertainDeliveryError,
    Worker,
)
from tests.email_confirmation.post import text_of
from tests.mail.handler import NOEMIE, mailing
from tests.mail.servers import Mailbox, certificate, smtp_server

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
    assert "\n.\n24 heures" in text_of(mail).replace("\r\n", "\n"), "a line with a dot alone ends nothing"
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
    monkeypatch.setattr(queue, "_last_release", -queue._RELEASE_SECONDS)
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


SettingsFor = Callable[[str], Settings]


def a_mail() -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["To"] = NOEMIE
    mail["Subject"] = "Activez votre compte"
    mail.set_content("Bonjour Mme LEROY-VANDEPUTTE,\n\n.\n..\nÀ bientôt\n", cte="quoted-printable")
    return mail


def test_envelope_and_greeting(mail_settings: SettingsFor) -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox) as port:
        Transport(mail_settings(f"smtp://127.0.0.1:{port}")).send(a_mail(), NOEMIE)
    (envelope,) = mailbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("ne-pas-repondre@academie.test", [NOEMIE])
    assert envelope.content == a_mail().as_bytes()
    assert mailbox.greeted_as == ["127.0.0.1"], "the issuer's name, not what the DNS says of this machine"


def test_the_usual_ports(mail_settings: SettingsFor) -> None:
    ports = [Transport(mail_settings(f"{scheme}://smtp.test"))._port for scheme in ("smtp", "smtps", "smtp+starttls")]
    assert ports == [25, 465, 587]
    with pytest.raises(ConfigurationError, match="IDP_SMTP_URL"):
        mail_settings("smtp://smtp.test:70000")


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_user_and_password_are_read_from_the_address(mail_settings: SettingsFor) -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox, auth=True) as port:
        Transport(mail_settings(f"smtp://idp%40exemple.test:p%40ss%2Fword@127.0.0.1:{port}")).send(a_mail(), NOEMIE)
        assert mailbox.logins == [(b"idp@exemple.test", b"p@ss/word")]
        for user in ("idp:wrong@", "", "idp:p%C3%A9@"):
            with pytest.raises(TemporaryDeliveryError) as refused:
                Transport(mail_settings(f"smtp://{user}127.0.0.1:{port}")).send(a_mail(), NOEMIE)
            assert "wrong" not in refused.value.reason
            assert "é" not in refused.value.reason
    assert len(mailbox.envelopes) == 1


@pytest.mark.row("S-04")
@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_trusted_certificate_carries_the_mail_under_tls(
    mail_settings: SettingsFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    good = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(good.file))
    mailbox = Mailbox()
    contexts = {"tls": good.context} if scheme == "smtps" else {"starttls": good.context}
    with smtp_server(mailbox, **contexts) as port:  # type: ignore[arg-type]
        Transport(mail_settings(f"{scheme}://127.0.0.1:{port}")).send(a_mail(), NOEMIE)
    assert mailbox.tls == [True]


@pytest.mark.row("S-04")
@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
@pytest.mark.parametrize("fault", ["unknown", "of another host"])
def test_a_wrong_certificate_sends_nothing(
    mail_settings: SettingsFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, fault: str
) -> None:
    wrong = certificate(tmp_path, "127.0.0.1" if fault == "unknown" else "192.0.2.1")
    if fault == "of another host":
        monkeypatch.setenv("SSL_CERT_FILE", str(wrong.file))
    mailbox = Mailbox()
    contexts = {"tls": wrong.context} if scheme == "smtps" else {"starttls": wrong.context}
    with (
        smtp_server(mailbox, **contexts) as port,  # type: ignore[arg-type]
        pytest.raises(TemporaryDeliveryError, match="TLS failed"),
    ):
        Transport(mail_settings(f"{scheme}://127.0.0.1:{port}")).send(a_mail(), NOEMIE)
    assert not mailbox.envelopes
    assert not mailbox.greeted_as


@pytest.mark.row("S-04")
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_stripped_starttls_sends_neither_mail_nor_password(mail_settings: SettingsFor) -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox, auth=True) as port, pytest.raises(TemporaryDeliveryError, match="STARTTLS"):
        Transport(mail_settings(f"smtp+starttls://idp:p%40ss%2Fword@127.0.0.1:{port}")).send(a_mail(), NOEMIE)
    assert not mailbox.envelopes
    assert not mailbox.logins


@pytest.mark.row("S-04")
def test_a_server_that_scans_longer_than_any_other_answer_may_take_is_waited_for(
    mail_settings: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "ANSWER_SECONDS", 2)
    mailbox = Mailbox(delay=3)
    with smtp_server(mailbox) as port:
        Transport(mail_settings(f"smtp://127.0.0.1:{port}")).send(a_mail(), NOEMIE)
    assert len(mailbox.envelopes) == 1
    assert smtp.ACCEPT_SECONDS > 60


@pytest.mark.row("S-04")
def test_a_server_that_never_answers_after_the_mail_is_uncertain(
    mail_settings: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "ACCEPT_SECONDS", 0.3)
    mailbox = Mailbox(delay=30)
    with smtp_server(mailbox) as port, pytest.raises(UncertainDeliveryError):
        Transport(mail_settings(f"smtp://127.0.0.1:{port}")).send(a_mail(), NOEMIE)


@pytest.mark.row("S-04")
@pytest.mark.parametrize(
    ("when", "answer", "failure"),
    [
        ("at_data", "554 5.7.1 looks like spam", PermanentDeliveryError),
        ("at_data", "421 4.3.2 shutting down", TemporaryDeliveryError),
        ("at_rcpt", "452 4.2.2 mailbox full", TemporaryDeliveryError),
        ("at_rcpt", "530 5.7.0 authenticate first", TemporaryDeliveryError),
        ("at_rcpt", "550 5.1.1 unknown", PermanentDeliveryError),
    ],
)
def test_smtp_response_maps_to_its_failure(
    mail_settings: SettingsFor, when: str, answer: str, failure: type[Exception]
) -> None:
    mailbox = Mailbox(**{when: answer})  # type: ignore[arg-type]
    with smtp_server(mailbox) as port, pytest.raises(failure) as raised:
        Transport(mail_settings(f"smtp://127.0.0.1:{port}")).send(a_mail(), NOEMIE)
    assert type(raised.value) is failure
    assert str(raised.value) == answer


def answering(*lines: bytes, until: threading.Event | None = None) -> tuple[int, threading.Thread]:
    """Start a peer that sends `lines` one after the other, whatever it is told, then closes; return its port.

    It closes when `until` is set, if there is one.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(60)

    def run() -> None:
        with listener, listener.accept()[0] as peer:
            try:
                for line in lines:
                    peer.sendall(line)
                    peer.recv(65536)
                if until:
                    until.wait(60)
            except OSError:
                pass  # hung up on, as some tests want

    thread = threading.Thread(target=run)
    thread.start()
    return listener.getsockname()[1], thread


HELLO = (b"220 smtp.test\r\n", b"250 smtp.test\r\n")


@pytest.mark.row("S-04")
@pytest.mark.parametrize(
    ("lines", "failure"),
    [
        ((), RelayDownError),
        ((b"554 go away\r\n",), RelayDownError),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), RelayDownError),
        ((b"220 " + b"x" * 100_000 + b"\r\n",), RelayDownError),
        ((*HELLO, b"550 5.7.1 sender refused\r\n"), RelayDownError),
        ((*HELLO, b"250 OK\r\n", b"250 OK\r\n", b"451 not now\r\n"), TemporaryDeliveryError),
        ((*HELLO, b"250 OK\r\n", b"250 OK\r\n", b"554 no mail\r\n"), PermanentDeliveryError),
        ((*HELLO, b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n", b"\xff\xfe garbage\r\n"), UncertainDeliveryError),
        (
            (*HELLO, b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n", b"250 " + b"x" * 9000 + b"\r\n"),
            UncertainDeliveryError,
        ),
    ],
)
def test_an_invalid_response_of_the_server_raises_its_failure(
    mail_settings: SettingsFor, lines: tuple[bytes, ...], failure: type[Exception]
) -> None:
    port, thread = answering(*lines)
    with pytest.raises(failure) as raised:
        Transport(mail_settings(f"smtp://127.0.0.1:{port}")).send(a_mail(), NOEMIE)
    thread.join(60)
    assert type(raised.value) is failure


@pytest.mark.row("S-04")
def test_a_refused_starttls_stops_the_delivery(mail_settings: SettingsFor) -> None:
    port, thread = answering(
        b"220 smtp.test\r\n", b"250-smtp.test\r\n250 STARTTLS\r\n", b"454 no TLS today\r\n", b"250 OK\r\n"
    )
    with pytest.raises(TemporaryDeliveryError, match="454 no TLS today"):
        Transport(mail_settings(f"smtp+starttls://127.0.0.1:{port}")).send(a_mail(), NOEMIE)
    thread.join(60)


@pytest.mark.row("S-04")
@pytest.mark.parametrize("last", [b"", b"421 bye\r\n", b"500 what?\r\n"])
def test_failure_after_quit_does_not_undo_the_mail(mail_settings: SettingsFor, last: bytes) -> None:
    accepted = (*HELLO, b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n", b"250 taken\r\n")
    port, thread = answering(*accepted, *([last] if last else []))
    Transport(mail_settings(f"smtp://127.0.0.1:{port}")).send(a_mail(), NOEMIE)
    thread.join(60)


@pytest.mark.row("S-04")
def test_a_peer_that_answers_drop_by_drop_does_not_outlast_the_lease(
    mail_settings: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "DIALOGUE_SECONDS", 0.5)
    monkeypatch.setattr(smtp, "ANSWER_SECONDS", 3600)  # each answer alone would be waited for
    given_up = threading.Event()
    port, thread = answering(*HELLO, until=given_up)
    with pytest.raises(TemporaryDeliveryError, match="timed out"):
        Transport(mail_settings(f"smtp://127.0.0.1:{port}")).send(a_mail(), NOEMIE)
    given_up.set()
    thread.join(60)
