"""Requests of access, rectification and erasure at the desk."""

import io
import json
import zipfile
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts.models import Account, SchoolNotice
from idp.audit.models import AuditEntry
from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.desk import retention
from idp.desk.jobs import lifecycle
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.staff.models import Role, StaffAccount, StaffCredential, StaffRole, StaffSession
from idp.desk.statistics.models import StoredFigures
from idp.families import closing
from idp.families.closing import Decision
from idp.outbox import queue
from idp.personal import LEFT_OUT
from idp.tables import metadata
from tests.builders import COLLEGE, LYCEE, Build
from tests.closed import dispute
from tests.desk.colleagues import Colleagues, post
from tests.pages import heading

_WITHOUT_PEOPLE = frozenset(
    {
        "audit_beginning", "audit_seal", "charter_version", "client", "client_invite", "client_school", "desk_figures",
        "kept_password", "noted_settings", "pushed_request", "school", "sector", "signing_key", "spent_challenge",
        "spent_proof",
    }
)  # fmt: skip
"""The tables that hold no data about people; the `info` of each table says what it holds."""


def entries(kind: str) -> list[AuditEntry]:
    return list(db.session.scalars(select(AuditEntry).where(AuditEntry.kind == kind)))


def test_the_times_of_retention_are_read_without_a_reason(colleagues: Colleagues) -> None:
    page = colleagues.signed_in(Role.DPO, reason="", proof_age=timedelta(minutes=11)).get("/droits")
    assert "365 jours" in page.get_data(as_text=True).replace("\xa0", " ")


def test_every_table_with_data_about_people_has_a_time_of_retention(build: Build) -> None:
    rows = retention.rows(build.settings)
    kept = {table for row in rows for table in row.tables}
    assert kept | _WITHOUT_PEOPLE == set(metadata.tables)
    assert not kept & _WITHOUT_PEOPLE
    assert all(metadata.tables[name].info[LEFT_OUT] for name in _WITHOUT_PEOPLE), "an export leaves them out"
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
        ({"q": ""}, "Tapez au moins 3 lettres"),
        ({"q": "leroy", "ecole": "nulle part"}, "Aucun établissement n’a ce nom"),
        ({"q": "\x00", "ecole": "\x00"}, "Tapez au moins 3 lettres"),
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
    closing.close(key, Decision(reason="jugement"))
    path = f"/droits/{key}/effacement"
    assert "La décision qui ferme l’accès à un élève" in browser.get(path).get_data(as_text=True)
    for word, reason in (("", "demande 12"), ("effacez", "demande 12"), ("EFFACER", "")):
        assert post(browser, path, reason=reason, word=word).status_code == 200
        assert db.session.get(Account, key) is not None
    answer = post(browser, path, reason="demande 12", word="effacer")
    assert db.session.get(Account, key) is None
    after = browser.get(answer.headers["Location"])
    assert heading(after) == "La personne est effacée"
    assert "ce compte attend la direction" in after.get_data(as_text=True)
    [entry] = entries("account.erased")
    assert (entry.details["reason"], entry.staff_id is not None) == ("demande 12", True)
    assert post(browser, path, "/droits", reason="demande 12", word="EFFACER").status_code == 404


def test_a_person_in_dispute_stays_and_the_page_says_why(build: Build, colleagues: Colleagues) -> None:
    account, browser = build.active(), colleagues.signed_in(Role.DPO)
    dispute(account.id)
    db.session.commit()
    path = f"/droits/{account.id}/effacement"
    assert '<form class="flow"' not in browser.get(path).get_data(as_text=True)
    assert "est contesté" in post(browser, path, "/droits", reason="demande 12", word="EFFACER").get_data(as_text=True)
    assert db.session.get(Account, account.id) is not None


def purged(build: Build) -> dict[str, int]:
    done = retention.purge(build.settings, now())
    db.session.expire_all()
    return {name: count for name, count in done.items() if count}


def test_a_session_is_removed_a_week_after_its_end(desk: Flask, build: Build, colleagues: Colleagues) -> None:
    staff = colleagues.person()
    colleagues.grant(staff, Role.HEAD)
    _, old = colleagues.session(staff)
    _, recent = colleagues.session(staff)
    old.ended_at, recent.ended_at = now() - timedelta(days=8), now() - timedelta(days=6)
    db.session.commit()
    assert purged(build) == {"staff_sessions": 1}
    assert db.session.query(StaffSession).one().id == recent.id


