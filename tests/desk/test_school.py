"""A school's own data: who changes them, what is refused, the preview of the letter."""

import io
import json
import re

import pypdf
import pytest
from flask import Flask
from sqlalchemy import update

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, School
from idp.accounts.school_notices import CONTACTS
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk import classes, fields
from idp.desk.jobs import lifecycle
from idp.desk.jobs.kinds import Running
from idp.desk.jobs.models import Job, State
from idp.desk.staff.models import Role
from idp.families.standing import Group
from idp.languages import OF_LETTERS
from idp.letters import class_lists
from idp.operations import batches, blocked_passwords
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Worker
from idp.rostering.commands import set_school
from idp.services import services
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import key_of, shown
from tests.desk.trial_jobs import do_all
from tests.letters.read_back import text_of
from tests.rows import each_row

VALUES = {
    "nom": "Collège des Tilleuls",
    "adresse": "1 rue des Tilleuls\r\n\r\n59990 Rivebelle",
    "telephone": "03 20 00 00 00",
    "horaires": "Lundi à vendredi, 8 h à 17 h",
    "mail": "secretariat@tilleuls.test",
}


def test_a_school_changes_its_own_data(colleagues: Colleagues, build: Build) -> None:
    browser, path = colleagues.signed_in(), f"/etablissement/{build.school().id}"
    answer = post(browser, path, "/etablissement", **VALUES)
    assert answer.headers["Location"] == f"{path}?fait=oui"
    school = build.school()
    assert school.postal_address == ["1 rue des Tilleuls", "59990 Rivebelle"]
    assert (school.phone, school.hours, school.email) == (VALUES["telephone"], VALUES["horaires"], VALUES["mail"])
    entry = db.session.query(AuditEntry).filter_by(kind="school.changed").one()
    assert entry.school_id == school.id
    assert entry.details["after"]["hours"] == VALUES["horaires"]


def recipients() -> list[str]:
    """Return who gets a mail about the last change of a school's contacts."""
    Worker({CONTACTS: services().outbox_handlers[CONTACTS]}, batch=1).run_once()
    mails = db.session.query(OutboxMessage).filter_by(outcome="waiting").order_by(OutboxMessage.created_at)
    people = [mail.payload.get("email") or mail.payload["recipient"] for mail in mails]
    db.session.query(OutboxMessage).delete()
    db.session.commit()
    return people


@pytest.mark.row("K-34")
def test_other_contacts_of_a_school_need_a_proof_and_are_told(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    head = colleagues.person("Cheffe")
    colleagues.grant(head, Role.HEAD)
    school, browser = build.school(), colleagues.signed_in()
    path = f"/etablissement/{school.id}"
    post(browser, path, "/etablissement", **VALUES)
    db.session.query(OutboxMessage).delete()
    db.session.commit()
    post(browser, path, "/etablissement", **VALUES | {"horaires": "Le lundi"})
    assert db.session.query(OutboxMessage).count() == 0
    post(browser, path, "/etablissement", **VALUES | {"mail": "autre@tilleuls.test"})
    assert recipients() == [VALUES["mail"], str(head.id)]
    assert desk.test_cli_runner().invoke(set_school, [COLLEGE, "--mail", ""]).exit_code == 0
    assert recipients() == ["autre@tilleuls.test", str(head.id)]
    colleagues.age_proofs()
    for page in ("/etablissement", path):
        assert browser.get(page).headers["Location"].startswith("/preuve?"), "before the page opens"


def test_an_engineer_finds_and_changes_any_school(colleagues: Colleagues, build: Build) -> None:
    build.school(), build.school(LYCEE)
    browser = colleagues.signed_in(Role.ENGINEER)
    page = browser.get("/etablissement?q=louise").get_data(as_text=True)
    assert ("Lycée Louise-Weber" in page, "Tilleuls" in page) == (True, False)
    assert "Lycée Louise-Weber" in browser.get(f"/etablissement?q={LYCEE[:5]}").get_data(as_text=True)
    assert "Aucun établissement" in browser.get("/etablissement?q=%25").get_data(as_text=True)
    path = f"/etablissement/{build.school(LYCEE).id}"
    assert post(browser, path, **VALUES | {"nom": "Lycée Louise-Weber"}).status_code == 303
    assert build.school(LYCEE).phone == VALUES["telephone"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"nom": ""}, "Écrivez le nom"),
        ({"nom": "x" * 201}, "200 caractères au plus"),
        ({"adresse": " \r\n "}, "Écrivez l’adresse postale"),
        ({"adresse": "a\r\nb\r\nc\r\nd\r\ne"}, "au plus 4 lignes"),
        ({"telephone": "0" * 31}, "30 caractères au plus"),
        ({"telephone": "abc"}, "Écrivez un numéro de téléphone"),
        ({"horaires": "x\u202ey"}, "ne s’imprime pas"),
        ({"mail": "secretariat"}, "Il manque une partie"),
        ({"mail": "a@b.test, x@evil.test"}, "n’est pas écrite comme une adresse"),
    ],
)
def test_a_wrong_value_is_explained_and_nothing_is_lost(
    colleagues: Colleagues, build: Build, values: dict[str, str], sentence: str
) -> None:
    path = f"/etablissement/{build.school().id}"
    page = post(colleagues.signed_in(), path, **VALUES | {"horaires": "Le matin"} | values).get_data(as_text=True)
    assert sentence in page
    assert "59990 Rivebelle" in page or "adresse" in values
    assert db.session.query(School).filter_by(uai=COLLEGE).one().phone == ""


