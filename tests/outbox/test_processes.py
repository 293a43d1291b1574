"""Workers as processes, with a real SMTP server and signals."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from idp.db import db
from idp.mail.smtp import Transport
from idp.outbox.queue import OutboxMessage, enqueue
from idp.outbox.worker import Worker
from tests import forked
from tests.mail.handler import TEMPLATES, mailing, settings_for
from tests.mail.servers import Mailbox, smtp_server
from tests.outbox.expired import end_leases
from tests.services import change_services

_PATIENCE = 120.0


@dataclass(frozen=True)
class Started:
    process: forked.Program
    log: Path


StartWorker = Callable[[int], Started]


@pytest.fixture
def start_worker(database_url: str, tmp_path: Path) -> Iterator[StartWorker]:
    started: list[Started] = []

    def start(smtp_port: int) -> Started:
        command = ["tests.outbox.hands", database_url, f"smtp://127.0.0.1:{smtp_port}"]
        log = tmp_path / f"worker-{len(started)}.log"
        with log.open("wb") as output:
            started.append(Started(forked.Program(*command, output=output), log))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait(_PATIENCE)


def queue_mails(count: int) -> None:
    for number in range(count):
        enqueue("mail", {"token": f"t{number}"})
    db.session.commit()


def outcomes() -> Counter[str]:
    with Session(db.engine) as session:
        return Counter(session.scalars(select(OutboxMessage.outcome)))


@contextmanager
def soon(seconds: float = _PATIENCE) -> Iterator[Callable[[], None]]:
    end = time.monotonic() + seconds

    def wait() -> None:
        assert time.monotonic() < end, outcomes()
        time.sleep(0.02)

    yield wait


@pytest.mark.row("S-05")
@pytest.mark.parametrize("mails", [100, pytest.param(300, marks=pytest.mark.long)])
def test_four_workers_send_each_mail_once(queue_app: Flask, start_worker: StartWorker, mails: int) -> None:
    mailbox = Mailbox(delay=0.05)
    with smtp_server(mailbox) as port, soon(300) as wait:
        workers = [start_worker(port) for _ in range(4)]
        while not all("outbox.worker_started" in each.log.read_text() for each in workers):
            wait()
        queue_mails(mails)
        while outcomes() != {"sent": mails}:
            wait()
        for each in workers:
            each.process.terminate()
        assert [each.process.wait(_PATIENCE) for each in workers] == [0, 0, 0, 0]
    sent = Counter(str(mail["Message-ID"]) for mail in mailbox.mails())
    assert len(sent) == mails
    assert set(sent.values()) == {1}
    assert all(each.log.read_text().count("outbox.handed_over") > 0 for each in workers), "all four took part"


@pytest.mark.row("L-07")
def test_mails_are_sent_while_the_worker_waits_for_a_slow_ent(
    queue_app: Flask, start_worker: StartWorker, tmp_path: Path
) -> None:
    started, release, mailbox = tmp_path / "started", tmp_path / "wanted", Mailbox()
    for _ in range(3):
        enqueue("slow", {"started": str(started), "wanted": str(release)})
    db.session.commit()
    with smtp_server(mailbox) as port, soon() as wait:
        worker = start_worker(port)
        while not started.exists():
            wait()
        queue_mails(20)
        while outcomes() != {"sent": 20, "waiting": 3}:
            wait()
        worker.process.terminate()  # both threads finish their messages
        release.touch()
        assert worker.process.wait(_PATIENCE) == 0
    assert outcomes() == {"sent": 21, "waiting": 2}
    with Session(db.engine) as session:
        assert set(session.scalars(select(OutboxMessage.last_error))) == {""}, "no kind is called unknown"


@pytest.mark.row("Z-11", "S-06")
def test_the_mail_of_a_killed_worker_is_sent_again_after_the_lease_with_the_same_id(
    queue_app: Flask, start_worker: StartWorker
) -> None:
    mailbox = Mailbox(delay=60)
    with smtp_server(mailbox) as port, soon() as wait:
        process = start_worker(port).process
        mailbox.on_mail = process.kill  # the server has read the mail, but the worker gets no reply
        queue_mails(1)
        while process.poll() is None:
            wait()
    assert outcomes() == {"waiting": 1}
    mailbox.delay = 0
    mailbox.on_mail = lambda: None
    with smtp_server(mailbox) as port:
        settings = settings_for(f"smtp://127.0.0.1:{port}")
        queue_app.jinja_loader = TEMPLATES
        change_services(queue_app, transport=Transport(settings))
        worker = Worker({"mail": mailing(settings)})
        assert worker.run_once() == 0, "the dead worker's lease still holds"
        end_leases()
        assert worker.run_once() == 1
        assert worker.run_once() == 0
    first, second = mailbox.mails()
    assert first["Message-ID"] == second["Message-ID"]
    assert first.get_body(("plain",)).get_content() == second.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert outcomes() == {"sent": 1}


def test_a_stopped_worker_finishes_its_current_mail(queue_app: Flask, start_worker: StartWorker) -> None:
    mailbox = Mailbox(delay=0.5)
    with smtp_server(mailbox) as port, soon() as wait:
        process = start_worker(port).process
        mailbox.on_mail = process.terminate
        queue_mails(2)
        while process.poll() is None:
            wait()
    assert process.returncode == 0
    assert outcomes() == {"sent": 1, "waiting": 1}
    assert len(mailbox.envelopes) == 1
    with Session(db.engine) as session:
        assert session.scalars(select(OutboxMessage.lease)).all() == [None, None]
