"""Requests of access, rectification and erasure at the desk."""

import io
import json
import zipfile
from datetime import timedelta

import pytest
from sqlalchemy import select

from idp.accounts.models import Account, Guardianship, SchoolNotice
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.people import retention
from idp.desk.staff.models import Role
from idp.families import suspension
from idp.families.suspension import Decision
from idp.personal import LEFT_OUT
from idp.tables import metadata
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.pages import heading


def entries(kind: str) -> list[AuditEntry]:
    return list(db.session.scalars(select(AuditEntry).where(AuditEntry.kind == kind)))


def test_a_fresh_proof_and_a_reason_come_first(colleagues: Colleagues) -> None:
    path, led = "/droits/recherche?q=leroy", "?suite=%2Fdroits%2Frecherche%3Fq%3Dleroy"
    stale = colleagues.signed_in(Role.DPO, proof_age=timedelta(minutes=11))
    assert stale.get(path).headers["Location"] == f"/preuve{led}"
    assert colleagues.signed_in(Role.DPO, reason="").get(path).headers["Location"] == f"/motif{led}"


def test_the_times_of_retention_are_read_without_a_reason(colleagues: Colleagues) -> None:
    page = colleagues.signed_in(Role.DPO, reason="", proof_age=timedelta(minutes=11)).get("/droits")
    assert heading(page) == "Droits des personnes"
    assert "365 jours" in page.get_data(as_text=True).replace("\xa0", " ")


def test_every_table_with_data_about_people_has_a_time_of_retention(build: Build) -> None:
    rows = retention.rows(build.settings)
    kept = {table for row in rows for table in row.tables}
    assert kept | retention.WITHOUT_PEOPLE == set(metadata.tables)
    assert not kept & retention.WITHOUT_PEOPLE
    assert all(metadata.tables[name].info[LEFT_OUT] for name in retention.WITHOUT_PEOPLE), "an export leaves them out"
    assert all(row.how_long for row in rows)


@pytest.mark.parametrize(
    ("typed", "school", "is_found"),
    [
        ("{username}", "", True),
        ("{email}", "", True),
        ("Le Goff", "", True),
        ("achille", "", True),
        ("achille", "tilleuls", True),
        ("achille le goff", COLLEGE, True),
        ("le gof", "tilleuls", True),
        ("legofx", COLLEGE, True),
        ("achille", LYCEE, False),
        ("le goff", "louise-weber", False),
        ("{username}", LYCEE, True),
        ("personne", "", False),
    ],
)
def test_a_person_is_found_by_names_pupil_identifier_and_school(
    build: Build, colleagues: Colleagues, typed: str, school: str, *, is_found: bool
) -> None:
    child = build.child()
    child.given_name = "Achille"
    account = build.active(children=[child], family_name="LE GOFF")
    build.active(children=[build.child(uai=LYCEE)], family_name="PETIT", email="autre@exemple.fr")
    query = {"q": typed.format(username=account.username, email=account.email), "ecole": school}
    page = colleagues.signed_in(Role.DPO).get("/droits/recherche", query_string=query).get_data(as_text=True)
    assert (f'href="/droits/{account.id}"' in page) is is_found, page
    [entry] = entries("desk.searched")
    assert entry.details["hits"] == (1 if is_found else 0)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"q": ""}, "Tapez au moins trois lettres"),
        ({"q": "leroy", "ecole": "nulle part"}, "Aucun établissement n’a ce nom"),
        ({"q": "\x00", "ecole": "\x00"}, "Tapez au moins trois lettres"),
    ],
)
def test_a_search_without_a_name_or_with_another_school_is_explained(
    colleagues: Colleagues, query: dict[str, str], sentence: str
) -> None:
    page = colleagues.signed_in(Role.DPO).get("/droits/recherche", query_string=query).get_data(as_text=True)
    assert sentence in page
    assert not entries("desk.searched")


def test_an_opened_person_is_journaled_and_the_account_leads_to_the_rights(
    build: Build, colleagues: Colleagues
) -> None:
    account, browser = build.active(), colleagues.signed_in(Role.DPO)
    assert heading(browser.get(f"/droits/{account.id}")) == account.display_name
    assert [entry.account_id for entry in entries("account.read")] == [account.id]
    link = f'href="/droits/{account.id}">Droits de cette personne'
    assert link in browser.get(f"/comptes/{account.id}").get_data(as_text=True)
    assert link not in colleagues.signed_in(Role.HEAD).get(f"/comptes/{account.id}").get_data(as_text=True)


