"""Histoires du bureau : une clé d'accès perdue, la journée d'une direction, un regard sur les pages de chaque rôle."""

import json

import pyotp
import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.stories.browser import follow, look
from tests.stories.bureau import (
    codes_de_secours,
    donne_une_cle,
    entre,
    inscrit,
    lien_du_mail,
    lien_pour_revenir,
    parcourt_le_menu,
    s_inscrit,
    se_deconnecte,
    titre,
)
from tests.stories.site import Site

MAIL = "sylvie.marchand@bureau.test"
PASSWORD = "plumeau vert sous la table ronde"


@pytest.fixture
def bureau(site: Site) -> str:
    site.start("desk")
    return site.settings.desk_url


@pytest.fixture
def cle(phone: Page) -> tuple[CDPSession, str]:
    return donne_une_cle(phone)


def test_une_secretaire_perd_sa_cle(
    phone: Page, other_device: Page, site: Site, bureau: str, cle: tuple[CDPSession, str]
) -> None:
    uai = site.ents[0].uais[0]
    who = ("--name", "Sylvie Marchand", "--role", "secretary", "--school", uai)
    invited = json.loads(site.command("staff", "invite", MAIL, *who, "--json"))
    lien = lien_du_mail(site, MAIL, 1)
    assert invited["link"] == lien

    phone.goto(lien)
    titre(phone, "Bienvenue au bureau")
    phone.get_by_label("Nom de la clé").fill("téléphone")
    phone.get_by_role("button", name="Créer une clé d’accès").click()
    entre(phone)
    phone.goto(lien)
    titre(phone, "Ce lien ne marche plus")
    phone.goto(f"{bureau}/ma-securite")
    titre(phone, "Ma sécurité")
    expect(phone.get_by_text("téléphone", exact=True).first).to_be_visible()
    se_deconnecte(phone, "Sylvie Marchand")

    phone.get_by_role("button", name="Se connecter avec une clé d’accès").click()
    titre(phone, "Aujourd’hui")

    session, authenticator = cle
    session.send("WebAuthn.clearCredentials", {"authenticatorId": authenticator})
    json.loads(site.command("staff", "reset", MAIL, "--json"))
    lien = lien_du_mail(site, MAIL, 2)
    phone.reload()
    titre(phone, "Aujourd’hui")  # le lien n'a pas encore servi

    other_device.goto(lien)
    titre(other_device, "Bienvenue au bureau")
    follow(other_device.get_by_role("button", name="Utiliser un code"))
    titre(other_device, "Mot de passe et code")
    other_device.get_by_text("Taper la clé à la main").click()
    totp = pyotp.TOTP(other_device.locator("p.mono").inner_text().replace(" ", ""))
    other_device.get_by_label("Mot de passe").fill("court")
    other_device.get_by_label("Code", exact=True).fill("000000")
    follow(other_device.get_by_role("button", name="Enregistrer"))
    titre(other_device, "Mot de passe et code")
    other_device.get_by_label("Mot de passe").fill(PASSWORD)
    other_device.get_by_label("Code", exact=True).fill(totp.now())
    follow(other_device.get_by_role("button", name="Enregistrer"))
    codes = codes_de_secours(other_device)
    other_device.goto(f"{bureau}/ma-securite")
    titre(other_device, "Ma sécurité")

    phone.reload()
    titre(phone, "Connexion au bureau")
    phone.get_by_text("Utiliser un code").click()
    phone.get_by_label("Adresse mail").fill(MAIL)
    phone.get_by_label("Mot de passe").fill(PASSWORD)
    phone.get_by_label("Code", exact=True).fill(codes[4].lower())
    follow(phone.get_by_role("button", name="Se connecter", exact=True))
    titre(phone, "Aujourd’hui")
    se_deconnecte(phone, "Sylvie Marchand")


