"""Stories: two letters for one person, a change of password, a change of email."""

import pytest
from playwright.sync_api import Page, expect

from tests.stories.browser import follow
from tests.stories.site import Site
from tests.stories.steps import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    accept_charter,
    check_heading,
    confirm_new_email,
    create_account,
    enter_account,
    give_email,
    link_in_mail,
    open_sign_in,
    sign_in,
)

OWN = "sandrine@exemple.fr"
pytestmark = pytest.mark.browser


def test_two_letters_of_one_person_make_one_account(phone: Page, site: Site) -> None:
    create_account(phone, site, "s.dubois", OWN)
    enter_account(phone, site, "s.dubois")
    expect(phone.get_by_text("Gaspard ROUSSEAU")).to_have_count(0)
    follow(phone.get_by_role("link", name="Ajouter un autre courrier"))
    letter = site.letter("s.rousseau")
    phone.get_by_label("Identifiant").fill(letter.username)
    phone.get_by_label("Mot de passe provisoire").fill(letter.provisional_password)
    follow(phone.locator("main form button[type=submit]"))
    check_heading(phone, "Gérer mon compte")
    for child in ("Hugo DUBOIS", "Gaspard ROUSSEAU"):
        expect(phone.get_by_text(child)).to_be_visible()
    # the second school's ENT signs in to the same account, without the password
    open_sign_in(phone, site, ent=1)
    accept_charter(phone)
    give_email(phone, OWN)
    expect(phone.get_by_text("Gaspard").first).to_be_visible()
    # the second letter is no longer valid
    phone.context.clear_cookies()
    phone.goto(f"{site.settings.issuer}/connexion")
    sign_in(phone, letter.username, letter.provisional_password)
    expect(phone.get_by_text("La connexion n’a pas abouti")).to_be_visible()


def test_letter_of_another_person_is_refused(phone: Page, site: Site) -> None:
    create_account(phone, site, "s.dubois", OWN)
    enter_account(phone, site, "s.dubois")
    follow(phone.get_by_role("link", name="Ajouter un autre courrier"))
    letter = site.letter("n.garnier")
    phone.get_by_label("Identifiant").fill(letter.username)
    phone.get_by_label("Mot de passe provisoire").fill(letter.provisional_password)
    follow(phone.locator("main form button[type=submit]"))
    expect(phone.get_by_text("secrétariat").first).to_be_visible()
    phone.goto(f"{site.settings.issuer}/mon-compte")
    expect(phone.get_by_text("Clément GARNIER")).to_have_count(0)
    # the letter stays valid for its recipient
    phone.context.clear_cookies()
    phone.goto(f"{site.settings.issuer}/connexion")
    sign_in(phone, letter.username, letter.provisional_password)
    check_heading(phone, "Activez votre compte")


def test_changed_password_signs_other_devices_out(phone: Page, other_device: Page, site: Site) -> None:
    create_account(phone, site, "s.haddad", "samia@exemple.fr")
    for page in (phone, other_device):
        enter_account(page, site, "s.haddad")
    follow(phone.get_by_role("link", name="Changer mon mot de passe"))
    check_heading(phone, "Changer mon mot de passe")
    phone.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    phone.get_by_label("Nouveau mot de passe").fill(OTHER_PASSWORD)
    phone.get_by_label("Confirmez le mot de passe").fill(OTHER_PASSWORD)
    follow(phone.get_by_role("button", name="Enregistrer"))
    check_heading(phone, "Gérer mon compte")
    other_device.goto(f"{site.settings.issuer}/mon-compte")
    check_heading(other_device, "Connexion")
    subjects = [mail["subject"] for mail in site.mails("samia@exemple.fr")]
    site.wait_for_mail("samia@exemple.fr", len(subjects) + (0 if "Votre mot de passe a changé" in subjects else 1))
    enter_account(other_device, site, "s.haddad", OTHER_PASSWORD)


def test_email_changes_after_the_new_mailbox_confirms(phone: Page, site: Site) -> None:
    create_account(phone, site, "c.blanc", "claire@exemple.fr")
    enter_account(phone, site, "c.blanc")
    follow(phone.get_by_role("link", name="Changer mon adresse mail"))
    phone.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    phone.get_by_label("Nouvelle adresse mail").fill("claire.neuve@exemple.fr")
    follow(phone.get_by_role("button", name="Enregistrer"))
    check_heading(phone, "Changer mon adresse mail")
    expect(phone.get_by_text("claire.neuve@exemple.fr")).to_be_visible()
    expect(phone.get_by_text("claire@exemple.fr", exact=True)).to_be_visible()
    new_email = "claire.neuve@exemple.fr"
    confirm_new_email(phone, link_in_mail(site, new_email, 1, site.wait_for_mail(new_email)["subject"]))
    phone.goto(f"{site.settings.issuer}/mon-compte")
    expect(phone.get_by_text(new_email)).to_be_visible()
    assert site.wait_for_mail("claire@exemple.fr", 3)["subject"]
