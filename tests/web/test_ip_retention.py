"""The privacy page lists where IPs are stored and for how long, according to the settings."""

import re
from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import String

from idp.app import create_app
from idp.operations.purge.commands import ENDED_KEPT, SENT_KEPT
from idp.outbox.worker import FIRST_DELAY, MAX_ATTEMPTS, MAX_DELAY
from idp.tables import metadata
from idp.throttle import limits
from tests.builders import Build
from tests.databases import ISSUER, NOWHERE, settings_for

IP_COLUMNS = {("audit", "ip"), ("session", "ip"), ("device_session", "ip"), ("charter_acceptance", "ip")}
"""The columns with IPs of parents; each has a line on the page."""
OF_STAFF = {("staff_session", "ip")}
"""The columns with IPs of people of the desk."""


def facts(browser: FlaskClient) -> dict[str, str]:
    page = browser.get("/donnees-personnelles", base_url=ISSUER).get_data(as_text=True)
    section = page.split("Les adresses IP</h2>")[1].split("<h2>")[0]
    pairs = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", section, re.DOTALL)
    return {name.replace("\u00a0", " ").strip(): value.replace("\u00a0", " ").strip() for name, value in pairs}


def test_privacy_page_states_the_places_and_retention_of_ip_addresses(browser: FlaskClient, build: Build) -> None:
    assert facts(browser) == {
        "Journal de sécurité": "12 mois ; pour les refus 6 mois",
        "Liste de vos connexions": "7 jours après leur fin ; 32 jours en tout si un ENT garde un accès",
        "Appareils qui restent connectés": "7 jours après leur fin",
        "Charte acceptée": "aussi longtemps que le compte",
        "Demande d’identifiant ou de mot de passe": "le temps de l’envoi du mail, 33 jours au plus",
        "Compteurs d’essais": "1 heure, sous une forme illisible, effacée le lendemain",
        "Journaux techniques de ce service": "l’adresse IP n’y est pas écrite",
    }


def test_privacy_page_states_the_notices_to_schools_and_their_retention(browser: FlaskClient, build: Build) -> None:
    page = browser.get("/donnees-personnelles", base_url=ISSUER).get_data(as_text=True).replace("\u00a0", " ")
    receives = page.split("Qui les reçoit</h2>")[1].split("<h2>")[0]
    assert "Le secrétariat de l’établissement : votre nom et celui de l’enfant, quand quelque chose est à v" in receives
    assert re.search(
        r"<dt>Signalements à l’établissement</dt>\s*<dd>jusqu’à sa réponse, puis 12 mois ; le compte reste jusque-là<",
        page,
    )


def test_figures_of_the_page_match_the_constants() -> None:
    assert timedelta(days=7) == ENDED_KEPT
    tried = sum((min(FIRST_DELAY * (1 << min(n, 20)), MAX_DELAY) for n in range(MAX_ATTEMPTS - 1)), timedelta())
    assert tried + SENT_KEPT < timedelta(days=33.5)
    assert limits.longest_by_network() == timedelta(hours=1)


def test_figures_of_the_page_follow_the_settings() -> None:
    longer = {"audit_days": 730, "audit_failure_days": 40, "refresh_absolute": 60 * 86400}
    app = create_app(settings_for(NOWHERE, **longer))
    figures = facts(app.test_client())
    assert figures["Journal de sécurité"] == "24 mois ; pour les refus 40 jours"
    assert "62 jours" in figures["Liste de vos connexions"]


def test_every_column_for_an_ip_address_is_on_the_page(app: Flask) -> None:
    columns = {
        (table.name, column.name)
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, String) and column.type.length == 45
    }
    assert columns == IP_COLUMNS | OF_STAFF
