"""The protocol's endpoints described for machines (OpenAPI 3.1), served at `/openapi.json`.

The description is written from the constants that the endpoints decide by, so that neither says more than the other; a
test compares its paths with the routes of the application, and the fuzzer is fed with it.
"""

import json
from functools import lru_cache
from typing import Any

from flask import Blueprint, Response

from idp import __version__
from idp.oidc.openapi_paths import paths
from idp.oidc.openapi_schemas import SCHEMAS, SECURITY
from idp.oidc.server import of_app

_CACHED = {"Cache-Control": "public, max-age=3600", "Access-Control-Allow-Origin": "*"}


def description(issuer: str) -> dict[str, Any]:
    """Return the OpenAPI description of the provider at `issuer`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Scolarité Services",
            "version": __version__,
            "description": "OpenID Connect provider: the endpoints of the protocol, without the pages for people.",
        },
        "servers": [{"url": issuer}],
        "paths": paths(),
        "components": {"schemas": SCHEMAS, "securitySchemes": SECURITY},
    }


@lru_cache(maxsize=4)
def _document(issuer: str) -> bytes:
    return json.dumps(description(issuer)).encode()


def openapi() -> Response:
    """Serve the description."""
    return Response(_document(of_app().settings.issuer), headers=_CACHED, content_type="application/json")


def add_routes(blueprint: Blueprint) -> None:
    """Register the document."""
    blueprint.add_url_rule("/openapi.json", "openapi", openapi)