def test_the_archive_has_a_page_and_json_and_is_journaled(build: Build, colleagues: Colleagues) -> None:
    account, browser = build.active(), colleagues.signed_in(Role.DPO)
    answer = post(browser, f"/droits/{account.id}/copie", f"/droits/{account.id}")
    assert answer.headers["Cache-Control"].startswith("no-store")
    with zipfile.ZipFile(io.BytesIO(answer.get_data())) as archive:
        assert sorted(archive.namelist()) == ["donnees.html", "donnees.json"]
        data = json.loads(archive.read("donnees.json"))
    assert data["username"] == account.username
    assert str(account.password_hash) not in json.dumps(data)
    [entry] = entries("account.exported")
    assert entry.details["desk"]["reason"] == "ticket 4512"


def test_a_request_for_correction_reaches_the_school_and_the_journal(build: Build, colleagues: Colleagues) -> None:
    account, browser = build.active(), colleagues.signed_in(Role.DPO)
    path, note = f"/droits/{account.id}", "Le nom s’écrit LEFÈVRE."
    assert "Écrivez ce que" in post(browser, f"{path}/correction", path, note=" x ").get_data(as_text=True)
    answer = post(browser, f"{path}/correction", path, note=note)
    assert "signalements de l’établissement" in browser.get(answer.headers["Location"]).get_data(as_text=True)
    notice = db.session.query(SchoolNotice).one()
    assert (notice.kind, notice.note, notice.account_id) == ("rectification", note, account.id)
    assert entries("account.rectification_asked")[0].details["note"] == note
    post(browser, f"{path}/correction", path, note="Et la ville est Lille.")
    assert db.session.query(SchoolNotice).one().note == f"{note} / Et la ville est Lille."


def test_a_correction_without_a_school_is_refused(build: Build, colleagues: Colleagues) -> None:
    account, browser = build.active(children=[]), colleagues.signed_in(Role.DPO)
    answer = post(browser, f"/droits/{account.id}/correction", f"/droits/{account.id}", note="Le nom est faux.")
    assert "Aucun établissement" in answer.get_data(as_text=True)


def test_an_erasure_shows_what_stays_and_needs_the_word(build: Build, colleagues: Colleagues) -> None:
    account, browser = build.active(roster_key="aaf:1"), colleagues.signed_in(Role.DPO)
    key = account.id
    suspension.suspend(key, Decision(reason="jugement"))
    path = f"/droits/{key}/effacement"
    assert "La suspension de l’accès à un élève" in browser.get(path).get_data(as_text=True)
    for word, reason in (("", "demande 12"), ("effacez", "demande 12"), ("EFFACER", "")):
        assert post(browser, path, reason=reason, word=word).status_code == 200
        assert db.session.get(Account, key) is not None
    answer = post(browser, path, reason="demande 12", word="effacer")
    assert db.session.get(Account, key) is None
    after = browser.get(answer.headers["Location"])
    assert heading(after) == "La personne est effacée"
    assert "l’import refuse sa ligne et le dit" in after.get_data(as_text=True)
    [entry] = entries("account.erased")
    assert (entry.details["reason"], entry.staff_id is not None) == ("demande 12", True)
    assert post(browser, path, "/droits", reason="demande 12", word="EFFACER").status_code == 404


def test_a_person_in_dispute_stays_and_the_page_says_why(build: Build, colleagues: Colleagues) -> None:
    account, browser = build.active(), colleagues.signed_in(Role.DPO)
    db.session.query(Guardianship).filter_by(account_id=account.id).update({"disputed_at": now()})
    db.session.commit()
    path = f"/droits/{account.id}/effacement"
    assert '<form class="flow"' not in browser.get(path).get_data(as_text=True)
    assert "est contesté" in post(browser, path, "/droits", reason="demande 12", word="EFFACER").get_data(as_text=True)
    assert db.session.get(Account, account.id) is not None
