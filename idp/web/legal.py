"""The legal notice, the page on personal data and the accessibility statement, filled from the settings."""

import math

from flask import Blueprint, render_template

from idp.services import services

blueprint = Blueprint("legal", __name__)


@blueprint.get("/mentions-legales")
def notice() -> str:
    """Show the legal notice."""
    return render_template("legal/mentions_legales.html", legal=services().settings)


@blueprint.get("/donnees-personnelles")
def privacy() -> str:
    """Show the page on personal data (GDPR articles 13 and 14)."""
    return render_template(
        "legal/donnees_personnelles.html",
        legal=services().settings,
        counted_hours=math.ceil(services().ips_counted.total_seconds() / 3600),
    )


@blueprint.get("/accessibilite")
def accessibility() -> str:
    """Show the accessibility statement (RGAA)."""
    return render_template("legal/accessibilite.html", legal=services().settings)
