"""With `IDP_TRACES`, spans are recorded and exported."""

import http.server
import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import ValidationError

from idp import tracing, waiting
from idp.config import Settings
from idp.db import unit_of_work
from idp.outbox import queue
from idp.outbox.worker import PermanentDeliveryError, Worker
from idp.tracing import Kind, Span
from idp.waiting import WouldWaitError
from tests.builders import PASSWORD, Build
from tests.pages import sign_in


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
