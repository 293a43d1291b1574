"""The legal notice, the page on personal data and the accessibility statement, from the settings; security.txt."""

import math
import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from flask import Blueprint, Response, abort, make_response, render_template
from flask_babel import lazy_gettext as _l

from idp.clock import now
from idp.services import services

blueprint = Blueprint("legal", __name__)
# The states of a statement, from the rate in per cent that each begins with (RGAA, « Obligations », 5).
_STATES = (
    (100, _l("Accessibilité : totalement conforme")),
    (50, _l("Accessibilité : partiellement conforme")),
    (0, _l("Accessibilité : non conforme")),
)
FAILURES = {
    "7.1": _l(
        "7.1 – Scripts compatibles avec les technologies d’assistance :"
        " nous n’avons pas encore écouté ces pages avec un lecteur d’écran."
    ),
    "13.1": _l(
        "13.1 – Contrôle des limites de temps : une page laissée ouverte trop longtemps se ferme sans prévenir ;"
        " vous pouvez recommencer."
    ),
}
"""What each criterion of the audit with the result `NC` means for a parent."""


@dataclass(frozen=True)
class Criterion:
    """One criterion of RGAA 4.1.2: its result is `C`, `NC` or `NA`; `shown` says by what, in French."""

    number: str
    title: str
    result: str
    shown: str


@dataclass(frozen=True)
class Audit:
    """The self-audit of the parents' pages, `rgaa.toml`: the source of docs/accessibilite.md and of the statement."""

    day: date
    themes: tuple[tuple[str, tuple[Criterion, ...]], ...]

    def results(self, result: str) -> list[Criterion]:
        """Return the criteria with a result."""
        return [criterion for _, criteria in self.themes for criterion in criteria if criterion.result == result]

    @property
    def rate(self) -> int:
        """The conforming criteria among the applicable ones, in whole per cent, rounded down."""
        conforming, failing = len(self.results("C")), len(self.results("NC"))
        return 100 * conforming // (conforming + failing)

    @property
    def state(self) -> str:
        """The state that the footer of each page and the title of the statement give."""
        return next(str(words) for least, words in _STATES if self.rate >= least)


def _read() -> Audit:
    content = tomllib.loads(Path(__file__).with_name("rgaa.toml").read_text(encoding="utf-8"))
    themes = ((theme["name"], tuple(Criterion(*row) for row in theme["criteria"])) for theme in content["theme"])
    return Audit(content["day"], tuple(themes))


AUDIT = _read()


@blueprint.app_context_processor
def give_audit() -> dict[str, Audit]:
    """Give all templates the audit, whose state stands in the footer."""
    return {"audit": AUDIT}


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
    failures = [FAILURES[criterion.number] for criterion in AUDIT.results("NC")]
    return render_template("legal/accessibilite.html", legal=services().settings, failures=failures)


_VALID = timedelta(days=180)  # RFC 9116 2.5.5 recommends less than a year


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
