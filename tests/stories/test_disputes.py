"""Stories: two people claim one account, or another person opens a letter; the school decides."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.stories.browser import follow, look
from tests.stories.site import Site
from tests.stories.steps import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    activate,
    check_heading,
    confirm,
    confirm_new_email,
    create_account,
    enter_account,
    link_in_mail,
    sign_in,
)

SHARED = "famille.leroy@exemple.fr"
OWN = "noemie.leroy@exemple.fr"
REASON = "pièce d’identité vue au secrétariat"
pytestmark = pytest.mark.browser


def request_password(page: Page, site: Site, username: str) -> None:
    page.goto(f"{site.settings.issuer}/mot-de-passe-oublie")
    page.get_by_label("Identifiant", exact=True).fill(username)
    follow(page.get_by_role("button", name="Recevoir un lien"))
    check_heading(page, re.compile("Regardez votre messagerie|Un peu de patience"))


def links(site: Site, mailbox: str, path: str) -> list[str]:
    """Return the links with this path in the mails of a mailbox, oldest first."""
    pattern = re.compile(rf"{re.escape(site.settings.issuer)}{path}\S+")
    return [link for mail in site.mails(mailbox) for link in pattern.findall(mail["text"])]


def leave_shared_mailbox(page: Page, site: Site, username: str) -> None:
    """Change the email of the account and confirm it; the former mailbox is notified."""
    enter_account(page, site, username)
    follow(page.get_by_role("link", name="Changer mon adresse mail"))
    page.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    page.get_by_label("Nouvelle adresse mail").fill(OWN)
    follow(page.get_by_role("button", name="Enregistrer"))
    check_heading(page, "Changer mon adresse mail")
    confirm_new_email(page, link_in_mail(site, OWN, 1, "Confirmez votre nouvelle adresse mail"))
    site.wait_for_mail(SHARED, 3)


@pytest.mark.row("E-11")
def test_former_mailbox_disputes_a_change_and_gains_nothing(phone: Page, other_device: Page, site: Site) -> None:
    """Noémie leaves a shared mailbox; her former husband, who keeps it, disputes the change and gains nothing."""
    noemie = create_account(phone, site, "n.leroy", SHARED)
    leave_shared_mailbox(phone, site, noemie)
    first, second = links(site, SHARED, "/adresse/contestation/")

    # the former husband opens « Ce n’était pas moi »: the account is closed, for him too
    other_device.goto(second)
    check_heading(other_device, "Ce n’était pas vous ?")
    follow(other_device.get_by_role("button", name="Signaler le changement"))
    check_heading(other_device, "Le compte est fermé")
    expect(other_device.get_by_text("l’établissement de votre enfant").first).to_be_visible()
    expect(other_device.get_by_text("Dites-le au secrétariat de l’établissement de votre enfant")).to_be_visible()
    expect(other_device.get_by_text("Tilleuls")).to_have_count(0)
    for mailbox, count in ((SHARED, 4), (OWN, 2)):
        assert site.wait_for_mail(mailbox, count)["subject"] == "Votre compte est fermé pour le moment"
    request_password(other_device, site, noemie)
    other_device.goto(f"{site.settings.issuer}/identifiant-oublie")
    other_device.get_by_label("Adresse mail").fill(SHARED)
    follow(other_device.get_by_role("button", name="Recevoir mon identifiant"))
    other_device.goto(first)
    check_heading(other_device, "Ce lien ne marche plus")
    other_device.wait_for_timeout(3000)
    assert (len(site.mails(SHARED)), len(site.mails(OWN))) == (4, 2)

    # Noémie cannot sign in either; the page names the school
    phone.goto(f"{site.settings.issuer}/mon-compte")
    sign_in(phone, noemie, NEW_PASSWORD)
    check_heading(phone, "Ce compte est fermé pour le moment")
    expect(phone.get_by_text("Collège des Tilleuls")).to_be_visible()

    # the school sees the dispute, cannot simply unlock the account, and decides with an identity card
    assert f"idp account disputes {noemie}" in site.command("account", "unlock", noemie, code=1)
    [row] = json.loads(site.command("account", "disputes", noemie, "--json"))
    assert (row["kind"], row["former_email"], row["new_email"]) == (
        "email_contested",
        "f…y@exemple.fr",
        "n…y@exemple.fr",
    )
    [notice] = site.notices()
    assert (notice["kind"], notice["account"], notice["state"]) == ("email_contested", noemie, "open")
    site.command("account", "disputes", noemie, "--reject", "--reason", REASON)
    [settled] = site.notices()
    assert (settled["id"], settled["state"], settled["sentence"]) == (notice["id"], "settled", REASON)
    assert "settled already" in site.command("account", "disputes", noemie, "--confirm", "--reason", REASON, code=1)
    assert site.wait_for_mail(SHARED, 5)["subject"] == "L’établissement a écarté cette adresse mail"
    assert site.wait_for_mail(OWN, 3)["subject"] == "L’établissement a gardé cette adresse mail"

    # she chooses a password with a mail and signs in; the former mailbox is no longer notified
    phone.goto(f"{site.settings.issuer}/connexion")
    sign_in(phone, noemie, NEW_PASSWORD)
    check_heading(phone, "Choisissez un nouveau mot de passe")
    phone.goto(link_in_mail(site, OWN, 4, "Choisissez un nouveau mot de passe"))
    phone.get_by_label("Nouveau mot de passe").fill(OTHER_PASSWORD)
    phone.get_by_label("Confirmez le mot de passe").fill(OTHER_PASSWORD)
    follow(phone.get_by_role("button", name="Enregistrer"))
    check_heading(phone, "Votre mot de passe est changé")
    enter_account(phone, site, noemie, OTHER_PASSWORD)
    expect(phone.get_by_text(OWN)).to_be_visible()
    other_device.goto(second)
    check_heading(other_device, "Ce lien a déjà servi")
    assert len(site.mails(SHARED)) == 5


@pytest.mark.row("V-19")
def test_disputed_letter_closes_the_account_until_the_school_decides(
    phone: Page, other_device: Page, site: Site, tmp_path: Path
) -> None:
    """Two clicks with the letter close the account; the school opens it again, and the parent activates it."""
    letter = site.letter("n.leroy")
    other_device.goto(f"{site.settings.issuer}/connexion")
    sign_in(other_device, letter.username, letter.provisional_password)
    check_heading(other_device, "Activez votre compte")
    follow(other_device.get_by_role("link", name="Je ne suis pas le représentant légal de cet élève"))
    check_heading(other_device, "Ce n’est pas votre enfant ?")
    for checkbox in other_device.get_by_role("checkbox").all():
        checkbox.check()
    follow(other_device.get_by_role("button", name="Confirmer le signalement"))
    check_heading(other_device, "Merci, c’est noté")

    # the letter is no longer valid, and the school cannot print another one before a decision
    phone.goto(f"{site.settings.issuer}/connexion")
    sign_in(phone, letter.username, letter.provisional_password)
    check_heading(phone, "Connexion")
    look(phone)
    sheet = tmp_path / "nouveau.csv"
    printing = ("letters", "print", "--username", letter.username, "--csv", str(sheet))
    assert "idp account disputes" in site.command(*printing, code=1)

    # the school calls the mother, rejects the dispute and prints a new letter
    rows = json.loads(site.command("account", "disputes", "--json"))
    assert {row["account"] for row in rows} == {letter.username}
    assert all(row["kind"] == "not_guardian" and row["children"] for row in rows)
    notices = site.notices()
    assert {(item["kind"], item["account"], item["state"]) for item in notices} == {
        ("not_guardian", letter.username, "open")
    }
    assert {item["uai"] for item in notices} == {row["uai"] for row in rows}
    site.command("account", "disputes", letter.username, "--reject", "--reason", REASON)
    assert json.loads(site.command("account", "disputes", "--json")) == []
    site.command(*printing)
    [new_letter] = csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8-sig")), delimiter=";")

    phone.goto(f"{site.settings.issuer}/connexion")
    sign_in(phone, letter.username, new_letter["provisional_password"])
    activate(phone, OWN)
    confirm(phone, link_in_mail(site, OWN))
    enter_account(phone, site, letter.username)
    expect(phone.get_by_text(OWN)).to_be_visible()
    assert [(item["id"], item["state"], item["sentence"]) for item in site.notices()] == [
        (item["id"], "settled", REASON) for item in notices
    ]