def test_a_job_is_removed_with_its_files_after_sixty_days(desk: Flask, build: Build, colleagues: Colleagues) -> None:
    staff = colleagues.person()
    role = colleagues.grant(staff, Role.HEAD)
    for days in (59, 61):
        job = Job(
            kind="trial", staff_id=staff.id, role_id=role.id, state=State.DONE, finished_at=now() - timedelta(days=days)
        )
        db.session.add(job)
        db.session.flush()
        db.session.add(JobFile(job_id=job.id, name="x", media_type="x/y", content=b"", expires_at=now()))
    db.session.commit()
    assert purged(build) == {"desk_jobs": 1}
    assert (db.session.query(Job).count(), db.session.query(JobFile).count()) == (1, 1)


def test_a_job_whose_message_is_finished_is_ended_and_leaves_its_lane(
    desk: Flask, build: Build, colleagues: Colleagues
) -> None:
    staff = colleagues.person()
    role = colleagues.grant(staff, Role.HEAD)
    for lane, finished_at in (("dead", now()), ("waits", None)):
        job = Job(kind="trial", staff_id=staff.id, role_id=role.id, state=State.RUNNING, lane=lane)
        db.session.add(job)
        db.session.flush()
        message = queue.enqueue(lifecycle.JOB, {"job": str(job.id)})
        message.finished_at = finished_at
    db.session.commit()
    purged(build)
    states = {job.lane: (job.state, job.refusal) for job in db.session.query(Job)}
    assert states == {"dead": (State.FAILED, "fault"), "waits": (State.RUNNING, "")}
    assert [lifecycle.in_lane(lane) is None for lane in ("dead", "waits")] == [True, False]


def test_figures_of_a_worker_that_stands_still_are_removed_after_a_week(desk: Flask, build: Build) -> None:
    for days in (6, 8):
        db.session.add(StoredFigures(scope=f"x{days}", counted_at=now() - timedelta(days=days), tables={}))
    db.session.commit()
    assert purged(build) == {"desk_figures": 1}
    assert db.session.query(StoredFigures).one().scope == "x6"


def test_a_person_who_left_is_removed_with_the_end_of_the_journal(
    desk: Flask, build: Build, colleagues: Colleagues
) -> None:
    for days in (364, 366):
        staff = colleagues.person()
        colleagues.grant(staff, Role.SECRETARY)
        staff.disabled_at = now() - timedelta(days=days)
    stays = colleagues.person()
    colleagues.grant(stays, Role.SECRETARY)
    assert purged(build) == {"staff_removed": 1}
    assert (db.session.query(StaffAccount).count(), db.session.query(StaffRole).count()) == (2, 2)
    assert db.session.query(StaffCredential).count() == 0


def test_a_person_whose_last_role_ended_is_removed_a_year_later(
    desk: Flask, build: Build, colleagues: Colleagues
) -> None:
    for days, ended in ((364, None), (366, None), (-100, 366), (-100, 364)):
        staff = colleagues.person()
        role = colleagues.grant(staff, Role.SECRETARY)
        staff.created_at = now() - timedelta(days=800)
        role.valid_until = now() - timedelta(days=days)
        role.ended_at = now() - timedelta(days=ended) if ended else None
        former = colleagues.grant(staff, Role.HEAD)
        former.valid_until = now() - timedelta(days=700)
    colleagues.person()  # was invited a moment ago
    db.session.commit()
    assert purged(build) == {"staff_removed": 2}
    assert (db.session.query(StaffAccount).count(), db.session.query(StaffRole).count()) == (3, 4)


def test_a_refused_ent_is_removed_with_the_end_of_the_journal(
    desk: Flask, build: Build, colleagues: Colleagues
) -> None:
    build.school()
    for days in (364, 366):
        ent = build.ent(f"Estuaire {days}", f"e{days}.test")
        build.publish(ent, "1")
        role = colleagues.grant(colleagues.person(), Role.ENT_OPERATOR, client_id=ent.client_id)
        role.ended_at = now() - timedelta(days=days)
        client = db.session.query(Client).filter_by(client_id=ent.client_id).one()
        client.declined_at, client.uais = now() - timedelta(days=days), []
        db.session.commit()
    build.ent("Passerelle")
    assert purged(build) == {"ents_refused": 1}
    assert {client.name for client in db.session.query(Client)} == {"Estuaire 364", "Passerelle"}
    assert db.session.query(StaffRole).count() == 1
