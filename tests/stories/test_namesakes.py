"""Story: a year later the file has another person with the same name; the two accounts stay separate."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.rostering.test_onde import guardians, pupils
from tests.stories.browser import follow
from tests.stories.site import Letter, Site
from tests.stories.steps import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    accept_charter,
    activate,
    check_heading,
    choose_parent,
    confirm,
    give_email,
    link_in_mail,
    open_sign_in,
    sign_in,
)

SCHOOL, COLLEGE = "0599004S", "0599001N"
FIRST, SECOND = "marie.m@exemple.fr", "marie.martin@exemple.fr"
LEA = "MARTIN;;Léa;14/09/2015;F;1 rue A;59990;Rivebelle;FRANCE;;;;;CYCLE III;CM2;CM2 A"
HER_MOTHER = "MME;MARTIN;;Marie;1 rue A;59990;Rivebelle;FRANCE;;;;;;MARTIN;Léa;CM2 A"
ZOE = "BERNARD;;Zoé;14/09/2020;F;9 rue Z;59992;Valdoux;FRANCE;;;;;CYCLE II;CP;CP A"
NAMESAKE = "MME;MARTIN;;Marie;9 rue Z;59992;Valdoux;FRANCE;;;;;;BERNARD;Zoé;CP A"
pytestmark = pytest.mark.browser


def import_year(site: Site, year: str, pupil: str, guardian: str) -> dict[str, Any]:
    """Import the two ONDE exports of a school year; return the output of the command."""
    folder = site.folder / year
    folder.mkdir()
    (folder / "eleves.csv").write_text(pupils(pupil), encoding="cp1252")
    (folder / "responsables.csv").write_text(guardians(guardian, children=1), encoding="cp1252")
    report: dict[str, Any] = json.loads(
        site.command("roster", "import", "--school", SCHOOL, "--force", "--json", str(folder))
    )
    return report


def print_letter(site: Site, year: str) -> Letter:
    """Print the school's only letter; return it."""
    letter_list = Path(site.folder / f"{year}.csv")
    site.command(
        "letters", "print", "--school", SCHOOL, "--out", str(letter_list.with_suffix(".pdf")), "--csv", str(letter_list)
    )
    [row] = csv.DictReader(io.StringIO(letter_list.read_text(encoding="utf-8-sig")), delimiter=";")
    return Letter(row["username"], row["provisional_password"])


def enter_ent(page: Page, site: Site, letter: Letter, email: str, password: str) -> str:
    """Go from the letter to the private page of the ENT; return the `sub` that it shows."""
    open_sign_in(page, site)
    choose_parent(page)
    sign_in(page, letter.username, letter.provisional_password)
    activate(page, email, password)
    confirm(page, link_in_mail(site, email))
    follow(page.get_by_role("link", name="Accéder à l’ENT"))
    sign_in(page, letter.username, password)
    accept_charter(page)
    give_email(page, email)
    check_heading(page, "Bienvenue Marie MARTIN")
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="sub", exact=True)).inner_text()


@pytest.mark.row("R-12")
def test_namesake_of_the_next_year_gets_a_separate_account(phone: Page, other_device: Page, site: Site) -> None:
    site.command("school", "set", SCHOOL, "--name", "École du Moulin", "--phone", "03 53 01 70 70", "--degree", "1D")
    site.command("client", "set", "passerelle", "--uai", COLLEGE, "--uai", SCHOOL)

    # The first year: Marie MARTIN, mother of Léa, has an account and uses the ENT.
    import_year(site, "2026", LEA, HER_MOTHER)
    first = print_letter(site, "2026")
    sub = enter_ent(phone, site, first, FIRST, NEW_PASSWORD)
    expect(phone.get_by_text("Léa").first).to_be_visible()

    # The next year: Léa has left; another Marie MARTIN, mother of Zoé, lives elsewhere.
    report = import_year(site, "2027", ZOE, NAMESAKE)
    assert (report["accounts"]["created"], report["accounts"]["disabled"]) == (1, 1)
    assert [notice["code"] for notice in report["issues"] if "c’est une autre personne" in notice["message"]]
    second = print_letter(site, "2027")
    assert second.username != first.username

    # The second person has a separate account: the ENT shows her no data of the first.
    other = enter_ent(other_device, site, second, SECOND, OTHER_PASSWORD)
    assert other != sub
    expect(other_device.get_by_text("Zoé").first).to_be_visible()
    expect(other_device.get_by_text("Léa")).to_have_count(0)
    expect(other_device.get_by_text(FIRST)).to_have_count(0)

    # The first person is notified by mail and can no longer sign in.
    mail = site.wait_for_mail(FIRST, 2)
    assert mail["subject"] == "Votre compte est fermé : une autre personne porte votre nom"
    for words in (first.username, "École du Moulin", "03 53 01 70 70"):
        assert words in mail["text"].replace("\u00a0", " ")
    assert second.username not in mail["text"]
    phone.goto(f"{site.settings.issuer}/mon-compte")
    sign_in(phone, first.username, NEW_PASSWORD)
    check_heading(phone, "Connexion")
    open_sign_in(phone, site)
    check_heading(phone, "Connexion")

    # The school sees which account it is.
    [notice] = site.notices()
    assert (notice["uai"], notice["kind"], notice["account"], notice["state"]) == (
        SCHOOL,
        "person_replaced",
        first.username,
        "open",
    )
    assert [child["given_name"] for child in notice["children"]] == ["Léa"]

    # The school settles the notice. The next file does not open the first account again.
    site.command("school", "notices", "--settle", notice["id"], "--sentence", "Léa a quitté l’école")
    import_year(site, "2027-encore", ZOE, NAMESAKE)
    [notice] = site.notices()
    assert (notice["state"], notice["sentence"]) == ("settled", "Léa a quitté l’école")
    assert json.loads(site.command("account", "show", first.username, "--json"))["state"] == "disabled"
    other_device.goto(f"{site.settings.issuer}/mon-compte")
    check_heading(other_device, "Gérer mon compte")
    expect(other_device.get_by_text("Zoé BERNARD")).to_be_visible()
