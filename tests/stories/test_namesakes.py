"""Histoire « Deux homonymes » : l'année suivante, une autre personne du même nom ; chacune reste chez elle."""

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.commands.processes import IDP, environment
from tests.rostering.test_onde import guardians, pupils
from tests.stories.browser import follow
from tests.stories.gestes import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    accepte_la_charte,
    active,
    choisit_parent,
    confirme,
    donne_son_adresse,
    lien_du_mail,
    ouvre_la_connexion,
    se_connecte,
    titre,
)
from tests.stories.site import Letter, Site

ECOLE, COLLEGE = "0599004S", "0599001N"
PREMIERE, SECONDE = "marie.m@exemple.fr", "marie.martin@exemple.fr"
LEA = "MARTIN;;Léa;14/09/2015;F;1 rue A;59990;Rivebelle;FRANCE;;;;;CYCLE III;CM2;CM2 A"
SA_MERE = "MME;MARTIN;;Marie;1 rue A;59990;Rivebelle;FRANCE;;;;;;MARTIN;Léa;CM2 A"
ZOE = "BERNARD;;Zoé;14/09/2020;F;9 rue Z;59992;Valdoux;FRANCE;;;;;CYCLE II;CP;CP A"
SON_HOMONYME = "MME;MARTIN;;Marie;9 rue Z;59992;Valdoux;FRANCE;;;;;;BERNARD;Zoé;CP A"
pytestmark = pytest.mark.browser


def idp(site: Site, *arguments: str) -> str:
    """Lance une commande, comme l'opérateur ; rend ce qu'elle écrit."""
    commande = subprocess.run(
        [IDP, *arguments], env=environment(site.settings), capture_output=True, text=True, timeout=120, check=False
    )
    assert commande.returncode == 0, commande.stderr
    return commande.stdout + commande.stderr


def importe(site: Site, annee: str, eleve: str, responsable: str) -> str:
    """Importe les deux exports d'ONDE d'une année scolaire."""
    dossier = site.folder / annee
    dossier.mkdir()
    (dossier / "eleves.csv").write_text(pupils(eleve), encoding="cp1252")
    (dossier / "responsables.csv").write_text(guardians(responsable, children=1), encoding="cp1252")
    return idp(site, "roster", "import", "--school", ECOLE, "--force", str(dossier))


def imprime(site: Site, annee: str) -> Letter:
    """Imprime le courrier de l'école ; il n'y en a qu'un."""
    liste = Path(site.folder / f"{annee}.csv")
    idp(site, "letters", "print", "--school", ECOLE, "--out", str(liste.with_suffix(".pdf")), "--csv", str(liste))
    [ligne] = csv.DictReader(io.StringIO(liste.read_text(encoding="utf-8-sig")), delimiter=";")
    return Letter(ligne["username"], ligne["provisional_password"])


def entre_dans_l_ent(page: Page, site: Site, courrier: Letter, adresse: str, mot_de_passe: str) -> str:
    """Va du courrier à l'intérieur de l'ENT, qui demande charte et adresse ; rend le `sub` qu'il a lu."""
    ouvre_la_connexion(page, site)
    choisit_parent(page)
    se_connecte(page, courrier.username, courrier.provisional_password)
    active(page, adresse, mot_de_passe)
    confirme(page, lien_du_mail(site, adresse))
    follow(page.get_by_role("link", name="Accéder à l’ENT"))
    se_connecte(page, courrier.username, mot_de_passe)
    accepte_la_charte(page)
    donne_son_adresse(page, adresse)
    titre(page, "Bienvenue Marie MARTIN")
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="sub", exact=True)).inner_text()


def test_deux_homonymes(phone: Page, other_device: Page, site: Site) -> None:
    idp(site, "school", "set", ECOLE, "--name", "École du Moulin", "--phone", "03 53 01 70 70", "--degree", "1D")
    idp(site, "client", "set", "passerelle", "--uai", COLLEGE, "--uai", ECOLE)

    # La première année : Marie MARTIN, mère de Léa, a son compte, sa charte, sa messagerie dans l'ENT
    importe(site, "2026", LEA, SA_MERE)
    premier = imprime(site, "2026")
    sub = entre_dans_l_ent(phone, site, premier, PREMIERE, NEW_PASSWORD)
    expect(phone.get_by_text("Léa").first).to_be_visible()

    # L'année suivante, Léa est partie ; une autre Marie MARTIN, mère de Zoé, habite ailleurs
    dit = importe(site, "2027", ZOE, SON_HOMONYME)
    assert "1 opened, 1 disabled" in dit
    assert "c’est une autre personne" in dit
    second = imprime(site, "2027")
    assert second.username != premier.username

    # La seconde a son propre compte : l'ENT ne lui ouvre rien de la première, et lui redemande tout
    autre = entre_dans_l_ent(other_device, site, second, SECONDE, OTHER_PASSWORD)
    assert autre != sub
    expect(other_device.get_by_text("Zoé").first).to_be_visible()
    expect(other_device.get_by_text("Léa")).to_have_count(0)
    expect(other_device.get_by_text(PREMIERE)).to_have_count(0)

    # La première l'apprend par un mail, et n'entre plus
    mail = site.wait_for_mail(PREMIERE, 2)
    assert mail["subject"] == "Votre compte est fermé : une autre personne porte votre nom"
    for mots in (premier.username, "École du Moulin", "03 53 01 70 70"):
        assert mots in mail["text"].replace("\u00a0", " ")
    assert second.username not in mail["text"]
    phone.goto(f"{site.settings.issuer}/mon-compte")
    se_connecte(phone, premier.username, NEW_PASSWORD)
    titre(phone, "Connexion")
    ouvre_la_connexion(phone, site)
    titre(phone, "Connexion")

    # L'école voit de qui il s'agit
    base = create_engine(site.settings.database_url, poolclass=NullPool)
    with base.connect() as lien:
        avis = lien.execute(
            text(
                "SELECT s.uai, n.kind, a.username, o.username FROM school_notice n JOIN school s ON s.id = n.school_id "
                "JOIN account a ON a.id = n.account_id JOIN account o ON o.id = n.other_account_id"
            )
        ).all()
    assert [tuple(ligne) for ligne in avis] == [(ECOLE, "person_replaced", premier.username, second.username)]

    # Le secrétariat a vérifié : la première n'a plus d'enfant à l'école. Le fichier suivant ne lui rouvre rien
    importe(site, "2027-encore", ZOE, SON_HOMONYME)
    assert json.loads(idp(site, "account", "show", premier.username, "--json"))["state"] == "disabled"
    other_device.goto(f"{site.settings.issuer}/mon-compte")
    titre(other_device, "Gérer mon compte")
    expect(other_device.get_by_text("Zoé BERNARD")).to_be_visible()
