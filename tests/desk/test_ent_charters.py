"""Charters at the desk: written, previewed, published; what share of people accepted them."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from idp.audit.models import AuditEntry
from idp.charter import service as charters
from idp.charter.models import CharterAcceptance, CharterVersion
from idp.clients.models import CharterMode, Client
from idp.db import db
from idp.desk.staff.models import Role
from tests.builders import LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.test_ents import MANAGERS, row, text
from tests.pages import heading
from tests.relying_party import RelyingParty


@pytest.fixture
def own(build: Build) -> RelyingParty:
    build.school()
    return build.ent("Passerelle", charter="provider")


def write(
    browser: FlaskClient, client: Client, version: str = "2026-09", words: str = "# Charte\n\nSoyons polis."
) -> Any:
    return post(browser, f"/ent/{client.id}/charte", version=version, text=words)


@pytest.mark.parametrize("role", MANAGERS)
def test_a_charter_is_published_after_its_preview(colleagues: Colleagues, own: RelyingParty, role: Role) -> None:
    browser, client = colleagues.signed_in(role, client_id=own.client_id), row(own)
    preview = f"/ent/{client.id}/charte/apercu"
    answer = write(browser, client, words="# Charte\n\n<script>alert(1)</script> **polis** [a](https://autre.test/)")
    assert answer.headers["Location"] == preview
    assert db.session.query(CharterVersion).count() == 0
    page = text(browser.get(preview))
    assert ("<strong>polis</strong>" in page, "<script>alert" in page) == (True, False)
    assert "autre.test. Une adresse qui ne commence pas" in page
    digest = re.search(r'name="empreinte" value="([0-9a-f]{64})"', page)
    assert digest
    publication = f"/ent/{client.id}/charte/publier"
    assert "Tapez le mot PUBLIER" in text(post(browser, publication, preview, empreinte=digest.group(1), word="oui"))
    assert db.session.query(CharterVersion).count() == 0
    answer = post(browser, publication, preview, empreinte=digest.group(1), word="publier")
    assert answer.headers["Location"] == f"/ent/{client.id}?fait=charte"
    version = db.session.query(CharterVersion).one()
    assert (version.version, row(own).charter_version_id) == ("2026-09", version.id)
    assert row(own).charter_draft is None
    assert db.session.query(AuditEntry).filter_by(kind="charter.published").count() == 1
    assert heading(browser.get(f"/ent/{client.id}/charte/{version.id}")) == "Charte, version 2026-09"


def test_only_the_text_that_was_shown_is_published(colleagues: Colleagues, own: RelyingParty) -> None:
    browser, client = colleagues.signed_in(Role.ENGINEER), row(own)
    write(browser, client)
    preview = f"/ent/{client.id}/charte/apercu"
    digest = re.search(r'name="empreinte" value="([0-9a-f]{64})"', text(browser.get(preview)))
    assert digest
    write(browser, client, words="# Autre")
    answer = post(browser, f"/ent/{client.id}/charte/publier", preview, empreinte=digest.group(1), word="PUBLIER")
    assert "a changé entre-temps" in text(answer)
    assert db.session.query(CharterVersion).count() == 0


def test_a_new_version_starts_from_the_text_in_force(colleagues: Colleagues, own: RelyingParty) -> None:
    browser, client = colleagues.signed_in(Role.ENT_OPERATOR, client_id=own.client_id), row(own)
    page = f"/ent/{client.id}/charte"
    charters.publish(own.client_id, "1", "# Charte\n\nSoyons **polis**.")
    shown = text(browser.get(page))
    assert "version en vigueur, «\u00a01\u00a0»\u00a0: corrigez-le" in shown
    assert re.search(r"# Charte\s+Soyons \*\*polis\*\*\.</textarea>", shown), "as Markdown"
    write(browser, client, words="# Le brouillon")
    assert "# Le brouillon</textarea>" in text(browser.get(page))


def test_a_text_in_force_that_is_too_long_for_the_page_is_not_copied(colleagues: Colleagues, own: RelyingParty) -> None:
    charters.publish(own.client_id, "1", "x" * 20_001)
    shown = text(colleagues.signed_in(Role.ENGINEER).get(f"/ent/{row(own).id}/charte"))
    assert "version en vigueur" not in shown
    assert "x" * 100 not in shown


@pytest.mark.parametrize(
    ("people", "sentence"), [(9, "moins de 10"), (10, "de 10 à 19"), (4_205, "de 4\u202f200 à 4\u202f209")]
)
def test_the_preview_says_how_many_parents_must_accept(
    colleagues: Colleagues, own: RelyingParty, monkeypatch: pytest.MonkeyPatch, people: int, sentence: str
) -> None:
    browser, client = colleagues.signed_in(Role.ENT_OPERATOR, client_id=own.client_id), row(own)
    write(browser, client)
    monkeypatch.setattr(charters, "count_acceptances", lambda *_: (people, 0))
    page = text(browser.get(f"/ent/{client.id}/charte/apercu")).replace("\u00a0", " ")
    assert f"Parents qui devront l’accepter : {sentence}." in page


def test_the_preview_of_an_ent_without_a_charter_says_that_nobody_reads_it(
    colleagues: Colleagues, own: RelyingParty
) -> None:
    browser, client = colleagues.signed_in(Role.ENT_OPERATOR, client_id=own.client_id), row(own)
    write(browser, client)
    client.charter_mode = CharterMode.NONE
    db.session.commit()
    page = text(browser.get(f"/ent/{client.id}/charte/apercu"))
    assert "personne ne lira celle-ci" in page


@pytest.mark.parametrize(
    ("version", "words", "sentence"),
    [
        ("", "# x", "Donnez un nom"),
        ("x" * 41, "# x", "Donnez un nom"),
        ("1", "# x", "déjà publiée"),
        ("2", "  ", "Écrivez le texte"),
        ("2", "x" * 20_001, "20\u202f000 caractères au plus"),
    ],
)
def test_a_wrong_charter_is_explained(
    colleagues: Colleagues, own: RelyingParty, version: str, words: str, sentence: str
) -> None:
    charters.publish(own.client_id, "1", "# Charte")
    answer = write(colleagues.signed_in(Role.ENGINEER), row(own), version, words)
    assert sentence in text(answer)
    assert row(own).charter_draft is None


def accepted(build: Build, ent: RelyingParty, count: int) -> None:
    version = row(ent).charter_version_id
    for _ in range(count):
        account = build.active(email=None)
        db.session.add(CharterAcceptance(account_id=account.id, charter_version_id=version))
    db.session.commit()


@pytest.mark.parametrize(
    ("role", "count", "sentence"),
    [
        (Role.HEAD, 2, "67 % des comptes avec un mot de passe choisi l’ont acceptée : 2 sur 3"),
        (Role.ENT_OPERATOR, 2, "Moins de 10 personnes"),
        (Role.ENGINEER, 9, "Moins de 10 personnes"),
        (Role.ENT_OPERATOR, 10, "Moins de 10 personnes"),
    ],
)
def test_small_numbers_are_hidden_outside_the_school(
    colleagues: Colleagues, build: Build, own: RelyingParty, role: Role, count: int, sentence: str
) -> None:
    charters.publish(own.client_id, "1", "# Charte")
    build.active(email=None)
    accepted(build, own, count)
    page = text(colleagues.signed_in(role, client_id=own.client_id).get(f"/ent/{row(own).id}"))
    assert sentence in page.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("people", "accepted", "sentence"),
    [
        (498, 495, "moins de 10 ne l’ont pas encore fait"),
        (505, 495, "Environ 98 % des comptes avec un mot de passe choisi l’ont acceptée : 490 sur 500, arrondis"),
        (0, 0, "Moins de 10 personnes"),
    ],
)
def test_the_numbers_of_all_schools_are_rounded(
    colleagues: Colleagues,
    own: RelyingParty,
    monkeypatch: pytest.MonkeyPatch,
    people: int,
    accepted: int,
    sentence: str,
) -> None:
    charters.publish(own.client_id, "1", "# Charte")
    monkeypatch.setattr(charters, "count_acceptances", lambda *_: (people, accepted))
    page = text(colleagues.signed_in(Role.ENT_OPERATOR, client_id=own.client_id).get(f"/ent/{row(own).id}"))
    assert sentence in page.replace("\u00a0", " ")
    assert not re.search(r"\b495\b", page.partition("<main")[2]), "as a number: ids have any digits"


def test_a_head_reads_the_figures_of_the_own_school_alone(colleagues: Colleagues, build: Build) -> None:
    ent = build.ent(charter="provider", uais=["0599001N", LYCEE])
    charters.publish(ent.client_id, "1", "# Charte")
    build.active(email=None, children=[build.child(uai=LYCEE)])
    build.active(email=None)
    page = text(colleagues.signed_in(Role.HEAD).get(f"/ent/{row(ent).id}"))
    assert "0 sur 1" in page


def test_figures_that_take_too_long_are_left_out(
    colleagues: Colleagues, own: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    charters.publish(own.client_id, "1", "# Charte")

    def slow(*_: object) -> None:
        raise OperationalError("SELECT", {}, TimeoutError())

    monkeypatch.setattr(charters, "count_acceptances", slow)
    page = text(colleagues.signed_in(Role.ENGINEER).get(f"/ent/{row(own).id}"))
    assert "calculé à temps" in page
