"""Exports spans by OTLP, as the variables `OTEL_…` of OpenTelemetry's SDK say. It needs the extra `traces`."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from idp import __version__
from idp.tracing.spans import Kind, Recorded, Value, record_by

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def is_installed() -> bool:
    """Return whether the packages of the extra `traces` are installed."""
    try:
        return all(find_spec(name) is not None for name in _NEEDED)
    except ModuleNotFoundError:  # of a parent package
        return False


def start(part: str) -> "TracerProvider":
    """Record and export the spans of this process; `part` is its command. Return the provider.

    The thread of the exporter belongs to this process, so call it after a fork.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - same

    provider = new_provider(part)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    record_with(provider)
    return provider


def new_provider(part: str) -> "TracerProvider":
    """Return the provider of a command, without an exporter."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415 - same
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - same

    own = {"service.name": f"idp-{part}", "service.version": __version__}
    return TracerProvider(resource=Resource(own).merge(OTELResourceDetector().detect()))  # the variables win


def record_with(provider: "TracerProvider") -> None:
    """Record the spans of this process with a provider."""
    record_by(_Recorder(provider))


class _Recorder:
    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace  # noqa: PLC0415 - as above
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - same

        self._tracer = provider.get_tracer("idp", __version__)
        self._read = TraceContextTextMapPropagator().extract
        self._kinds = {kind: trace.SpanKind[kind.name] for kind in Kind}

    def open_span(self, name: str, kind: Kind, parent: str) -> Recorded:
        context = self._read({"traceparent": parent}) if parent else None
        return _Recorded(self._tracer.start_span(name, context=context, kind=self._kinds[kind]))


class _Recorded:
    def __init__(self, span: "Span") -> None:
        known = span.get_span_context()
        self._span = span
        self.traceparent = f"00-{known.trace_id:032x}-{known.span_id:016x}-{int(known.trace_flags):02x}"

    def end(self, attributes: Mapping[str, Value], error: str) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - as above

        named = dict(attributes)
        self._span.update_name(str(named.pop("name")))
        self._span.set_attributes(named)
        if error:
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end()
