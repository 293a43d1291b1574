"""Describes the origin of a connection, as coarsely as a person needs it.

There is no database of places. An IP is compared with the IP of the reader only. It is never shown whole, since another
person at an open page would learn where the other parent lives.
"""

import ipaddress

from flask_babel import gettext

from idp.throttle.limits import network_of

_HIDDEN = "\u2022"


def origin_of(ip: str, here: str) -> str:
    """Return the sentence for a connection from `ip`, for a reader whose IP is `here`."""
    if ip and network_of(ip) == network_of(here):
        return str(gettext("même connexion internet que maintenant"))
    kept = _coarse(ip)
    if not kept:
        return str(gettext("autre connexion internet"))
    return str(gettext("autre connexion internet (%(start)s)", start=kept))


def _coarse(ip: str) -> str:
    """Return the first half of an IPv4 address or two groups of an IPv6 address; empty for other texts."""
    try:
        parsed = ipaddress.ip_address(network_of(ip).partition("/")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return ".".join([*str(parsed).split(".")[:2], _HIDDEN, _HIDDEN])
    return ":".join([*(group.lstrip("0") or "0" for group in parsed.exploded.split(":")[:2]), _HIDDEN])
