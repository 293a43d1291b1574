"""Histoire : du courrier de l'établissement à l'intérieur de l'ENT, dans un vrai navigateur, sans rien de simulé."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.stories.browser import follow, look, new_page
from tests.stories.gestes import (
    AILLEURS,
    ICI,
    NEW_PASSWORD,
    accepte_la_charte,
    active,
    adresse_du_courrier,
    choisit_parent,
    confirme,
    donne_son_adresse,
    lien_du_mail,
    ouvre_la_connexion,
    se_connecte,
    tape_le_code,
    titre,
)
from tests.stories.parcours import CHAMPS, Parcours, code_du_mail
from tests.stories.site import Site

EMAIL = "noemie.leroy@exemple.fr"
JUSTE, FAUSSE = "karim.leroy@exemple.fr", "karim.lerou@exemple.fr"


def test_une_mere_va_du_courrier_a_l_interieur_de_l_ent_avec_le_code(phone: Page, site: Site) -> None:
    courrier, parcours = site.letter("n.leroy"), Parcours(phone)
    ouvre_la_connexion(phone, site)
    assert urlsplit(phone.url).netloc == urlsplit(site.settings.issuer).netloc
    choisit_parent(phone)
    # minuscules, espaces, sans tirets : le courrier dit que peu importe
    se_connecte(phone, f"  {courrier.username.upper()} ", courrier.provisional_password.lower().replace("-", " "))
    expect(phone.get_by_text("Mme Noémie LEROY-VANDEPUTTE")).to_be_visible()
    expect(phone.get_by_text("Malo")).to_be_visible()
    bouton = phone.get_by_role("button", name="Valider").bounding_box()
    assert bouton is not None
    assert bouton["y"] < 740, "« Valider » est sur le premier écran"
    expect(phone.get_by_label("Confirmez le mot de passe")).to_have_count(0)
    active(phone, EMAIL)
    look(phone)
    expect(phone.get_by_text(EMAIL)).to_be_visible()
    tape_le_code(phone, code_du_mail(site, EMAIL))
    accepte_la_charte(phone)
    donne_son_adresse(phone, EMAIL)
    expect(phone.get_by_role("heading", level=1)).to_have_text("Bienvenue Noémie LEROY-VANDEPUTTE")
    assert len(parcours.pages) <= 9, parcours.pages
    assert parcours.noms == [*CHAMPS, "code"], parcours.champs
    assert len(site.mails()) == 1
    look(phone)
    expect(phone.get_by_text("Collège des Tilleuls")).to_be_visible()
    phone.get_by_text("Détails techniques").click()
    look(phone)
    for claim in ("sub", "charter_accepted", "FrEduVecteur", "email_verified"):
        expect(phone.get_by_role("rowheader", name=claim, exact=True)).to_be_visible()
    expect(phone.get_by_text("2|LEROY-VANDEPUTTE|Noémie|")).to_be_visible()

    follow(phone.get_by_role("link", name="Gérer mon compte"))
    expect(phone.get_by_role("heading", level=1)).to_have_text("Gérer mon compte")
    look(phone)
    phone.go_back()
    follow(phone.get_by_role("button", name="Se déconnecter"))
    expect(phone.get_by_role("heading", level=1)).to_have_text(site.ents[0].name)
    ouvre_la_connexion(phone, site)
    expect(phone.get_by_role("heading", level=1)).to_have_text("Connexion")


def test_le_lien_du_mail_dans_le_meme_navigateur(phone: Page, site: Site) -> None:
    """Le chemin court, depuis le code QR du courrier : huit pages, quatre champs, un mail, aucun code."""
    courrier, parcours = site.letter("n.leroy"), Parcours(phone)
    phone.goto(adresse_du_courrier(site))
    se_connecte(phone, courrier.username, courrier.provisional_password)
    active(phone, EMAIL)
    confirme(phone, lien_du_mail(site, EMAIL))
    expect(phone.get_by_text("Vous êtes connecté")).to_be_visible()
    follow(phone.get_by_role("link", name="Accéder à l’ENT"))
    accepte_la_charte(phone)
    donne_son_adresse(phone, EMAIL)
    expect(phone.get_by_role("heading", level=1)).to_contain_text("Bienvenue Noémie")
    assert len(parcours.pages) <= 8, parcours.pages
    assert parcours.noms == CHAMPS
    assert len(site.mails()) == 1


def test_le_lien_est_ouvert_sur_un_autre_appareil(phone: Page, other_device: Page, site: Site) -> None:
    """Le mail est lu ailleurs, avec le mot de passe : le téléphone n'a pas besoin du code, et montre six pages."""
    courrier, parcours = site.letter("k.leroy"), Parcours(phone)
    phone.goto(adresse_du_courrier(site))
    se_connecte(phone, courrier.username, courrier.provisional_password)
    active(phone, JUSTE)
    confirme(other_device, lien_du_mail(site, JUSTE), AILLEURS, NEW_PASSWORD)
    # le téléphone, resté sur la page d'attente, l'apprend de lui-même et entre dans l'ENT
    accepte_la_charte(phone)
    donne_son_adresse(phone, JUSTE)
    expect(phone.get_by_role("heading", level=1)).to_contain_text("Bienvenue Karim")
    assert parcours.noms == CHAMPS
    assert len(set(parcours.pages)) <= 6, parcours.pages
    # ailleurs, personne n'est connecté : l'identifiant est écrit, le mot de passe est à taper
    follow(other_device.get_by_role("link", name="Accéder à l’ENT"))
    expect(other_device.get_by_role("heading", level=1)).to_have_text("Connexion")
    look(other_device)


