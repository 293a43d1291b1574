"""Reads the headers of the declared proxies: the IP and the scheme of a request.

Some proxies (Azure, IIS) send `ip:port` or `[v6]:port`, and `Forwarded` (RFC 7239) quotes such values. With the port,
each connection would have rate limits of its own.

Each proxy appends its hop. So the headers are split at every comma, even in quoted text, and the hops are counted from
the right. `ProxyFix` of Werkzeug reads quoted text as one hop: with an open quotation mark of the client it would take
the proxy for the client.
"""

from functools import lru_cache
from ipaddress import ip_address

from idp.web.http import IP_LENGTH, Request


def read(request: Request, count: int) -> None:
    """Set the IP and the scheme of a request that passed `count` proxies. Forwarded hosts are ignored."""
    hop, scheme = _hop(request, "X-Forwarded-For", count), _hop(request, "X-Forwarded-Proto", count)
    if hop is None and not request.has_header("X-Forwarded-For"):
        element = _hop(request, "Forwarded", count)
        if element is not None:
            hop, scheme = _parameter(element, "for"), _parameter(element, "proto")
    if hop is not None:
        request.remote_ip = (plain_ip(hop).replace('"', "").strip() or "unknown")[:IP_LENGTH]
    if scheme:
        request.scheme = scheme.replace('"', "").strip() or request.scheme


def _hop(request: Request, name: str, count: int) -> str | None:
    """Return the entry of the first declared proxy, or None if the header is missing or has fewer entries."""
    if not request.has_header(name):
        return None
    hops = request.header(name).split(",")
    return hops[-count] if len(hops) >= count else None


def _parameter(element: str, name: str) -> str:
    """Return a parameter of one element of `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https`."""
    pairs = (part.partition("=") for part in element.split(";"))
    return next((value.strip().strip('"') for key, _, value in pairs if key.strip().lower() == name), "")


@lru_cache(maxsize=1024)
def plain_ip(node: str) -> str:
    """Return the IP of a node of a forwarded header, without quotes, brackets and port; other texts unchanged."""
    text = node.strip().strip('"').strip()
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        return str(ip_address(host))
    except ValueError:
        return text
