"""Story: a browser without JavaScript can do everything (row B-04)."""

import pytest
from playwright.sync_api import Browser, expect

from tests.stories.browser import follow, new_page
from tests.stories.site import Site
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

ADDRESS = "samia.haddad@exemple.fr"
LAST_PASSWORD = "hibou cartable verger sel"
pytestmark = pytest.mark.browser


@pytest.mark.row("B-04")
def test_everything_works_without_javascript(browser_process: Browser, site: Site) -> None:
    letter = site.letter("s.haddad")
    with new_page(browser_process, javascript=False) as phone:
        open_sign_in(phone, site)
        choose_parent(phone)
        sign_in(phone, letter.username, letter.provisional_password)
        activate(phone, ADDRESS)
        confirm(phone, link_in_mail(site, ADDRESS))
        follow(phone.get_by_role("link", name="Accéder à l’ENT"))
        sign_in(phone, letter.username, NEW_PASSWORD)
        accept_charter(phone)
        give_email(phone, ADDRESS)
        check_heading(phone, "Bienvenue Samia HADDAD")

        follow(phone.get_by_role("link", name="Gérer mon compte"))
        follow(phone.get_by_role("link", name="Changer mon mot de passe"))
        phone.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
        phone.get_by_label("Nouveau mot de passe").fill(OTHER_PASSWORD)
        phone.get_by_label("Confirmez le mot de passe").fill(OTHER_PASSWORD)
        follow(phone.get_by_role("button", name="Enregistrer"))
        check_heading(phone, "Gérer mon compte")
        open_sign_in(phone, site, ent=1)  # the second ENT asks for its charter only
        accept_charter(phone)
        give_email(phone, ADDRESS)
        check_heading(phone, "Bienvenue Samia HADDAD")
        follow(phone.get_by_role("button", name="Se déconnecter"))
        check_heading(phone, site.ents[1].name)

        phone.goto(f"{site.settings.issuer}/mon-compte")
        check_heading(phone, "Connexion")
        follow(phone.get_by_role("link", name="Mot de passe oublié"))
        phone.get_by_label("Identifiant", exact=True).fill(letter.username)
        follow(phone.get_by_role("button", name="Recevoir un lien"))
        check_heading(phone, "Regardez votre messagerie")
        # activation, changed password, link
        phone.goto(link_in_mail(site, ADDRESS, 3, "Choisissez un nouveau mot de passe"))
        phone.get_by_label("Nouveau mot de passe").fill(LAST_PASSWORD)
        phone.get_by_label("Confirmez le mot de passe").fill(LAST_PASSWORD)
        follow(phone.get_by_role("button", name="Enregistrer"))
        check_heading(phone, "Votre mot de passe est changé")
        follow(phone.get_by_role("link", name="Accéder à l’ENT"))
        sign_in(phone, letter.username, LAST_PASSWORD)
        expect(phone.get_by_role("heading", level=1)).to_contain_text("Bienvenue Samia HADDAD")
