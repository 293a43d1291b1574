"""« Ma charte »: the accepted versions, their times and texts. Rows C-03 and C-05."""

import re
import uuid
from datetime import UTC, datetime

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import delete, select

from idp.charter import service
from idp.charter.models import CharterVersion
from idp.clients import registry
from idp.clients.models import Client, ClientSchool
from idp.clock import now
from idp.db import db
from tests.builders import LYCEE, Build
from tests.my_account.steps import enter, text_of
from tests.pages import heading
from tests.relying_party import RelyingParty

PAGE = "/mon-compte/charte"
MORNING = datetime(2026, 9, 2, 18, 51, tzinfo=UTC)  # 20 h 51 in Paris


def _accept(ent: RelyingParty, account_id: uuid.UUID, version: str) -> None:
    client = registry.find(ent.client_id, fresh=True)
    assert client is not None
    service.accept(client.key, account_id, version, ip="", shown_by="ent")


def _read(html: str) -> list[str]:
    return re.findall(rf'href="({PAGE}/[^"]+)"', html)


def _version(ent: RelyingParty, version: str) -> uuid.UUID:
    statement = select(CharterVersion.id).join(Client, Client.id == CharterVersion.client_id)
    [charter_version] = db.session.scalars(
        statement.where(Client.client_id == ent.client_id, CharterVersion.version == version)
    )
    return charter_version


def test_each_ent_of_my_schools_is_listed_with_what_i_accepted(browser: FlaskClient, build: Build) -> None:
    account = build.active(children=[build.child(), build.child("Inès", uai=LYCEE)])
    passerelle, horizon = build.ent(), build.ent("Horizon", "lycee.test", uais=[LYCEE])
    build.ent("Sans charte", "sans.test")
    with time_machine.travel(MORNING, tick=False):
        build.publish(passerelle, "1", "# Charte\n\nPremière version.")
        build.publish(horizon, "2026-09")
        _accept(passerelle, account.id, "1")
    enter(browser, account)
    page = browser.get(PAGE)
    text = text_of(page)
    assert heading(page) == "Ma charte"
    assert "Passerelle acceptée Version 1, le 2 septembre 2026 à 20 h 51 Lire la charte de Passerelle" in text
    assert "Horizon Version 2026-09. Pas encore acceptée : elle vous sera proposée à l’entrée." in text
    assert "Sans charte" not in text.partition(" Ma charte ")[2]  # the links to all ENTs are above the title
    assert "Acceptée pour 1 ENT sur 2" in text_of(browser.get("/mon-compte"))


def test_a_new_version_is_pending_and_the_former_stays_readable(browser: FlaskClient, build: Build) -> None:
    account, ent = build.active(), build.ent()
    with time_machine.travel(MORNING, tick=False):
        build.publish(ent, "1", "# Charte\n\nPremière version.")
        _accept(ent, account.id, "1")
    build.publish(ent, "2", "# Charte\n\nSeconde version.")
    enter(browser, account)
    page = browser.get(PAGE)
    text = text_of(page)
    assert "Version 2. Pas encore acceptée" in text
    assert "Ancienne version 1, acceptée le 2 septembre 2026 à 20 h 51" in text
    assert "Acceptée pour 0 ENT sur 1" in text_of(browser.get("/mon-compte"))
    current, former = (text_of(browser.get(url)) for url in _read(page.text))
    assert "Seconde version." in current
    assert "Pas encore acceptée : elle vous sera proposée à l’entrée." in current
    assert "Première version." in former
    assert "Version 1 du 2 septembre 2026 Une version plus récente l’a remplacée." in former
    assert "Vous l’avez acceptée le 2 septembre 2026 à 20 h 51." in former


def test_accepted_charters_stay_when_the_ent_no_longer_serves_the_school(browser: FlaskClient, build: Build) -> None:
    account, ent, other = build.active(), build.ent("Ancien"), build.ent("Fermé", "ferme.test")
    for client in (ent, other):
        build.publish(client, "1")
        _accept(client, account.id, "1")
    rows = {row.name: row for row in db.session.query(Client)}
    db.session.execute(delete(ClientSchool).where(ClientSchool.client_id == rows["Ancien"].id))
    rows["Fermé"].disabled_at = now()
    db.session.commit()
    enter(browser, account)
    links = _read(browser.get(PAGE).text)
    assert len(links) == 2
    assert [heading(browser.get(url)) for url in links] == ["Charte de Ancien", "Charte de Fermé"]


def test_a_version_of_an_ent_that_is_not_mine_is_not_found(browser: FlaskClient, build: Build) -> None:
    account, ent = build.active(), build.ent("Horizon", uais=[LYCEE])
    build.publish(ent, "1", "# Charte\n\nSecret du lycée.")
    enter(browser, account)
    theirs = str(_version(ent, "1"))
    answers = [browser.get(f"{PAGE}/{value}") for value in (theirs, str(uuid.uuid4()), "1", "x" * 500, "é", "..%2f")]
    assert {answer.status_code for answer in answers} == {404}
    assert all("Secret du lycée" not in answer.text for answer in answers)
    assert "Horizon" not in browser.get(PAGE).text


def test_an_acceptance_of_another_parent_is_not_listed(browser: FlaskClient, build: Build) -> None:
    account, other, ent = build.active(), build.active(), build.ent()
    build.publish(ent, "1")
    _accept(ent, other.id, "1")
    enter(browser, account)
    assert "acceptée Version" not in text_of(browser.get(PAGE))
    assert "Vous l’avez acceptée" not in text_of(browser.get(_read(browser.get(PAGE).text)[0]))


@pytest.mark.row("C-05")
def test_the_text_of_a_charter_is_escaped(browser: FlaskClient, build: Build) -> None:
    account, ent = build.active(), build.ent()
    build.publish(
        ent, "1", "# Charte\n\n<script>alert(1)</script>\n\n[ici](javascript:alert(1))\n\n![x](https://a.test/x)"
    )
    enter(browser, account)
    page = browser.get(_read(browser.get(PAGE).text)[0])
    assert "<script>alert" not in page.text
    assert "javascript:" not in re.sub(r"\[ici\]\(javascript:[^)]*\)", "", page.text)
    assert "<img" not in page.text.partition("<main")[2]
    assert page.text.count("<h1") == 1


def test_page_without_charters_shows_a_message(browser: FlaskClient, build: Build) -> None:
    enter(browser, build.active())
    assert "Les ENT de vos établissements n’ont pas encore publié de charte." in text_of(browser.get(PAGE))
