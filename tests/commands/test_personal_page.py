"""The page of `idp account export`: plain French for all contents of the tables."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser
from sqlalchemy import select

from idp.accounts.models import Account, Guardianship
from idp.accounts.one_time_links import Purpose
from idp.accounts.school_notices import Kind
from idp.audit.catalogue import KINDS
from idp.audit.models import AuditEntry
from idp.db import db
from idp.oidc.claims.release import SCOPES as ALL_SCOPES
from idp.operations.personal_data.words import KINSHIPS, MESSAGES, NOTICES, PURPOSES, SCOPES
from idp.rostering.readers.values import kinship_of
from idp.services import services_of
from tests.builders import PASSWORD, Build
from tests.commands.conftest import Run
from tests.commands.remains import Remains, keep
from tests.commands.test_personal_data import opened, texts_of_export
from tests.pages import sign_in
from tests.protocol.flow import tokens_for
from tests.stories.browser import CHROMIUM, look, new_page


@pytest.fixture
def parent(build: Build, browser: FlaskClient) -> Account:
    ent, account = build.ent(), build.active()
    Remains(account).everything(build)
    sign_in(browser, "/connexion", account.username, PASSWORD)
    tokens_for(browser, ent)
    return account


def test_export_lists_hidden_data_only_when_it_is_stored(act: Run, build: Build, tmp_path: Path) -> None:
    account = build.never_activated()
    texts_of_export(act, account, tmp_path / "p.zip")
    page, data = opened(tmp_path / "p.zip")
    held = {part["table"]: part["held_and_not_shown"] for part in data["parts"]}
    assert list(held["account"]) == ["provisional_hash"]
    assert "empreinte du mot de passe provisoire." in page
    for absent in ("empreinte du mot de passe ;", "ancienne adresse", "valeur secrète"):
        assert absent not in page
    account = build.active(contested_email="ex@exemple.fr")
    page = texts_of_export(act, account, tmp_path / "q.zip")[0]
    assert "ancienne adresse mail d’un changement contesté" in page
    assert "mot de passe provisoire." not in page


def test_page_of_an_export_is_in_french_and_in_the_time_of_paris(
    act: Run, parent: Account, build: Build, tmp_path: Path
) -> None:
    moment = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
    keep(
        AuditEntry(kind="letter.drawn", result="ok", at=moment, account_id=parent.id),
        AuditEntry(
            kind="sign_in", result="ok", at=moment, account_id=parent.id, details={"amr": ["pwd"], "door": "letter"}
        ),
    )
    tie = db.session.scalars(select(Guardianship).where(Guardianship.account_id == parent.id)).first()
    assert tie is not None
    tie.kinship = "20"
    parent.more_claims = {"birthdate": "1984-05-07", "phone_number_verified": True}
    db.session.commit()
    page, data = texts_of_export(act, parent, tmp_path / "p.zip")
    for code in ("letter.drawn", "2026-07-01T22:30:00+00:00"):
        assert code in data, code
    for code in (*KINDS, *PURPOSES, *NOTICES, *MESSAGES, "openid", "(code)", "UTC : ", "T22:30"):
        assert f">{code}<" not in page, code
    for words in (
        "mot de passe provisoire préparé pour un courrier",
        "<dd>père</dd>",
        "02/07/2026 à 0 h 30",
        "moyen : mot de passe ; page : « Ajouter un autre courrier »",
        "date de naissance : 07/05/1984 ; téléphone vérifié : oui",
        "connexion, nom et prénom",
        "Les heures sont celles de Paris.",
    ):
        assert words in page, words


def test_every_code_of_an_export_has_a_label(app: Flask) -> None:
    periodic = {"keys.rotation", "audit.seal", "school.digests", "desk.alerts", "desk.figures", "school.contacts"}
    assert PURPOSES.keys() == {purpose.value for purpose in Purpose}
    assert NOTICES.keys() == {kind.value for kind in Kind}
    assert MESSAGES.keys() == services_of(app).outbox_handlers.keys() - periodic
    assert SCOPES.keys() == set(ALL_SCOPES)
    assert {kinship_of(code) for code in KINSHIPS} == set(KINSHIPS), "SDET's codes, none of the old ones"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_page_of_an_export_is_accessible_and_never_scrolls_sideways(
    act: Run, parent: Account, tmp_path: Path, browser_process: Browser
) -> None:
    texts_of_export(act, parent, tmp_path / "p.zip")
    (tmp_path / "donnees.html").write_text(opened(tmp_path / "p.zip")[0])
    with new_page(browser_process) as page:
        page.goto((tmp_path / "donnees.html").as_uri())
        for width in (180, 360, 1280):
            page.set_viewport_size({"width": width, "height": 740})
            look(page)
