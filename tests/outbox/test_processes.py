"""Workers as processes, with a real SMTP server and signals, and the commands of the outbox."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from idp.audit import log
from idp.audit.models import AuditEntry
from idp.db import db
from idp.mail.smtp import Transport
from idp.operations import outbox_commands
from idp.operations.outbox_commands import outbox
from idp.outbox import leases
from idp.outbox.commands import worker
from idp.outbox.queue import OutboxMessage, enqueue
from idp.outbox.worker import Handler, Outcome, PermanentDeliveryError, TemporaryDeliveryError, Worker
from tests import databases, forked
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


def run(*arguments: str) -> Result:
    if arguments[0] == "worker":
        return CliRunner().invoke(worker, arguments[1:])
    return CliRunner().invoke(outbox, arguments)


def refuse(message: OutboxMessage) -> Outcome:
    raise PermanentDeliveryError("550 no such mailbox")


def later(message: OutboxMessage) -> Outcome:
    raise TemporaryDeliveryError("451 later")


HANDLERS: dict[str, Handler] = {
    "dead": refuse,
    "later": later,
    "sent": lambda _message: Outcome.DONE,
    "dropped": lambda _message: Outcome.DROPPED,
}


@pytest.fixture
def ids(queue_app: Flask, database_url: str) -> dict[str, uuid.UUID]:
    settings = databases.settings_for(database_url, smtp_url="smtp://127.0.0.1:1")
    change_services(queue_app, outbox_handlers=HANDLERS, transport=Transport(settings), settings=settings)
    known = {kind: enqueue(kind, {"secret": "t0k3n"}).id for kind in HANDLERS}
    db.session.commit()
    assert run("worker", "--once").exit_code == 0
    known["new"] = enqueue("sent", {"secret": "t0k3n"}).id
    db.session.commit()
    return known


def outcome(message_id: uuid.UUID) -> str:
    with Session(db.engine) as session:
        return session.get_one(OutboxMessage, message_id).outcome


def check(result: Result, code: int, words: str) -> None:
    assert (result.exit_code, words in result.output) == (code, True), result.output


def test_list_shows_waiting_and_dead_messages(ids: dict[str, uuid.UUID]) -> None:
    rows = {row["id"]: row for row in json.loads(run("list", "--json").output)}
    assert rows.keys() == {str(ids[name]) for name in ("dead", "later", "new")}
    dead = rows[str(ids["dead"])]
    assert set(dead) == {"id", "kind", "outcome", "attempts", "available_at", "created_at", "last_error"}
    assert (dead["kind"], dead["attempts"], dead["last_error"]) == ("dead", 1, "550 no such mailbox")
    assert len(json.loads(run("list", "--json", "--all").output)) == 5


def test_list_never_shows_a_payload(ids: dict[str, uuid.UUID]) -> None:
    for options in ((), ("--all",), ("--json",), ("--json", "--all")):
        output = run("list", *options).output
        assert (str(ids["later"]) in output, "t0k3n" in output) == (True, False), options


def test_list_of_an_empty_outbox_is_empty(queue_app: Flask) -> None:
    assert json.loads(run("list", "--json").output) == []
    assert run("list").output.splitlines() == ["id  kind  outcome  attempts  available_at  created_at  last_error"]


def test_list_leaves_the_database_free(ids: dict[str, uuid.UUID]) -> None:
    run("list")
    with db.engine.begin() as other:
        other.execute(update(OutboxMessage).values(attempts=0))


def test_retry_of_all_dead_messages_sends_them(ids: dict[str, uuid.UUID]) -> None:
    check(run("retry", "--dead"), 0, "1 message ready for delivery\n")
    Worker({"dead": lambda _message: Outcome.DONE}).run_once()
    assert outcome(ids["dead"]) == "sent"


def test_retry_by_id_shortens_a_wait_and_counts_from_zero(ids: dict[str, uuid.UUID]) -> None:
    assert run("retry", str(ids["later"]), str(ids["dead"])).output == "2 messages ready for delivery\n"
    claimed = {message.id: message.attempts for message in (leases.claim(["later"]), leases.claim(["dead"])) if message}
    assert claimed == {ids["later"]: 1, ids["dead"]: 1}


@pytest.mark.parametrize(
    ("command", "wrong", "reason"),
    [
        ("retry", "sent", "was sent"),
        ("retry", "dropped", "was dropped"),
        ("retry", "unknown", "no such message"),
        ("retry", "leased", "a worker is delivering it"),
        ("drop", "later", "is waiting, not dead"),
        ("drop", "sent", "is sent, not dead"),
        ("drop", "unknown", "no such message"),
    ],
)
def test_a_wrong_id_changes_no_message(ids: dict[str, uuid.UUID], command: str, wrong: str, reason: str) -> None:
    wrong_id = ids.get(wrong, uuid.uuid4())
    if wrong == "leased":
        wrong_id = ids["new"]
        leases.claim(["sent"])
    check(run(command, str(ids["dead"]), str(wrong_id)), 1, f"{wrong_id}: {reason}")
    assert outcome(ids["dead"]) == "dead"


def test_dropped_messages_are_listed_no_more_and_lose_their_content(ids: dict[str, uuid.UUID]) -> None:
    check(run("drop", "--dead"), 0, "1 message dropped\n")
    with Session(db.engine) as session:
        message = session.get_one(OutboxMessage, ids["dead"])
        assert (message.outcome, message.payload) == ("dropped", {})
    assert str(ids["dead"]) not in run("list").output
    check(run("retry", str(ids["dead"])), 1, "was dropped, its content is deleted")
    check(run("drop", "--dead"), 0, "0 messages dropped\n")


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_ids_or_all_dead_are_needed(ids: dict[str, uuid.UUID], command: str) -> None:
    for arguments in ((), ("not-an-id",), ("--dead", "3ecb5d39-ee22-49e6-8237-3b8aec173744")):
        assert run(command, *arguments).exit_code == 2
    assert outcome(ids["dead"]) == "dead"


def recorded() -> list[dict[str, Any]]:
    with Session(db.engine) as session:
        acts = session.scalars(select(AuditEntry).where(AuditEntry.kind == "outbox.changed").order_by(AuditEntry.id))
        return [act.details for act in acts]


def test_an_act_is_recorded_for_each_kind_of_messages_without_their_content(ids: dict[str, uuid.UUID]) -> None:
    run("retry", str(ids["later"]), str(ids["dead"]))
    assert recorded() == [
        {"change": "retried", "message": kind, "count": 1, "ids": [str(ids[kind])]} for kind in ("dead", "later")
    ]


def test_a_drop_of_many_messages_is_recorded_with_all_their_ids(
    ids: dict[str, uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [enqueue("dead", {"secret": "t0k3n"}).id for _ in range(4)]
    db.session.commit()
    run("worker", "--once")
    monkeypatch.setattr(outbox_commands, "MOST_IDS", 2)
    assert run("drop", "--dead", "--yes").output == "5 messages dropped\n"
    acts = recorded()
    assert [act["count"] for act in acts] == [2, 2, 1]
    assert {(act["change"], act["message"]) for act in acts} == {("dropped", "dead")}
    assert [key for act in acts for key in act["ids"]] == sorted(map(str, [*more, ids["dead"]]))


@pytest.mark.parametrize("command", [("retry",), ("drop", "--yes")], ids=lambda command: command[0])
def test_a_command_that_changes_no_message_records_nothing(ids: dict[str, uuid.UUID], command: tuple[str, ...]) -> None:
    run(*command, str(ids["dead"]), str(ids["sent"]))
    with db.engine.begin() as other:
        other.execute(update(OutboxMessage).where(OutboxMessage.id == ids["dead"]).values(outcome="sent"))
    assert run(*command, "--dead").output.startswith("0 messages ")
    assert recorded() == []


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_nothing_is_done_when_the_journal_cannot_be_written(
    ids: dict[str, uuid.UUID], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_event: object) -> None:
        raise OSError

    monkeypatch.setattr(log, "record", fail)
    assert run(command, "--dead").exit_code != 0
    assert outcome(ids["dead"]) == "dead"
