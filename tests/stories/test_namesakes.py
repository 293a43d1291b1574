"""Histoire de deux homonymes : l’une tape le courrier de l’autre ; à la fin, chacune est chez elle."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import create_engine, select, update

from idp.accounts.models import Account, SchoolNotice
from tests.rostering.test_onde import guardians, pupils
from tests.stories import bureau
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

ECOLE, AUTRE_ECOLE, COLLEGE = "0599004S", "0599005T", "0599001N"
PREMIERE, SECONDE = "marie.m@exemple.fr", "marie.martin@exemple.fr"
LEA = "MARTIN;;Léa;14/09/2015;F;1 rue A;59990;Rivebelle;FRANCE;;;;;CYCLE III;CM2;CM2 A"
SA_MERE = "MME;MARTIN;;Marie;1 rue A;59990;Rivebelle;FRANCE;;;;;;MARTIN;Léa;CM2 A"
ZOE = "BERNARD;;Zoé;14/09/2020;F;9 rue Z;59992;Valdoux;FRANCE;;;;;CYCLE II;CP;CP A"
SON_HOMONYME = "MME;MARTIN;;Marie;9 rue Z;59992;Valdoux;FRANCE;;;;;;BERNARD;Zoé;CP A"
CELLE_DU_FICHIER = "la.vraie.mere@exemple.fr"


def importe(site: Site, annee: str, eleve: str, responsable: str, ecole: str = ECOLE) -> dict[str, Any]:
    """Importe les deux exports d'ONDE d'une année scolaire ; rend ce que la commande en dit."""
    dossier = site.folder / annee
    dossier.mkdir()
    (dossier / "eleves.csv").write_text(pupils(eleve), encoding="cp1252")
    (dossier / "responsables.csv").write_text(guardians(responsable, children=1), encoding="cp1252")
    dit: dict[str, Any] = json.loads(
        site.command("roster", "import", "--school", ecole, "--force", "--json", str(dossier))
    )
    return dit


def imprime(site: Site, annee: str, ecole: str = ECOLE) -> Letter:
    """Imprime le courrier de l'école ; il n'y en a qu'un."""
    liste = Path(site.folder / f"{annee}.csv")
    site.command("letters", "print", "--school", ecole, "--out", str(liste.with_suffix(".pdf")), "--csv", str(liste))
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
    accepte_la_charte(page)
    donne_son_adresse(page, adresse)
    titre(page, "Bienvenue Marie MARTIN")
    page.get_by_text("Détails techniques").click()
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="sub", exact=True)).inner_text()


def un_mois_passe(site: Site) -> None:
    """Recule de trente et un jours les moments des signalements et des comptes fermés."""
    engine, mois = create_engine(site.settings.database_url), timedelta(days=31)
    with engine.begin() as connection:
        for column in (SchoolNotice.created_at, SchoolNotice.settled_at, Account.disabled_at):
            table = column.class_
            for key, moment in connection.execute(select(table.id, column).where(column.is_not(None))).all():
                connection.execute(update(table).where(table.id == key).values({column: moment - mois}))
    engine.dispose()