@pytest.mark.row("V-11", "E-06")
def test_une_lettre_fausse_dans_l_adresse_ne_donne_le_compte_a_personne(
    phone: Page, other_device: Page, browser_process: Browser, site: Site
) -> None:
    """L'inconnu qui reçoit le mail n'apprend ni ne change rien ; le père corrige, et confirme sur sa tablette."""
    courrier = site.letter("k.leroy")
    phone.goto(adresse_du_courrier(site))
    se_connecte(phone, courrier.username, courrier.provisional_password)
    active(phone, FAUSSE)

    mail, lien = site.wait_for_mail(FAUSSE), lien_du_mail(site, FAUSSE)
    assert courrier.username not in mail["text"] + mail["html"]
    for essai in ("", "un mot de passe deviné", courrier.provisional_password):
        other_device.goto(lien)
        other_device.get_by_label("Le mot de passe que vous venez de choisir", exact=True).fill(essai)
        follow(other_device.get_by_role("button", name=ICI, exact=True))
        titre(other_device, "Confirmez votre adresse mail")
        for secret in (courrier.username, "Karim", "LEROY", site.ents[0].schools[0].name):
            expect(other_device.locator("body")).not_to_contain_text(secret)
    other_device.goto(f"{site.settings.issuer}/identifiant-oublie")
    other_device.get_by_label("Adresse mail").fill(FAUSSE)
    follow(other_device.get_by_role("button", name="Recevoir mon identifiant"))

    follow(phone.get_by_role("link", name="Modifier l’adresse mail"))
    phone.get_by_label("Adresse mail").fill(JUSTE)
    phone.get_by_label("Mot de passe", exact=True).fill(NEW_PASSWORD)
    follow(phone.get_by_role("button", name="Valider"))
    other_device.goto(lien)
    titre(other_device, "Ce lien ne marche plus")
    with new_page(browser_process, width=768) as tablette:
        confirme(tablette, lien_du_mail(site, JUSTE), ICI, NEW_PASSWORD)
        expect(tablette.get_by_text("Vous êtes connecté")).to_be_visible()
        follow(tablette.get_by_role("link", name="Accéder à l’ENT"))
        accepte_la_charte(tablette)
        donne_son_adresse(tablette, JUSTE)
    suivants = [recu["subject"] for recu in site.mails(FAUSSE)][1:]
    assert suivants == ["Une autre adresse mail a été donnée"], "aucun identifiant"


def test_le_courrier_est_arrive_chez_la_mauvaise_personne(phone: Page, site: Site) -> None:
    courrier = site.letter("j.marchand")
    ouvre_la_connexion(phone, site)
    choisit_parent(phone)
    se_connecte(phone, courrier.username, courrier.provisional_password)
    follow(phone.get_by_role("link", name="Je ne suis pas le représentant légal de cet élève"))
    look(phone)
    follow(phone.get_by_role("button", name="Confirmer le signalement"))
    expect(phone.get_by_role("heading", level=1)).to_have_text("Merci, c’est noté")
    look(phone)
    ouvre_la_connexion(phone, site)
    se_connecte(phone, courrier.username, courrier.provisional_password)
    expect(phone.get_by_role("heading", level=1)).to_have_text("Ce courrier a été signalé")
    look(phone)


def test_le_mail_arrive_une_fois_apres_une_panne_du_facteur_et_du_serveur_de_mail(phone: Page, site: Site) -> None:
    courrier = site.letter("c.blanc")
    site.stop("worker", "catcher", kill=True)
    ouvre_la_connexion(phone, site)
    choisit_parent(phone)
    se_connecte(phone, courrier.username, courrier.provisional_password)
    active(phone, "claire@exemple.fr")
    site.start("worker")  # le serveur de mail est encore arrêté : rien ne part, rien n'est perdu
    site.wait_for_log("worker", '"kind": "confirm_email"')
    site.stop("worker", kill=True)
    site.start("catcher", "worker")
    confirme(phone, lien_du_mail(site, "claire@exemple.fr"))
    assert len(site.mails("claire@exemple.fr")) == 1
