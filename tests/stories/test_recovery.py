"""Histoires : l'identifiant ou le mot de passe est perdu, et le parent se débrouille seul, sur son téléphone."""

import requests
from playwright.sync_api import Page, expect

from tests.stories.browser import follow
from tests.stories.gestes import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    a_un_compte,
    accepte_la_charte,
    entre_dans_son_compte,
    lien_du_mail,
    se_connecte,
    titre,
)
from tests.stories.site import Site

SHARED = "famille.leroy@exemple.fr"
CHOOSE = "Choisissez un nouveau mot de passe"


def demande_un_lien(page: Page, site: Site, identifiant: str) -> None:
    page.goto(f"{site.settings.issuer}/connexion")
    follow(page.get_by_role("link", name="Mot de passe oublié"))
    titre(page, "Mot de passe oublié")
    page.get_by_label("Identifiant", exact=True).fill(identifiant)
    follow(page.get_by_role("button", name="Recevoir un lien"))
    titre(page, "Regardez votre messagerie")


def choisit(page: Page, mot_de_passe: str) -> None:
    expect(page.get_by_label("Confirmez le mot de passe")).to_have_count(0)  # sans JavaScript seulement
    page.get_by_label("Nouveau mot de passe").fill(mot_de_passe)
    follow(page.get_by_role("button", name="Enregistrer"))


def test_deux_parents_partagent_une_boite_et_chacun_retrouve_son_compte(
    phone: Page, other_device: Page, site: Site
) -> None:
    noemie = a_un_compte(phone, site, "n.leroy", SHARED)
    karim = a_un_compte(other_device, site, "k.leroy", SHARED, "camion plume rivage or")

    phone.goto(f"{site.settings.issuer}/connexion")
    follow(phone.get_by_role("link", name="Identifiant oublié"))
    titre(phone, "Identifiant oublié")
    phone.get_by_label("Adresse mail").fill("Famille.Leroy@Exemple.fr")
    follow(phone.get_by_role("button", name="Recevoir mon identifiant"))
    titre(phone, "Regardez votre messagerie")
    mail = site.wait_for_mail(SHARED, 3)
    assert mail["subject"] == "Votre identifiant"
    for part in ("Noémie L.", noemie, "Karim L.", karim, "Collège des Tilleuls"):
        assert part in mail["text"], part
        assert part in mail["html"], part
    assert NEW_PASSWORD not in mail["text"]

    demande_un_lien(phone, site, noemie)
    phone.goto(lien_du_mail(site, SHARED, 4, CHOOSE))
    titre(phone, CHOOSE)
    choisit(phone, OTHER_PASSWORD)
    titre(phone, "Votre mot de passe est changé")
    assert site.wait_for_mail(SHARED, 5)["subject"] == "Votre mot de passe a changé"
    entre_dans_son_compte(phone, site, noemie, OTHER_PASSWORD)
    entre_dans_son_compte(other_device, site, karim, "camion plume rivage or")


def test_un_antivirus_ouvre_le_lien_avant_le_parent(phone: Page, site: Site) -> None:
    claire = a_un_compte(phone, site, "c.blanc", "claire@exemple.fr")
    demande_un_lien(phone, site, claire)
    lien = lien_du_mail(site, "claire@exemple.fr", 2, CHOOSE)
    for _ in range(3):
        assert requests.get(lien, timeout=60).status_code == 200
        assert requests.head(lien, timeout=60, headers={"Sec-Purpose": "prefetch"}).status_code == 200
    phone.goto(lien)
    choisit(phone, "claire")  # refusé, et le lien sert encore
    expect(phone.get_by_role("alert")).to_be_visible()
    choisit(phone, OTHER_PASSWORD)
    titre(phone, "Votre mot de passe est changé")
    phone.goto(lien)
    expect(phone.get_by_label("Nouveau mot de passe")).to_have_count(0)
    titre(phone, "Ce lien a déjà servi")
    follow(phone.get_by_role("link", name="Accéder à l’ENT"))  # qui connaît déjà le profil
    se_connecte(phone, claire, OTHER_PASSWORD)
    accepte_la_charte(phone)
    phone.goto(f"{site.settings.issuer}/")
    titre(phone, "Gérer mon compte")
    expect(phone.get_by_role("link", name="Accéder à l’ENT")).to_be_visible()
