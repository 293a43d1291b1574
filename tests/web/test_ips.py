"""The IPs of clients: how they are read from proxy headers, and where and how long they are stored."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import String, select
from werkzeug.test import EnvironBuilder

from idp.app import create_app
from idp.audit.models import AuditEntry
from idp.config import Settings
from idp.db import db
from idp.operations.purge.commands import ENDED_KEPT, SENT_KEPT
from idp.outbox.worker import FIRST_DELAY, MAX_ATTEMPTS, MAX_DELAY
from idp.serving.bridge import door_of
from idp.tables import metadata
from idp.throttle import limits
from idp.web.http import Request
from idp.web.request_context import plain_ip
from tests.applications import lent
from tests.builders import Build
from tests.databases import ISSUER, NOWHERE, settings_for
from tests.rows import each_row


@pytest.fixture
def settings(database_url: str) -> Settings:
    return settings_for(database_url, trusted_proxies=1)


def read_client_ip(app: Flask, **headers: str) -> str:
    client = app.test_client()
    ips: list[str] = []

    def note() -> None:
        from flask import request  # noqa: PLC0415 - needs the request

        ips.append(request.remote_addr or "")

    app.before_request_funcs.setdefault(None, []).append(note)
    client.get("/mentions-legales", headers={name.replace("_", "-"): value for name, value in headers.items()})
    app.before_request_funcs[None].remove(note)
    return ips[0]


@pytest.mark.row("B-08")
@pytest.mark.parametrize(
    ("header", "ip"),
    [
        ("198.51.100.9", "198.51.100.9"),
        ("198.51.100.9:51234", "198.51.100.9"),
        (" 198.51.100.9 ", "198.51.100.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:51234", "2001:db8::1"),
        ('"[2001:db8::1]:51234"', "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("203.0.113.5, 198.51.100.9:443", "198.51.100.9"),
        ("[::1]:1, 198.51.100.9", "198.51.100.9"),
        ('x"y, 198.51.100.9', "198.51.100.9"),
        ('"x, 198.51.100.9', "198.51.100.9"),
        ('"203.0.113.5, 203.0.113.6", 198.51.100.9', "198.51.100.9"),
        ('x\\"y", 198.51.100.9', "198.51.100.9"),
        ("203.0.113.5,", "unknown"),
    ],
)
def test_a_port_is_not_part_of_the_client_ip(app: Flask, header: str, ip: str) -> None:
    assert read_client_ip(app, X_Forwarded_For=header) == ip


@pytest.mark.row("B-08")
@pytest.mark.parametrize(
    ("header", "ip"),
    [
        ("for=198.51.100.9", "198.51.100.9"),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ('for=203.0.113.5;proto=http, for="198.51.100.9:51234";proto=https;by=10.0.0.1', "198.51.100.9"),
        ('for="203.0.113.5, for=198.51.100.9', "198.51.100.9"),
        ('for=203.0.113.5, x=", for=198.51.100.9', "198.51.100.9"),
        ("for=unknown", "unknown"),
        ('for=203.0.113.5"x, for=198.51.100.9', "198.51.100.9"),
        ("for=203.0.113.5, proto=https", "unknown"),
    ],
    ids=["plain", "quoted", "two hops", "an open quotation mark", "another", "no IP", "a third", "a hop without IP"],
)
def test_the_forwarded_header_of_rfc_7239_is_read_where_the_older_one_is_missing(
    app: Flask, header: str, ip: str
) -> None:
    assert read_client_ip(app, Forwarded=header) == ip
    assert read_client_ip(app, Forwarded=header, X_Forwarded_For="198.51.100.77") == "198.51.100.77"


@pytest.mark.row("B-08")
@pytest.mark.parametrize("header", ["", ",", '"', "[", "[]", "]:1", ":", "::", "a" * 9000, "[" * 500, '"""', "for"])
def test_arbitrary_headers_cause_no_error(app: Flask, header: str) -> None:
    plain_ip(header)
    for name in ("X-Forwarded-For", "Forwarded", "X-Forwarded-Proto"):
        assert app.test_client().get("/connexion", headers={name: header}).status_code == 200


@pytest.mark.row("B-08")
def test_hops_are_counted_from_the_right_and_client_entries_are_ignored(database_url: str) -> None:
    with lent(settings_for(database_url, trusted_proxies=2), own=True) as app:
        for left in ("", "203.0.113.5,", 'x"y,', '",', ",,", '"203.0.113.5, ",', "\\,", '\\",'):
            assert read_client_ip(app, X_Forwarded_For=f"{left}198.51.100.9, 10.0.0.1") == "198.51.100.9", left
            assert read_client_ip(app, Forwarded=f"{left}for=198.51.100.9, for=10.0.0.1") == "198.51.100.9", left
        assert read_client_ip(app, X_Forwarded_For="198.51.100.9") == "127.0.0.1", "one of two proxies was passed by"


@pytest.mark.row("B-08")
def test_an_open_quotation_mark_does_not_spend_the_budget_of_the_proxy(app: Flask) -> None:
    def guess(ip: str) -> int:
        headers = {"X-Forwarded-For": f'x"y, {ip}'}
        return app.test_client().get("/adresse/lien/" + "A" * 43, headers=headers, base_url=ISSUER).status_code

    for _ in range(40):
        last = guess("203.0.113.8")
    assert last == 429
    assert guess("203.0.113.9") != 429


@pytest.mark.row("B-08")
def test_without_a_declared_proxy_headers_are_ignored(database_url: str) -> None:
    with lent(settings_for(database_url), own=True) as app:
        for headers in ({"X_Forwarded_For": "198.51.100.9"}, {"Forwarded": "for=198.51.100.9"}):
            assert read_client_ip(app, **headers) == "127.0.0.1"


def test_a_declared_proxy_is_not_recorded_as_ignored(app: Flask) -> None:
    app.test_client().get("/connexion", headers={"X-Forwarded-For": "198.51.100.9"})
    assert db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "proxy.ignored")).all() == []


@each_row(
    ("ip", "networks"),
    [
        ("198.51.100.7", {"198.51.100.7": 128}),
        ("2001:db8:1:2:3::4", {"2001:db8:1::/48": 128}),
        ("[2001:db8:1:3::9]:4711", {"2001:db8:1::/48": 128}),
    ],
)
def test_the_people_of_a_network_share_a_part_of_the_queue(app: Flask, ip: str, networks: dict[str, int]) -> None:
    headers = {"X-Forwarded-For": f"203.0.113.1, {ip}", "Cookie": "__Host-ss=made-up"}
    for method, path in (("GET", "/connexion"), ("POST", "/activation"), ("POST", "/rien")):
        asked = Request(EnvironBuilder(path, method=method, headers=list(headers.items())).get_environ())
        assert door_of(app).shares(asked) == {"people": 256, **networks}


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
    figures = facts(create_app(settings_for(NOWHERE, **longer)).test_client())
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
