"""Legal notice, personal data, accessibility: reachable from every page, filled from the settings."""

import math

from flask import Blueprint, current_app, render_template

IPS_COUNTED = "idp.legal.ips_counted"
"""The extension that says how long the limits count an IP address: the longest time, as `idp.app` knows it."""

blueprint = Blueprint("legal", __name__)


@blueprint.get("/mentions-legales")
def notice() -> str:
    """Show who publishes and who hosts the service."""
    return render_template("legal/mentions_legales.html", legal=current_app.extensions["idp.settings"])


@blueprint.get("/donnees-personnelles")
def privacy() -> str:
    """Show what is kept, for how long, and whom to ask (GDPR articles 13 and 14)."""
    counted = current_app.extensions[IPS_COUNTED]
    return render_template(
        "legal/donnees_personnelles.html",
        legal=current_app.extensions["idp.settings"],
        counted_hours=math.ceil(counted.total_seconds() / 3600),
    )


@blueprint.get("/accessibilite")
def accessibility() -> str:
    """Show the accessibility statement (RGAA)."""
    return render_template("legal/accessibilite.html", legal=current_app.extensions["idp.settings"])
