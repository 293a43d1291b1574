"""The ENT's only source of time: whatever expires asks here, so that one place can be moved in a test."""

import time


def now() -> int:
    """Return the current instant as a NumericDate: seconds since 1970 in UTC (RFC 7519, 2)."""
    return int(time.time())
