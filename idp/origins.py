"""Origins of URIs, as browsers write them in the header `Origin`, and the default ports of their schemes."""

from urllib.parse import urlsplit

DEFAULT_PORTS = {"https": 443, "http": 80}


def of(uri: str) -> str:
    """Return the origin of a URI (RFC 6454 6.2): scheme, host in lower case, port unless it is the scheme's own.

    Raises:
        ValueError: the URI has an invalid port or host.
    """
    parts = urlsplit(uri)
    host = parts.hostname or ""
    port = "" if parts.port in {None, DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"
