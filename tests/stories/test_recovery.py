"""Stories: a parent recovers a forgotten username or password."""

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.stories.browser import follow
from tests.stories.site import Site
from tests.stories.steps import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    accept_charter,
    check_heading,
    choose_parent,
    create_account,
    enter_account,
    link_in_mail,
    sign_in,
)

SHARED = "famille.leroy@exemple.fr"
CHOOSE = "Choisissez un nouveau mot de passe"
pytestmark = pytest.mark.browser


def request_link(page: Page, site: Site, username: str) -> None:
    page.goto(f"{site.settings.issuer}/connexion")
    follow(page.get_by_role("link", name="Mot de passe oublié"))
    check_heading(page, "Mot de passe oublié")
    page.get_by_label("Identifiant", exact=True).fill(username)
    follow(page.get_by_role("button", name="Recevoir un lien"))
    check_heading(page, "Regardez votre messagerie")


def choose(page: Page, password: str) -> None:
    page.get_by_label("Nouveau mot de passe").fill(password)
    page.get_by_label("Confirmez le mot de passe").fill(password)
    follow(page.get_by_role("button", name="Enregistrer"))


def test_two_parents_with_one_mailbox_recover_their_own_accounts(phone: Page, other_device: Page, site: Site) -> None:
    noemie = create_account(phone, site, "n.leroy", SHARED)
    karim = create_account(other_device, site, "k.leroy", SHARED, "camion plume rivage or")

    phone.goto(f"{site.settings.issuer}/connexion")
    follow(phone.get_by_role("link", name="Identifiant oublié"))
    check_heading(phone, "Identifiant oublié")
    phone.get_by_label("Adresse mail").fill("Famille.Leroy@Exemple.fr")
    follow(phone.get_by_role("button", name="Recevoir mon identifiant"))
    check_heading(phone, "Regardez votre messagerie")
    mail = site.wait_for_mail(SHARED, 3)
    assert mail["subject"] == "Votre identifiant"
    for part in ("Noémie L.", noemie, "Karim L.", karim, "Collège des Tilleuls"):
        assert part in mail["text"], part
        assert part in mail["html"], part
    assert NEW_PASSWORD not in mail["text"]

    request_link(phone, site, noemie)
    phone.goto(link_in_mail(site, SHARED, 4, CHOOSE))
    check_heading(phone, CHOOSE)
    choose(phone, OTHER_PASSWORD)
    check_heading(phone, "Votre mot de passe est changé")
    assert site.wait_for_mail(SHARED, 5)["subject"] == "Votre mot de passe a changé"
    enter_account(phone, site, noemie, OTHER_PASSWORD)
    enter_account(other_device, site, karim, "camion plume rivage or")


def test_link_stays_valid_after_an_antivirus_opens_it(phone: Page, site: Site) -> None:
    claire = create_account(phone, site, "c.blanc", "claire@exemple.fr")
    request_link(phone, site, claire)
    link = link_in_mail(site, "claire@exemple.fr", 2, CHOOSE)
    for _ in range(3):
        assert requests.get(link, timeout=60).status_code == 200
        assert requests.head(link, timeout=60, headers={"Sec-Purpose": "prefetch"}).status_code == 200
    phone.goto(link)
    choose(phone, "claire")  # refused; the link stays valid
    expect(phone.get_by_role("alert")).to_be_visible()
    choose(phone, OTHER_PASSWORD)
    check_heading(phone, "Votre mot de passe est changé")
    phone.goto(link)
    expect(phone.get_by_label("Nouveau mot de passe")).to_have_count(0)
    check_heading(phone, "Ce lien a déjà servi")
    follow(phone.get_by_role("link", name="Accéder à l’ENT"))
    choose_parent(phone)
    sign_in(phone, claire, OTHER_PASSWORD)
    accept_charter(phone)
    phone.goto(f"{site.settings.issuer}/")
    check_heading(phone, "Gérer mon compte")
    expect(phone.get_by_role("link", name="Accéder à l’ENT")).to_be_visible()


def test_new_password_on_another_device_signs_all_devices_out(phone: Page, other_device: Page, site: Site) -> None:
    samia = create_account(phone, site, "s.haddad", "samia@exemple.fr")
    enter_account(phone, site, samia)
    request_link(other_device, site, samia)
    other_device.goto(link_in_mail(site, "samia@exemple.fr", 2, CHOOSE))
    choose(other_device, OTHER_PASSWORD)
    check_heading(other_device, "Votre mot de passe est changé")
    # the link does not sign in, and the phone is signed out
    for page in (phone, other_device):
        page.goto(f"{site.settings.issuer}/mon-compte")
        check_heading(page, "Connexion")
    sign_in(phone, samia, NEW_PASSWORD)
    expect(phone.get_by_text("La connexion n’a pas abouti")).to_be_visible()
    sign_in(phone, samia, OTHER_PASSWORD)
    check_heading(phone, "Gérer mon compte")


def test_inactive_account_gets_the_same_page_and_no_link(phone: Page, site: Site) -> None:
    request_link(phone, site, site.letter("j.marchand").username)
    request_link(phone, site, "personne.de.ce.nom")
    phone.wait_for_timeout(2500)
    assert not [mail for mail in site.mails() if "/mot-de-passe/lien/" in mail["text"]]
