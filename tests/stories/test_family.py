"""Histoires : la vie du compte – deux courriers pour une personne, un mot de passe et une adresse que l'on change."""

from playwright.sync_api import Page, expect

from tests.stories.browser import follow
from tests.stories.gestes import (
    a_un_compte,
    accepte_la_charte,
    donne_son_adresse,
    entre_dans_son_compte,
    ouvre_la_connexion,
    se_connecte,
    titre,
)
from tests.stories.site import Site

OWN = "sandrine@exemple.fr"


def test_deux_courriers_d_une_meme_personne_font_un_seul_compte(phone: Page, site: Site) -> None:
    a_un_compte(phone, site, "s.dubois", OWN)
    entre_dans_son_compte(phone, site, "s.dubois")
    expect(phone.get_by_text("Gaspard ROUSSEAU")).to_have_count(0)
    follow(phone.get_by_role("link", name="Ajouter un autre courrier"))
    courrier = site.letter("s.rousseau")
    phone.get_by_label("Identifiant").fill(courrier.username)
    phone.get_by_label("Mot de passe provisoire").fill(courrier.provisional_password)
    follow(phone.locator("main form button[type=submit]"))
    titre(phone, "Gérer mon compte")
    for child in ("Hugo DUBOIS", "Gaspard ROUSSEAU"):
        expect(phone.get_by_text(child)).to_be_visible()
    # l'ENT du lycée la connaît par le même compte, sans redemander le mot de passe
    ouvre_la_connexion(phone, site, ent=1)
    accepte_la_charte(phone)
    donne_son_adresse(phone, OWN)
    expect(phone.get_by_text("Gaspard").first).to_be_visible()
    # le second courrier ne sert plus
    phone.context.clear_cookies()
    phone.goto(f"{site.settings.issuer}/connexion")
    se_connecte(phone, courrier.username, courrier.provisional_password)
    expect(phone.get_by_text("Vous n’êtes pas connecté")).to_be_visible()
