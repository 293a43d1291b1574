"""Ce que font les parents, geste par geste : les histoires en sont faites."""

import re
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from tests.stories.browser import follow, look, new_page
from tests.stories.site import Site

NEW_PASSWORD = "tasse vélo nuage citron"
OTHER_PASSWORD = "girafe lampe orage bleu"
AILLEURS, ICI = "Confirmer et continuer sur l’autre appareil", "Confirmer ici"
VALIDATED = "Votre compte a été validé. Vous pouvez maintenant accéder à vos services en ligne."


def ouvre_la_connexion(page: Page, site: Site, ent: int = 0) -> None:
    page.goto(site.ents[ent].url)
    look(page)
    follow(page.get_by_role("link", name="Se connecter"))


def adresse_du_courrier(site: Site) -> str:
    """Rend l'adresse du code QR du courrier, qui ouvre la connexion d'un parent à l'ENT."""
    return (
        f"{site.ents[0].url}/login?{urlencode({'iss': site.settings.issuer, 'login_hint': 'profil:parent:courrier'})}"
    )


def choisit_parent(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Sélectionnez votre profil")
    look(page)
    follow(page.get_by_role("button", name="Parent", exact=True))


def se_connecte(page: Page, identifiant: str, mot_de_passe: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Connexion")
    look(page)
    page.get_by_label("Identifiant", exact=True).fill(identifiant)
    page.get_by_label("Mot de passe", exact=True).fill(mot_de_passe)
    follow(page.get_by_role("button", name="Se connecter", exact=True))


def active(page: Page, adresse: str, mot_de_passe: str = NEW_PASSWORD) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Activez votre compte")
    look(page)
    page.get_by_label("Nouveau mot de passe").fill(mot_de_passe)
    if (seconde := page.get_by_label("Confirmez le mot de passe")).count():  # sans JavaScript seulement
        seconde.fill(mot_de_passe)
    page.get_by_label("Adresse mail").fill(adresse)
    follow(page.get_by_role("button", name="Valider"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Consultez votre messagerie")


def lien_du_mail(site: Site, adresse: str, nombre: int = 1, sujet: str = "Activez votre compte") -> str:
    mail = site.wait_for_mail(adresse, nombre)
    assert mail["subject"].endswith(sujet)
    [lien] = set(re.findall(rf"{re.escape(site.settings.issuer)}/\S+", mail["text"]))
    assert lien in mail["html"]
    return str(lien)


def confirme(page: Page, lien: str, bouton: str = "Confirmer", mot_de_passe: str = "") -> None:
    """Touche le lien et confirme, avec le mot de passe ailleurs que là où il a été choisi."""
    page.goto(lien)
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirmez votre adresse mail")
    look(page)
    champ = page.get_by_label("Le mot de passe que vous venez de choisir", exact=True)
    expect(champ).to_have_count(1 if mot_de_passe else 0)
    if mot_de_passe:
        champ.fill(mot_de_passe)
    follow(page.get_by_role("button", name=bouton, exact=True))
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirmation de votre adresse mail")
    expect(page.get_by_text(VALIDATED)).to_be_visible()
    look(page)


def tape_le_code(page: Page, code: str) -> None:
    """Tape le code, lit « C’est activé » et entre dans l’ENT qui l’a demandé, ou dans le premier des siens."""
    expect(page.get_by_role("heading", level=1)).to_have_text("Consultez votre messagerie")
    page.get_by_label("Code reçu par mail").fill(code)
    follow(page.get_by_role("button", name="Continuer"))
    expect(page.get_by_text("C’est activé").first).to_be_visible()
    look(page)
    follow(page.get_by_role("link", name="Accéder à l’ENT").first)


def accepte_la_charte(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Charte ENT")
    look(page)
    page.get_by_label("J’ai lu et j’accepte la charte").check()
    follow(page.get_by_role("button", name="Accepter"))


def donne_son_adresse(page: Page, attendue: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Notifications")
    look(page)
    expect(page.get_by_label("Adresse mail")).to_have_value(attendue)
    follow(page.get_by_role("button", name="Enregistrer"))


def titre(page: Page, attendu: str | re.Pattern[str]) -> None:
    """Vérifie où l'on est, et que la page est en ordre."""
    expect(page.get_by_role("heading", level=1)).to_have_text(attendu)
    look(page)


def a_un_compte(page: Page, site: Site, identifiant: str, adresse: str, mot_de_passe: str = NEW_PASSWORD) -> str:
    """Va du courrier, trouvé par le début de l'identifiant, au compte activé ; rend l'identifiant entier.

    Le lien est ouvert ailleurs, et la page d'attente est fermée : personne n'est connecté ici.
    """
    deja = len(site.mails(adresse))
    courrier = site.letter(identifiant)
    page.goto(f"{site.settings.issuer}/connexion")
    se_connecte(page, courrier.username, courrier.provisional_password)
    active(page, adresse, mot_de_passe)
    lien = lien_du_mail(site, adresse, deja + 1)
    page.goto("about:blank")
    navigateur = page.context.browser
    assert navigateur is not None
    with new_page(navigateur) as ailleurs:
        confirme(ailleurs, lien, AILLEURS, mot_de_passe)
    return courrier.username


def entre_dans_son_compte(page: Page, site: Site, identifiant: str, mot_de_passe: str = NEW_PASSWORD) -> None:
    """Se connecte, l'identifiant donné entier ou par son début, et voit « Gérer mon compte »."""
    page.goto(f"{site.settings.issuer}/connexion")
    se_connecte(page, site.letter(identifiant).username, mot_de_passe)
    titre(page, "Gérer mon compte")


def ferme_le_navigateur(page: Page) -> None:
    """Perd ce qui s'oublie à la fermeture, garde ce qui dure : l'appareil reste connu."""
    durables = [cookie for cookie in page.context.cookies() if cookie.get("expires", -1) != -1]
    page.context.clear_cookies()
    page.context.add_cookies(durables)  # type: ignore[arg-type]


def confirme_une_adresse(page: Page, lien: str) -> None:
    page.goto(lien)
    titre(page, "Confirmez votre adresse mail")
    follow(page.get_by_role("button", name="Confirmer"))
    titre(page, "Confirmation de votre adresse mail")
