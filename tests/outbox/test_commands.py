import json
import uuid
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
from tests import databases
from tests.services import change_services


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
