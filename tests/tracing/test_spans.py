"""The trace of the proxy is in the lines of the service and of the worker (W3C Trace Context)."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.db import db, unit_of_work
from idp.outbox import queue
from idp.outbox.queue import TRACE, OutboxMessage
from idp.outbox.worker import Outcome, TemporaryDeliveryError, Worker
from idp.tracing import Span, current
from tests import applications
from tests.databases import settings_for
from tests.rows import each_row

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


def lines(capsys: pytest.CaptureFixture[str], event: str) -> list[dict[str, Any]]:
    written = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in written if line["event"] == event]


@each_row(
    ("header", "trace_id"),
    [
        (PARENT, TRACE_ID),
        (PARENT.replace("00-", "cc-", 1) + "-later", TRACE_ID),
        (PARENT + "-x", ""),
        (PARENT.replace("00-", "cc-", 1) + "x", ""),
        (PARENT.replace("00-", "ff-", 1), ""),
        (PARENT.upper(), ""),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", ""),
        (f"00-{TRACE_ID}-{'0' * 16}-01", ""),
        ("Léa Martin", ""),
        ("", ""),
    ],
)
def test_only_a_valid_header_names_a_trace(header: str, trace_id: str) -> None:
    with Span("request", parent=header) as span:
        assert span.trace_id == trace_id
        assert current() == (PARENT if trace_id else "")
    assert current() == ""


@pytest.mark.parametrize(("proxies", "expected"), [(1, TRACE_ID), (0, None)])
def test_the_line_of_a_request_has_the_trace_of_a_declared_proxy_alone(
    capsys: pytest.CaptureFixture[str], database_url: str, proxies: int, expected: str | None
) -> None:
    client = applications.for_command(settings_for(database_url, trusted_proxies=proxies)).test_client()
    for header in (PARENT, "00-broken"):
        client.get("/jamais", headers={"traceparent": header, "X-Forwarded-For": "192.0.2.1"})
    first, second = lines(capsys, "request")
    assert first.get("trace_id") == expected
    assert "trace_id" not in second


def test_a_message_keeps_its_trace_through_all_attempts(app: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    with Span("request", parent=PARENT), unit_of_work():
        queue.enqueue("mail.test", {"account": "1"})
    payloads: list[dict[str, Any]] = []

    def fail_once(message: OutboxMessage) -> Outcome:
        payloads.append(message.payload)
        assert current() == PARENT, "what the handler enqueues is of the same trace"
        if len(payloads) == 1:
            raise TemporaryDeliveryError("no")
        return Outcome.DONE

    worker = Worker({"mail.test": fail_once})
    capsys.readouterr()
    worker.run_once()
    stored = db.session.scalars(select(OutboxMessage)).one()
    assert stored.payload[TRACE] == PARENT
    with unit_of_work():
        db.session.get_one(OutboxMessage, stored.id, populate_existing=True).available_at = stored.created_at
    worker.run_once()
    assert payloads == [{"account": "1"}, {"account": "1"}], "handlers see what was enqueued"
    assert [line["trace_id"] for line in lines(capsys, "outbox.handed_over")] == [TRACE_ID, TRACE_ID]


def test_a_message_without_a_trace_is_as_it_was(app: Flask, browser: FlaskClient) -> None:
    with unit_of_work():
        queue.enqueue("mail.test", {"account": "1"})
    assert db.session.scalars(select(OutboxMessage.payload)).one() == {"account": "1"}
