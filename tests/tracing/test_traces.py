"""Traces: spans are recorded and exported, and lines of the log have the trace of the proxy."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import ValidationError
from sqlalchemy import select

from idp import tracing, waiting
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.outbox import queue
from idp.outbox.queue import TRACE, OutboxMessage
from idp.outbox.worker import Outcome, PermanentDeliveryError, TemporaryDeliveryError, Worker
from idp.tracing import Kind, Span, current
from idp.waiting import WouldWaitError
from tests import applications
from tests.builders import PASSWORD, Build
from tests.databases import settings_for
from tests.pages import sign_in
from tests.rows import each_row


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), tracing.new_provider("serve")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.record_with(provider)
    yield exporter
    tracing.record_with(None)
    provider.shutdown()


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_a_request_its_hash_and_the_message_that_it_caused_are_one_trace(
    app: Flask, browser: FlaskClient, build: Build, exported: InMemorySpanExporter
) -> None:
    parent = build.active()
    sign_in(browser, "/mon-compte", parent.username, PASSWORD)
    posted = named(exported, "POST login.sign_in")[-1]
    hashed = named(exported, "password hash")[-1]
    assert posted.kind is SpanKind.SERVER
    assert hashed.parent is not None
    assert hashed.parent.span_id == posted.context.span_id
    lent = named(exported, "database statements")
    assert posted.context.span_id in {span.parent.span_id for span in lent if span.parent}
    assert posted.attributes is not None
    assert posted.attributes["http.response.status_code"] == 303
    assert not any(parent.username in str(span.to_json()) for span in exported.get_finished_spans())


def test_a_message_is_a_span_of_the_trace_that_caused_it(app: Flask, exported: InMemorySpanExporter) -> None:
    def refuse(_message: object) -> None:
        raise PermanentDeliveryError("no")

    with Span("request", Kind.SERVER) as request, unit_of_work():
        queue.enqueue("mail.test", {})
    Worker({"mail.test": refuse}).run_once()  # type: ignore[dict-item] # it never returns
    [message] = named(exported, "outbox mail.test")
    assert f"{message.context.trace_id:032x}" == request.trace_id
    assert message.kind is SpanKind.CONSUMER
    assert message.status.status_code is StatusCode.ERROR


def test_what_would_wait_in_the_event_loop_is_no_span(exported: InMemorySpanExporter) -> None:
    def answer() -> None:
        with Span("request", Kind.SERVER):
            waiting.refuse()

    with pytest.raises(WouldWaitError), waiting.without_waiting():
        answer()
    answer()
    assert len(named(exported, "request")) == 1


def test_spans_are_sent_where_the_variables_of_opentelemetry_say(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "connexion-lyon")
        provider = tracing.start("serve")
        try:
            with Span("request", Kind.SERVER):
                pass
        finally:
            tracing.record_with(None)
            provider.shutdown()
            collector.shutdown()
    [(path, body)] = received
    assert path == "/v1/traces"
    assert b"connexion-lyon" in body
    assert b"request" in body


def test_traces_without_the_extra_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(issuer="http://127.0.0.1:8000", env="development", traces=True).traces
    monkeypatch.setattr(tracing, "_NEEDED", ("opentelemetry.never_installed",))
    with pytest.raises(ValidationError, match=r"extra `traces`, which constraints\.txt lists"):
        Settings(issuer="http://127.0.0.1:8000", env="development", traces=True)


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