@each_row(
    ("numbers", "are_phones"),
    [
        (
            [
                "03 20 12 34 56", "0320123456", "03.20.12.34.56", "+33 3 20 12 34 56", "+33 (0)3 20 12 34 56",
                "0033 320123456", "0262 12 34 56", "+262 262 12 34 56", "+590 590 12 34 56", "+508 41 12 34",
                "+687 12 34 56", "+689 40 12 34 56", "03\u00a020\u00a012\u00a034\u00a056",
            ],
            True,
        ),
        (
            ["abc", "3", "03 20 12 34", "03 20 12 34 5a", "00 20 12 34 56", "+49 30 1234567", "٠٣ ٢٠ ١٢ ٣٤ ٥٦", "++33"],
            False,
        ),
    ],
)  # fmt: skip
def test_a_telephone_is_of_france_or_overseas(numbers: list[str], *, are_phones: bool) -> None:
    assert [number for number in numbers if fields.is_phone(number) is not are_phones] == []


def test_a_telephone_of_a_file_may_stay(colleagues: Colleagues, build: Build) -> None:
    school = build.school()
    school.phone = "27 78 28"
    db.session.commit()
    path = f"/etablissement/{school.id}"
    assert post(colleagues.signed_in(), path, **VALUES | {"telephone": "27 78 28"}).status_code == 303


def test_the_preview_is_a_letter_of_the_school_without_a_secret(colleagues: Colleagues, build: Build) -> None:
    browser = colleagues.signed_in()
    assert "Aucun ENT" in browser.get("/etablissement").get_data(as_text=True), "the preview needs none"
    answer = browser.get(f"/etablissement/{build.school().id}/exemple-de-courrier.pdf")
    assert answer.data.startswith(b"%PDF")
    assert answer.headers["Content-Disposition"].startswith("inline")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_school_chooses_the_languages_of_its_letters(colleagues: Colleagues, build: Build) -> None:
    browser, path = colleagues.signed_in(), f"/etablissement/{build.school().id}"
    assert browser.get(path).get_data(as_text=True).count(" checked>") == len(OF_LETTERS)
    refused = post(browser, path, **VALUES, langues=["", "tr", "en", "xx"]).get_data(as_text=True)
    assert refused.count("Un choix n’est pas dans la liste.") == 2, "above the form and beside the field"
    assert build.school().letter_languages is None
    assert db.session.query(AuditEntry).filter_by(kind="school.changed").count() == 0
    post(browser, path, **VALUES, langues=["", "tr", "en"])
    assert build.school().letter_languages == ["en", "tr"]
    entry = db.session.query(AuditEntry).filter_by(kind="school.changed").one()
    assert (entry.details["before"]["letter_languages"], entry.details["after"]["letter_languages"]) == (
        None,
        ["en", "tr"],
    )
    preview = browser.get(f"{path}/exemple-de-courrier.pdf").data
    first, second = map(text_of, pypdf.PdfReader(io.BytesIO(preview)).pages)
    assert ("Türkçe" in first, "Türkçe" in second, "Português" in first + second) == (True, True, False)
    post(browser, path, **VALUES)
    assert build.school().letter_languages == ["en", "tr"], "a form without the list changes nothing"
    post(browser, path, **VALUES, langues=[""])
    assert build.school().letter_languages == []
    post(browser, path, **VALUES, langues=list(OF_LETTERS))
    assert build.school().letter_languages is None, "all of them, and those that will be added"


