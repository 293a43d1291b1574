"""Spans of a trace: a request, the hash that it waits for, the mail that it causes.

The proxy's `traceparent` names the trace. Its id is in the lines of the log, and the messages of the outbox keep it, so
that the lines of the worker have it too. With `IDP_TRACES`, spans are also recorded and exported by OTLP, as the
variables `OTEL_…` of OpenTelemetry's SDK say; it needs the extra `traces`. Without, a span costs next to nothing.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar, Token
from enum import Enum
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Self

from idp import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as SdkSpan

Value = str | int
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
LENGTH = 55  # characters of a `traceparent` of version 00


class Kind(Enum):
    """What a span is, as OpenTelemetry knows it."""

    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"
    INTERNAL = "internal"


_current: ContextVar[str] = ContextVar("traceparent", default="")
_recorders: list["_Recorder"] = []  # the recorder of this process, if it has one


class Span:
    """A part of a trace, for the length of a `with`.

    Attributes:
        name: what is done; it may be set until the end, and has no personal data.
        traceparent: the trace and the span, for what the block causes; empty without a trace.
        error: the reason why the block failed; an exception sets it.
        attributes: what is known about it.
    """

    def __init__(self, name: str, kind: Kind = Kind.INTERNAL, parent: str | None = None) -> None:
        self.name, self.kind = name, kind
        self.traceparent = _current.get() if parent is None else _valid(parent)
        self.attributes: dict[str, Value] = {}
        self.error = ""
        self._recorded: _Recorded | None = None
        self._token: Token[str] | None = None

    @property
    def trace_id(self) -> str:
        """The id of the trace, for the log; empty without a trace."""
        return self.traceparent[3:35]

    def __enter__(self) -> Self:
        if _recorders:
            self._recorded = _recorders[0].open_span(self.name, self.kind, self.traceparent)
            self.traceparent = self._recorded.traceparent
        if self.traceparent:
            self._token = _current.set(self.traceparent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
        if self._recorded is None or (kind is not None and not issubclass(kind, Exception)):
            return  # what was broken off, because it would wait, is done again in another span
        self._recorded.end({"name": self.name, **self.attributes}, self.error or (kind.__name__ if kind else ""))


def current() -> str:
    """Return the `traceparent` of what is being done, or an empty text."""
    return _current.get()


def begin_recorded(name: str, kind: Kind) -> "_Recorded | None":
    """Begin a span of the current trace that ends elsewhere than in a `with`; None if spans are not recorded."""
    return _recorders[0].open_span(name, kind, _current.get()) if _recorders else None


def _valid(traceparent: str) -> str:
    """Return a `traceparent` in its form of version 00, or an empty text (W3C Trace Context 3.2)."""
    if not traceparent or not _FORM.match(traceparent):
        return ""
    is_longer = len(traceparent) > LENGTH
    if is_longer and (traceparent.startswith("00") or traceparent[LENGTH] != "-"):  # a later version may add fields
        return ""
    return f"00{traceparent[2:LENGTH]}"


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


def record_with(provider: "TracerProvider | None") -> None:
    """Record the spans of this process with a provider from now on, or no longer."""
    _recorders[:] = [_Recorder(provider)] if provider else []


class _Recorder:
    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace  # noqa: PLC0415 - as above
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - same

        self._tracer = provider.get_tracer("idp", __version__)
        self._read = TraceContextTextMapPropagator().extract
        self._kinds = {kind: trace.SpanKind[kind.name] for kind in Kind}

    def open_span(self, name: str, kind: Kind, parent: str) -> "_Recorded":
        """Begin a span; `parent` is the `traceparent` of what caused it, or empty."""
        context = self._read({"traceparent": parent}) if parent else None
        return _Recorded(self._tracer.start_span(name, context=context, kind=self._kinds[kind]))


class _Recorded:
    def __init__(self, span: "SdkSpan") -> None:
        known = span.get_span_context()
        self._span = span
        self.traceparent = f"00-{known.trace_id:032x}-{known.span_id:016x}-{int(known.trace_flags):02x}"

    def end(self, attributes: Mapping[str, Value], error: str) -> None:
        """Add attributes, and end the span; `error` is the reason why it failed, or empty."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - as above

        named = dict(attributes)
        self._span.update_name(str(named.pop("name")))
        self._span.set_attributes(named)
        if error:
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end()
