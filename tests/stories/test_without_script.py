"""Histoire : un navigateur sans JavaScript fait tout ce qu'un autre fait (rang B-04)."""

import pytest
from playwright.sync_api import Browser, expect

from tests.stories.browser import follow, new_page
from tests.stories.gestes import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    accepte_la_charte,
    active,
    choisit_parent,
    donne_son_adresse,
    lien_du_mail,
    ouvre_la_connexion,
    se_connecte,
    tape_le_code,
    titre,
)
from tests.stories.parcours import code_du_mail
from tests.stories.site import Site

EMAIL = "samia.haddad@exemple.fr"
LAST_PASSWORD = "hibou cartable verger sel"


@pytest.mark.row("B-04")
def test_du_courrier_a_la_deconnexion_sans_javascript(browser_process: Browser, site: Site) -> None:
    courrier = site.letter("s.haddad")
    with new_page(browser_process, javascript=False) as phone:
        ouvre_la_connexion(phone, site)
        choisit_parent(phone)
        se_connecte(phone, courrier.username, courrier.provisional_password)
        active(phone, EMAIL)
        tape_le_code(phone, code_du_mail(site, EMAIL))
        accepte_la_charte(phone)
        donne_son_adresse(phone, EMAIL)
        titre(phone, "Bienvenue Samia HADDAD")

        follow(phone.get_by_role("link", name="Gérer mon compte"))
        follow(phone.get_by_role("link", name="Changer mon mot de passe"))
        phone.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
        phone.get_by_label("Nouveau mot de passe").fill(OTHER_PASSWORD)
        phone.get_by_label("Confirmez le mot de passe").fill(OTHER_PASSWORD)
        follow(phone.get_by_role("button", name="Enregistrer"))
        titre(phone, "Gérer mon compte")
        ouvre_la_connexion(phone, site, ent=1)  # le second ENT ne redemande rien que sa charte
        accepte_la_charte(phone)
        donne_son_adresse(phone, EMAIL)
        titre(phone, "Bienvenue Samia HADDAD")
        follow(phone.get_by_role("button", name="Se déconnecter"))
        titre(phone, site.ents[1].name)

        phone.goto(f"{site.settings.issuer}/mon-compte")
        titre(phone, "Connexion")
        follow(phone.get_by_role("link", name="Mot de passe oublié"))
        phone.get_by_label("Identifiant", exact=True).fill(courrier.username)
        follow(phone.get_by_role("button", name="Recevoir un lien"))
        titre(phone, "Regardez votre messagerie")
        # activation, mot de passe changé, lien
        phone.goto(lien_du_mail(site, EMAIL, 3, "Choisissez un nouveau mot de passe"))
        phone.get_by_label("Nouveau mot de passe").fill(LAST_PASSWORD)
        phone.get_by_label("Confirmez le mot de passe").fill(LAST_PASSWORD)
        follow(phone.get_by_role("button", name="Enregistrer"))
        titre(phone, "Votre mot de passe est changé")
        follow(phone.get_by_role("link", name="Accéder à l’ENT"))
        se_connecte(phone, courrier.username, LAST_PASSWORD)
        expect(phone.get_by_role("heading", level=1)).to_contain_text("Bienvenue Samia HADDAD")