@pytest.mark.row("R-16")
def test_deux_homonymes_un_courrier(phone: Page, other_device: Page, site: Site) -> None:
    for ecole, nom, telephone in (
        (ECOLE, "École du Moulin", "03 53 01 70 70"),
        (AUTRE_ECOLE, "École du Pont", "03 53 01 80 80"),
    ):
        site.command("school", "set", ecole, "--name", nom, "--phone", telephone, "--degree", "1D")
    site.command("client", "set", "passerelle", "--uai", COLLEGE, "--uai", ECOLE, "--uai", AUTRE_ECOLE)
    importe(site, "moulin", LEA, SA_MERE)
    importe(site, "pont", ZOE, SON_HOMONYME.replace("FRANCE;", f"FRANCE;{CELLE_DU_FICHIER}", 1), AUTRE_ECOLE)
    le_sien, celui_de_l_autre = imprime(site, "moulin"), imprime(site, "pont", AUTRE_ECOLE)

    # La mère de Léa a reçu le courrier de la mère de Zoé, qui porte son nom, et l'ajoute à son compte
    entre_dans_l_ent(phone, site, le_sien, PREMIERE, NEW_PASSWORD)
    phone.goto(f"{site.settings.issuer}/mon-compte/courrier")
    phone.get_by_label("Identifiant").fill(celui_de_l_autre.username)
    phone.get_by_label("Mot de passe provisoire").fill(celui_de_l_autre.provisional_password)
    follow(phone.locator("main form button[type=submit]"))
    titre(phone, "L’établissement doit vérifier")

    # L'école du Pont répond trop vite : la même personne. Le fichier connaît une adresse : elle l'apprend
    site.start("desk")
    bureau.inscrit(other_device, site, "secretary", "--school", AUTRE_ECOLE)
    for lien in ("Décisions", "Oui, la même personne"):
        other_device.get_by_role("link", name=lien).first.click()
    bureau.titre(other_device, "Oui, la même personne")
    other_device.get_by_label("Votre phrase").fill("le nom est le même")
    follow(other_device.get_by_role("button", name="Oui, la même personne"))
    bureau.titre(other_device, "Signalement réglé")
    phone.goto(f"{site.settings.issuer}/mon-compte")
    expect(phone.get_by_text("Zoé BERNARD")).to_be_visible()
    mail = site.wait_for_mail(CELLE_DU_FICHIER)
    assert mail["subject"] == "Un courrier à votre nom a été ajouté à un compte"
    assert "03 53 01 80 80" in mail["text"].replace("\u00a0", " ")
    assert not [mot for mot in ("Zoé", celui_de_l_autre.username, le_sien.username) if mot in mail["text"]]

    # Un mois plus tard, la vraie mère appelle : l'école trouve le compte par l'élève, et répond « Non »
    un_mois_passe(site)
    other_device.goto(f"{site.settings.desk_url}/recherche?q=zoe+bernard")
    follow(other_device.get_by_role("link", name="BERNARD Zoé"))
    other_device.get_by_role("link", name="Mme Marie MARTIN").first.click()
    bureau.titre(other_device, "Mme Marie MARTIN")
    follow(other_device.get_by_role("link", name="Un courrier tapé dans un autre compte"))
    bureau.titre(other_device, "Signalement réglé")
    follow(other_device.get_by_role("link", name="Non, ce sont deux personnes"))
    bureau.titre(other_device, "Non, ce sont deux personnes")
    other_device.get_by_label("Votre phrase").fill("pièce d’identité vue au guichet")
    follow(other_device.get_by_role("button", name="Non, ce sont deux personnes"))
    bureau.titre(other_device, "Signalement réglé")
    follow(other_device.get_by_role("link", name="Imprimer un courrier pour Mme Marie MARTIN"))
    bureau.titre(other_device, "Nouveau courrier")
    expect(other_device.get_by_role("button", name="Imprimer le courrier")).to_be_visible()

    # La mère de Léa l'apprend par un mail, et ne voit plus Zoé ; elle garde son compte
    site.wait_for_subject(PREMIERE, "Un courrier ajouté n’est plus dans votre compte")
    phone.goto(f"{site.settings.issuer}/mon-compte")
    titre(phone, "Gérer mon compte")
    expect(phone.get_by_text("Léa MARTIN")).to_be_visible()
    expect(phone.get_by_text("Zoé")).to_have_count(0)

    # La vraie mère active avec son nouveau courrier, et voit son enfant, elle seule
    nouveau = imprime(site, "pont-encore", AUTRE_ECOLE)
    assert nouveau.username == celui_de_l_autre.username
    phone.context.clear_cookies()
    entre_dans_l_ent(phone, site, nouveau, SECONDE, OTHER_PASSWORD)
    expect(phone.get_by_text("Zoé").first).to_be_visible()
    expect(phone.get_by_text("Léa")).to_have_count(0)