def test_une_semaine_de_la_direction(phone: Page, other_device: Page, site: Site, bureau: str) -> None:
    inscrit(phone, site, "head", "--school", site.ents[0].uais[0])
    assert parcourt_le_menu(phone) == [
        "Aujourd’hui",
        "Rechercher une famille",
        "Décisions",
        "Classes",
        "Impressions",
        "Fichiers",
        "Établissement",
        "Équipe",
        "ENT",
        "Activation",
        "Journal",
    ]

    phone.goto(f"{bureau}/recherche")
    phone.get_by_label("Nom d’un élève ou d’un responsable, classe, identifiant").fill("malo leroi")
    follow(phone.get_by_role("button", name="Rechercher"))
    titre(phone, "Rechercher une famille")
    follow(phone.get_by_role("link", name="LEROY Malo"))
    titre(phone, "Malo LEROY")
    follow(phone.get_by_role("link", name="M. Karim LEROY").first)
    titre(phone, "M. Karim LEROY")
    compte = phone.url

    follow(phone.get_by_role("link", name="Nouveau courrier"))
    titre(phone, "Nouveau courrier")
    follow(phone.get_by_role("button", name="Imprimer le courrier"))
    titre(phone, "Nouveau courrier")
    with phone.expect_download() as pris:
        phone.get_by_role("button", name="Prendre le fichier").click()
    assert pris.value.path().read_bytes().startswith(b"%PDF-")
    titre(phone, "Le fichier arrive")
    phone.reload()
    expect(phone.get_by_text("il n’est plus ici")).to_be_visible()

    phone.goto(compte)
    follow(phone.get_by_role("link", name="Suspendre"))
    titre(phone, "Suspendre l’accès")
    phone.get_by_label("Seulement Malo LEROY").check()
    phone.get_by_label("Motif").fill("jugement du 3 novembre")
    phone.get_by_label("Sans date de fin").check()
    follow(phone.get_by_role("button", name="Suspendre", exact=True))
    look(phone)
    phone.goto(compte)
    follow(phone.get_by_role("link", name="Rouvrir").first)
    look(phone)

    phone.goto(f"{bureau}/fichiers")
    phone.get_by_label("Fichiers à vérifier").set_input_files(site.folder / "siecle-0599001N.zip")
    follow(phone.get_by_role("button", name="Vérifier", exact=True))
    titre(phone, "Ce que les fichiers changent")
    expect(phone.get_by_role("rowheader", name="NGUYEN Duc")).to_be_visible()
    follow(phone.get_by_role("button", name="Importer"))
    expect(phone.get_by_text("2 nouveaux comptes")).to_be_visible()
    titre(phone, "Import des fichiers")
    follow(phone.get_by_role("link", name="Imprimer les courriers"))
    titre(phone, "Imprimer les courriers")
    expect(phone.get_by_text("SIMON Julie")).to_be_visible()
    passe_la_main(phone, other_device, site)


def passe_la_main(phone: Page, other_device: Page, site: Site) -> None:
    """La direction invite la suivante, qui s'inscrit, lui rend un accès perdu, puis termine le sien."""
    suivante, equipe = "chloe.suivante@bureau.test", f"{site.settings.desk_url}/equipe"
    phone.goto(f"{equipe}/inviter")
    titre(phone, "Inviter")
    phone.get_by_label("Prénom et nom").fill("Chloé Suivante")
    phone.get_by_label("Adresse mail").fill(suivante)
    phone.get_by_label("Rôle").select_option("head")
    follow(phone.get_by_role("button", name="Inviter"))
    expect(phone.get_by_text("L’invitation part par mail.")).to_be_visible()
    session, authenticator = donne_une_cle(other_device)
    s_inscrit(other_device, lien_du_mail(site, suivante, 1))

    session.send("WebAuthn.clearCredentials", {"authenticatorId": authenticator})
    phone.goto(equipe)
    follow(phone.get_by_role("link", name="Rendre un accès Chloé Suivante"))
    titre(phone, "Rendre un accès")
    follow(phone.get_by_role("button", name="Envoyer le lien"))
    s_inscrit(other_device, lien_pour_revenir(site, suivante))

    follow(phone.get_by_role("link", name="Terminer Bruno Castel"))
    titre(phone, "Terminer mon accès")
    follow(phone.get_by_role("button", name="Terminer"))
    titre(phone, "Connexion au bureau")
    other_device.goto(equipe)
    expect(other_device.get_by_role("row", name="Bruno Castel")).to_contain_text("terminé")


