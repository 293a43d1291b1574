"""The line of a request in the log: method, endpoint, status and milliseconds; and its place in the metrics.

The path may have a secret (links of mails) and the IP is in the journal: neither is logged. The line does not pass
through structlog, which would double its cost.
"""

import json

from idp.clock import now
from idp.logging import stamp, write
from idp.metrics.catalogue import NOWHERE, REQUEST_SECONDS, REQUESTS, STATIC
from idp.web import declarations
from idp.web.http import Request

_MAX_METHOD = 20
_CLASSES = ("", "", "2xx", "3xx", "4xx", "5xx")


def count(request: Request, status: int, seconds: float) -> None:
    """Count a request for the metrics."""
    endpoint = request.endpoint or (STATIC if request.path.startswith(declarations.STATIC) else NOWHERE)
    REQUESTS.count(endpoint, _CLASSES[status // 100])
    REQUEST_SECONDS.observe(seconds, endpoint)


def write_line(request: Request, status: int, seconds: float) -> None:
    """Write the line, as JSON."""
    trace = {"trace_id": request.trace_id} if request.trace_id else {}
    line = {
        "event": "request",
        "request_id": request.id,
        **trace,
        "method": request.method[:_MAX_METHOD],
        "endpoint": request.endpoint,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "level": "info",
        "timestamp": stamp(now()),
    }
    write(json.dumps(line))
