"""`/.well-known/security.txt` (RFC 9116)."""

from datetime import timedelta

from flask import Blueprint, Response, abort, make_response

from idp.clock import now
from idp.services import services

blueprint = Blueprint("well_known", __name__)

_VALID = timedelta(days=180)
"""RFC 9116 2.5.5 recommends less than a year."""


@blueprint.get("/.well-known/security.txt")
def security() -> Response:
    """Return where to report vulnerabilities; 404 if `IDP_SECURITY_CONTACT` is empty."""
    settings = services().settings
    if not settings.security_contact:
        abort(404)
    expires = (now() + _VALID).replace(hour=0, minute=0, second=0, microsecond=0)
    lines = (
        f"Contact: {settings.security_contact}",
        f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
        "Preferred-Languages: fr, en",
        f"Canonical: {settings.issuer}/.well-known/security.txt",
    )
    response = make_response("".join(f"{line}\n" for line in lines))
    response.content_type = "text/plain; charset=utf-8"
    return response