@each_row(
    ("ticked", "stored"),
    [
        (["en", "tr"], ["tr", "en"]),
        (["en", "ar", "tr"], ["tr", "en", "ar"]),
        (["ar", "en"], ["en", "ar"]),
        ([], []),
    ],
)
def test_the_order_of_an_operator_stays(
    colleagues: Colleagues, build: Build, ticked: list[str], stored: list[str]
) -> None:
    path = f"/etablissement/{build.school().id}"
    build.school().letter_languages = ["tr", "en"]
    db.session.commit()
    post(colleagues.signed_in(), path, **VALUES, langues=["", *ticked])
    assert build.school().letter_languages == stored


PATH = "/etablissement/mots-de-passe"


def blocked(account: Account) -> bool:
    db.session.expire_all()
    return bool(db.session.get_one(Account, account.id).has_blocked_password)


def test_the_word_blocks_the_passwords_of_the_own_school_only(build: Build, colleagues: Colleagues) -> None:
    ours = build.active()
    theirs = build.active(children=[build.child(uai=LYCEE)], email="l@exemple.fr")
    browser = colleagues.signed_in(Role.HEAD)
    assert "Comptes avec un mot de passe choisi : 1." in shown(browser.get(PATH))
    assert "Tapez le mot BLOQUER" in post(browser, PATH, word="oui", uai=COLLEGE).get_data(as_text=True)
    assert not blocked(ours)
    assert post(browser, PATH, word="BLOQUER", uai=LYCEE).status_code == 404
    assert db.session.query(Job).count() == 0, "a form that names another school asks for nothing"
    job = key_of(post(browser, PATH, word="bloquer", uai=COLLEGE))
    assert not blocked(ours), "the request itself blocks nothing"
    do_all()
    assert blocked(ours)
    assert not blocked(theirs)
    assert "Familles qui choisiront un nouveau mot de passe : 1." in shown(browser.get(f"/travaux/{job}"))
    entry = db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").one()
    assert (entry.details["uai"], entry.details["count"]) == (COLLEGE, 1)


def test_an_engineer_names_the_school(build: Build, colleagues: Colleagues) -> None:
    account = build.active()
    browser = colleagues.signed_in(Role.ENGINEER)
    for wrong in ("xx", "%00", "0590001%00"):
        assert "Aucun établissement" in browser.get(f"{PATH}?uai={wrong}").get_data(as_text=True)
    assert post(browser, PATH, word="BLOQUER", uai="\x00").headers["Location"] == PATH
    page = f"{PATH}?uai={COLLEGE.lower()}"
    before = shown(browser.get(page))
    assert "Collège des Tilleuls" in before
    job = key_of(post(browser, PATH, page, word="BLOQUER", uai=COLLEGE))
    do_all()
    assert blocked(account)
    after = shown(browser.get(f"/travaux/{job}"))
    for sentence in (
        "nouveau courrier : moins de 10",
        "Familles qui choisiront un nouveau mot de passe : moins de 10.",
    ):
        assert sentence in before + after
    for text in (before, after, shown(browser.get(page))):
        assert not re.search(r"(?<!moins de )\b(0|1|10)\b( ici|\.<| sur )", text), "no exact number of families"
    assert "Comptes avec un mot de passe choisi : moins de 10." in shown(browser.get(page)), "also when nobody is left"
    assert "nombre : 1" not in shown(browser.get("/journal"))
    row = db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").one()
    assert row.details["count"] == 1
    exported = json.loads(post(browser, "/journal/export", "/journal", format="json").get_data())["entries"]
    assert [entry["details"].get("count") for entry in exported if entry["kind"] == row.kind] == [None]


