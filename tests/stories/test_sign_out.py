"""Histoire : se déconnecter d'un ENT, c'est sortir de tous, sur l'appareil que l'on a dans la main et sur lui seul."""

import time

from playwright.sync_api import Page, expect

from tests.stories.browser import follow
from tests.stories.gestes import (
    NEW_PASSWORD,
    a_un_compte,
    accepte_la_charte,
    choisit_parent,
    donne_son_adresse,
    ouvre_la_connexion,
    se_connecte,
    titre,
)
from tests.stories.site import Site

EMAIL = "samia.haddad@exemple.fr"
INSIDE = "/bienvenue"
PATIENCE = 60.0


def est_dehors(page: Page, site: Site, ent: int) -> None:
    """Attend que l'ENT ne reconnaisse plus le parent : le service le lui dit dans la seconde."""
    until = time.monotonic() + PATIENCE
    while True:
        page.goto(f"{site.ents[ent].url}{INSIDE}")
        if not page.url.startswith(site.ents[ent].url):
            return titre(page, "Connexion")
        assert time.monotonic() < until, f"{site.log('worker')}\n{site.log(site.ents[ent].client_id)}"
        time.sleep(0.2)


def test_se_deconnecter_d_un_ent_fait_sortir_de_l_autre(phone: Page, other_device: Page, site: Site) -> None:
    samia = a_un_compte(phone, site, "s.haddad", EMAIL)
    ouvre_la_connexion(other_device, site)
    choisit_parent(other_device)
    se_connecte(other_device, samia, NEW_PASSWORD)
    accepte_la_charte(other_device)
    donne_son_adresse(other_device, EMAIL)
    ouvre_la_connexion(phone, site, ent=0)
    choisit_parent(phone)
    se_connecte(phone, samia, NEW_PASSWORD)
    ouvre_la_connexion(phone, site, ent=1)
    accepte_la_charte(phone)
    donne_son_adresse(phone, EMAIL)
    for ent in (0, 1):
        phone.goto(f"{site.ents[ent].url}{INSIDE}")
        expect(phone.get_by_role("heading", level=1)).to_contain_text("Bienvenue")

    follow(phone.get_by_role("button", name="Se déconnecter"))  # du second ENT
    expect(phone.get_by_role("heading", level=1)).to_have_text(site.ents[1].name)
    est_dehors(phone, site, ent=0)

    other_device.goto(f"{site.ents[0].url}{INSIDE}")
    expect(other_device.get_by_role("heading", level=1)).to_contain_text("Bienvenue")
