"""A school's own data: who changes them, what is refused, the preview of the letter."""

import io

import pypdf
import pytest
from flask import Flask

from idp.accounts.models import School
from idp.accounts.school_notices import CONTACTS
from idp.audit.models import AuditEntry
from idp.db import db
from idp.desk import fields
from idp.desk.staff.models import Role
from idp.letter_languages import LANGUAGES
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Worker
from idp.rostering.commands import set_school
from idp.services import services
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.letters.read_back import text_of
from tests.pages import heading
from tests.rows import each_row

VALUES = {
    "nom": "Collège des Tilleuls",
    "adresse": "1 rue des Tilleuls\r\n\r\n59990 Rivebelle",
    "telephone": "03 20 00 00 00",
    "horaires": "Lundi à vendredi, 8 h à 17 h",
    "mail": "secretariat@tilleuls.test",
}


@pytest.mark.parametrize("role", [Role.SECRETARY, Role.HEAD])
def test_a_school_changes_its_own_data(colleagues: Colleagues, build: Build, role: Role) -> None:
    browser, path = colleagues.signed_in(role), f"/etablissement/{build.school().id}"
    assert heading(browser.get("/etablissement")) == "Établissement"
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


@pytest.mark.parametrize("role", [Role.SECRETARY, Role.HEAD])
def test_another_school_is_not_found(colleagues: Colleagues, build: Build, role: Role) -> None:
    other, browser = build.school(LYCEE), colleagues.signed_in(role)
    assert browser.get(f"/etablissement/{other.id}").status_code == 404
    assert browser.get(f"/etablissement/{other.id}/exemple-de-courrier.pdf").status_code == 404
    assert post(browser, f"/etablissement/{other.id}", "/etablissement", **VALUES).status_code == 404
    assert build.school(LYCEE).phone == ""


def test_an_engineer_finds_and_changes_any_school(colleagues: Colleagues, build: Build) -> None:
    build.school(), build.school(LYCEE)
    browser = colleagues.signed_in(Role.ENGINEER)
    page = browser.get("/etablissement?q=louise").get_data(as_text=True)
    assert "Lycée Louise-Weber" in page
    assert "Tilleuls" not in page
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
    "number",
    [
        "03 20 12 34 56", "0320123456", "03.20.12.34.56", "+33 3 20 12 34 56", "+33 (0)3 20 12 34 56",
        "0033 320123456", "0262 12 34 56", "+262 262 12 34 56", "+590 590 12 34 56", "+508 41 12 34",
        "+687 12 34 56", "+689 40 12 34 56", "03\u00a020\u00a012\u00a034\u00a056",
    ]
)  # fmt: skip
def test_a_telephone_of_france_or_overseas_is_one(number: str) -> None:
    assert fields.is_phone(number)


@each_row(
    "number",
    ["abc", "3", "03 20 12 34", "03 20 12 34 5a", "00 20 12 34 56", "+49 30 1234567", "٠٣ ٢٠ ١٢ ٣٤ ٥٦", "++33"],
)
def test_another_text_is_no_telephone(number: str) -> None:
    assert not fields.is_phone(number)


def test_a_telephone_of_a_file_may_stay(colleagues: Colleagues, build: Build) -> None:
    school = build.school()
    school.phone = "27 78 28"
    db.session.commit()
    path = f"/etablissement/{school.id}"
    assert post(colleagues.signed_in(), path, **VALUES | {"telephone": "27 78 28"}).status_code == 303


def test_the_preview_is_a_letter_of_the_school_without_a_secret(colleagues: Colleagues, build: Build) -> None:
    build.ent()
    answer = colleagues.signed_in().get(f"/etablissement/{build.school().id}/exemple-de-courrier.pdf")
    assert answer.mimetype == "application/pdf"
    assert answer.data.startswith(b"%PDF")
    assert answer.headers["Content-Disposition"].startswith("inline")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_school_chooses_the_languages_of_its_letters(colleagues: Colleagues, build: Build) -> None:
    browser, path = colleagues.signed_in(), f"/etablissement/{build.school().id}"
    page = browser.get(path).get_data(as_text=True)
    assert page.count(" checked>") == len(LANGUAGES)
    assert "Il est en français, et en quelques lignes : anglais, arabe, turc, portugais, espagnol" in page.replace(
        "\xa0", " "
    )
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
    page = browser.get(path).get_data(as_text=True)
    assert "traduit en entier, au dos : anglais, turc." in page.replace("\xa0", " ")
    post(browser, path, **VALUES)
    assert build.school().letter_languages == ["en", "tr"], "a form without the list changes nothing"
    post(browser, path, **VALUES, langues=[""])
    assert build.school().letter_languages == []
    assert "Il est en français seulement." in browser.get(path).get_data(as_text=True)
    post(browser, path, **VALUES, langues=list(LANGUAGES))
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


def test_the_preview_needs_no_ent(colleagues: Colleagues, build: Build) -> None:
    browser = colleagues.signed_in()
    assert "Aucun ENT" in browser.get("/etablissement").get_data(as_text=True)
    assert browser.get(f"/etablissement/{build.school().id}/exemple-de-courrier.pdf").data.startswith(b"%PDF")
