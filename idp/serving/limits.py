"""The limits of a request to `idp serve`, beside those of `idp.web.security`."""

READ_SECONDS = 10.0
"""Seconds until the body of a request must be complete, and the longest pause before its head and within an upload."""
UPLOAD_RATE = 64 * 1024
"""Bytes per second. A form with files has so much more time as it takes at this rate, about that of a slow line."""
MAX_UPLOADS = 4
"""Forms with files that a worker receives and answers at once: each is in memory."""
MAX_HEAD = 64 * 1024
"""Bytes of the request line and the headers that may wait for their end; what arrives at once may be twice as long."""
LINGER_SECONDS = 2.0
"""Seconds in which a body that was not awaited is discarded, so that the client reads the response (RFC 9112 9.6)."""