def test_the_page_says_how_many_need_a_letter(build: Build, colleagues: Colleagues) -> None:
    build.active()
    build.active(email=None)
    page = shown(colleagues.signed_in(Role.HEAD).get(PATH))
    assert "Comptes avec un mot de passe choisi : 2." in page
    assert "a besoin d’un nouveau courrier : 1 ici." in page


@pytest.mark.row("K-14")
def test_two_people_ask_for_one_job(build: Build, colleagues: Colleagues) -> None:
    build.active()
    first, second = colleagues.signed_in(Role.HEAD), colleagues.signed_in(Role.HEAD)
    job = key_of(post(first, PATH, word="BLOQUER"))
    assert key_of(post(first, PATH, word="BLOQUER")) == job, "a second click"
    assert "Quelqu’un d’autre l’a déjà demandé" in shown(post(second, PATH, word="BLOQUER"))
    assert post(second, f"/travaux/{job}/annuler", PATH).status_code == 303
    do_all()
    assert db.session.get_one(Job, job).state is State.CANCELLED
    assert db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").count() == 0


def test_a_job_that_was_interrupted_blocks_the_rest_and_counts_all(
    build: Build, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [build.active(email=f"p{number}@exemple.fr") for number in range(3)]
    staff = colleagues.person()
    role = colleagues.grant(staff, Role.HEAD)
    job = key_of(post(colleagues.session(staff)[0], PATH, word="BLOQUER"))
    monkeypatch.setattr(batches, "ROWS", 1)
    monkeypatch.setattr(Running, "progress", fail)
    do_all()
    monkeypatch.undo()
    assert [blocked(person) for person in people].count(True) == 1
    assert db.session.get_one(Job, job).result["blocked"] == 1, "the batch and its number are one transaction"
    role.ended_at = now()
    db.session.execute(update(OutboxMessage).where(OutboxMessage.kind == lifecycle.JOB).values(available_at=now()))
    db.session.commit()
    do_all()
    assert all(blocked(person) for person in people), "what has begun is finished, also without its person"
    assert db.session.get_one(Job, job).result["blocked"] == 3
    entry = db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").one()
    assert entry.details["count"] == 3


def fail(*_: object) -> None:
    raise RuntimeError("the worker is gone")


def test_a_job_that_failed_says_and_records_what_it_blocked(
    build: Build, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.active()
    browser = colleagues.signed_in(Role.HEAD)
    job = key_of(post(browser, PATH, word="BLOQUER"))
    with monkeypatch.context() as before:
        before.setattr(blocked_passwords, "block", fail)
        do_all()
    assert db.session.get_one(Job, job).is_final, "nobody cancels it from the first batch on"
    monkeypatch.setattr(Running, "progress", fail)
    update_message = update(OutboxMessage).where(OutboxMessage.kind == lifecycle.JOB)
    db.session.execute(update_message.values(available_at=now(), attempts=2))
    db.session.commit()
    do_all()
    page = shown(browser.get(f"/travaux/{job}"))
    assert "Familles qui choisiront un nouveau mot de passe : 1." in page
    entry = db.session.query(AuditEntry).filter_by(kind="desk.passwords_forced").one()
    assert entry.details["count"] == 1


def test_a_blocked_password_without_a_confirmed_address_needs_a_letter(colleagues: Colleagues, build: Build) -> None:
    account = build.active(email=None, pending_email="a@exemple.fr", password_state=PasswordState.BLOCKED)
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}"
    page = shown(browser.get(path)).partition("<main")[2]
    assert "Il vous faut un nouveau courrier" in page
    assert "Aucun message à renvoyer" in shown(post(browser, f"{path}/renvoyer", path))
    assert db.session.query(OutboxMessage).count() == 0
    assert class_lists.waiting(build.school(), None) == []
    assert [row.missing for row in class_lists.remaining(build.school(), None)] == [class_lists.Missing.LETTER]
    _, whole, _ = classes.board(build.school())
    counted = {cell.state: cell.count for cell in whole.cells if cell.count}
    assert counted == {Group.RELETTER: 1}, "the board says what the account's page says"
    listed = shown(browser.get("/recherche", query_string={"etat": Group.RELETTER.value}))
    assert account.display_name in listed