def test_la_deleguee_a_ses_pages(other_device: Page, site: Site, bureau: str) -> None:
    inscrit(other_device, site, "dpo")
    other_device.goto(f"{bureau}/recherche")
    titre(other_device, "Motif de la consultation")
    other_device.get_by_label("Motif").fill("demande du 12 novembre")
    follow(other_device.get_by_role("button", name="Continuer"))
    other_device.goto(bureau)
    vus = parcourt_le_menu(other_device)
    titres = ["Aujourd’hui", "Décisions", "ENT", "Activation", "Journal", "Droits des personnes"]
    assert [titre for titre in vus if titre in titres] == titres


def test_une_exploitante_enregistre_un_ent(phone: Page, other_device: Page, site: Site, bureau: str) -> None:
    """Elle l'enregistre, le teste et publie sa charte ; l'ingénieur, prévenu par mail, l'accepte ; il est ouvert."""
    inscrit(other_device, site, "engineer")
    vus = parcourt_le_menu(other_device)
    titres = ["Aujourd’hui", "Fichiers", "Établissement", "Équipe", "ENT", "Activation", "Journal"]
    assert [titre for titre in vus if titre in titres] == titres
    inscrit(phone, site, "ent_operator", "--client", site.ents[0].client_id, name="Lina Roy")
    assert parcourt_le_menu(phone) == ["Aujourd’hui", "Équipe", "ENT", "Activation", "Journal"]

    ent = site.ents[1]
    phone.goto(f"{bureau}/ent")
    follow(phone.get_by_role("link", name="Enregistrer un ENT"))
    titre(phone, "Enregistrer un ENT")
    phone.get_by_label("Nom de l’ENT").fill("Estuaire")
    phone.get_by_label("Adresses de retour après la connexion").fill(f"{ent.url}/retour")
    phone.get_by_label("Page d’accueil").fill(ent.home)
    phone.get_by_label("Établissements à servir").fill(ent.uais[0])
    follow(phone.get_by_role("button", name="Enregistrer"))
    titre(phone, "L’ENT est enregistré")
    secret = phone.locator("#secret").inner_text()
    follow(phone.get_by_role("link", name="J’ai copié"))
    titre(phone, "Estuaire")
    assert secret not in phone.content()
    page = phone.url

    follow(phone.get_by_role("button", name="Tester"))
    titre(phone, "Résultat du test")
    expect(phone.get_by_text("attend l’accord de l’académie")).to_be_visible()
    expect(phone.get_by_text(f"adresse de retour {ent.url}/retour")).to_be_visible()
    phone.goto(page)
    follow(phone.get_by_role("link", name="Publier une nouvelle version"))
    phone.get_by_label("Nom de la version").fill("2026-09")
    phone.get_by_label("Texte de la charte").fill("# Charte d’Estuaire\n\nSoyons polis.")
    follow(phone.get_by_role("button", name="Voir l’aperçu"))
    titre(phone, "Aperçu de la charte")
    expect(phone.get_by_text("Parents qui devront l’accepter : moins de 10.")).to_be_visible()
    phone.get_by_label("Tapez PUBLIER pour confirmer").fill("PUBLIER")
    follow(phone.get_by_role("button", name="Publier"))
    expect(phone.get_by_text("La charte est publiée.")).to_be_visible()

    site.wait_for_subject("engineer@bureau.test", "Bureau : un ENT à accepter")
    other_device.goto(bureau)
    follow(other_device.get_by_role("link", name="ENT à accepter"))
    follow(other_device.get_by_role("link", name="Estuaire"))
    follow(other_device.get_by_role("link", name="Accepter ou refuser"))
    titre(other_device, "Accepter l’ENT « Estuaire »")
    follow(other_device.get_by_role("button", name="Accepter et ouvrir"))
    titre(other_device, "Estuaire")
    site.wait_for_subject("ent-operator@bureau.test", "Bureau : votre ENT est accepté")
    phone.goto(page)
    expect(phone.get_by_text("Ouvert", exact=True)).to_be_visible()
