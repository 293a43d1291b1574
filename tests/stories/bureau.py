"""Ce que les histoires du bureau ont en commun : une clé d'accès, une inscription, un regard sur chaque page."""

import json
import re
from typing import Any

from playwright.sync_api import CDPSession, Page, expect

from tests.stories.browser import follow, look
from tests.stories.site import Site


def donne_une_cle(page: Page) -> tuple[CDPSession, str]:
    """Donne au navigateur un authentificateur virtuel, qui vérifie la personne."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session, made["authenticatorId"]


def titre(page: Page, texte: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(texte)
    look(page)


def lien_du_mail(site: Site, mail: str, nombre: int) -> str:
    return _lien(site, site.wait_for_mail(mail, nombre))


def lien_pour_revenir(site: Site, mail: str) -> str:
    """Donne le lien du mail qui rend un accès perdu."""
    sujet = "Un nouvel accès au bureau"
    site.wait_for_subject(mail, sujet)
    [recu] = [recu for recu in site.mails(mail) if recu["subject"] == sujet]
    return _lien(site, recu)


def _lien(site: Site, recu: dict[str, Any]) -> str:
    [lien] = set(re.findall(rf"{re.escape(site.settings.desk_url)}/invitation/\S+", recu["text"]))
    assert lien in recu["html"]
    return str(lien)


def codes_de_secours(page: Page) -> list[str]:
    titre(page, "Vos codes de secours")
    codes = page.locator(".codes li").all_inner_texts()
    assert len(set(codes)) == 10
    follow(page.get_by_role("link", name="J’ai gardé ces codes"))
    titre(page, "Aujourd’hui")
    return codes


def entre(page: Page) -> None:
    """Entre avec une seule clé, sans en ajouter une seconde."""
    titre(page, "Votre accès est prêt")
    follow(page.get_by_role("link", name="Plus tard"))
    titre(page, "Aujourd’hui")


def inscrit(page: Page, site: Site, role: str, *portee: str, name: str = "Bruno Castel") -> None:
    """Invite une personne par la ligne de commande, et l'inscrit avec une clé d'accès."""
    donne_une_cle(page)
    qui = (f"{role.replace('_', '-')}@bureau.test", "--name", name, "--role", role, *portee)
    s_inscrit(page, json.loads(site.command("staff", "invite", *qui, "--json"))["link"])


def s_inscrit(page: Page, lien: str) -> None:
    """Ouvre le lien d'une invitation, et crée une clé d'accès."""
    page.goto(lien)
    titre(page, "Bienvenue au bureau")
    page.get_by_label("Nom de la clé").fill("ordinateur")
    page.get_by_role("button", name="Créer une clé d’accès").click()
    entre(page)


def parcourt_le_menu(page: Page) -> list[str]:
    """Ouvre et regarde chaque page du menu ; donne les titres."""
    pages = [str(lien.get_attribute("href")) for lien in page.locator(".beside a").all()]
    titres = []
    for chemin in pages:
        page.goto(page.url[: page.url.index("/", 8)] + chemin)
        titres.append(page.get_by_role("heading", level=1).inner_text())
        look(page)
    return titres


def se_deconnecte(page: Page, name: str) -> None:
    page.locator("summary", has_text=name).click()
    follow(page.get_by_role("button", name="Se déconnecter"))
    titre(page, "Connexion au bureau")
