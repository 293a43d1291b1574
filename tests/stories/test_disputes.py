"""Histoires : deux personnes veulent le même compte, ou un courrier tombe dans d'autres mains ; l'école décide."""

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.settlements import REJECT
from tests.stories.browser import follow
from tests.stories.gestes import (
    NEW_PASSWORD,
    OTHER_PASSWORD,
    a_un_compte,
    active,
    confirme,
    confirme_une_adresse,
    entre_dans_son_compte,
    lien_du_mail,
    se_connecte,
    titre,
)
from tests.stories.site import Site

COMMUNE = "famille.leroy@exemple.fr"
LA_SIENNE = "noemie.leroy@exemple.fr"
MOTIF = "pièce d’identité vue au secrétariat"


def demande_un_mot_de_passe(page: Page, site: Site, identifiant: str) -> None:
    page.goto(f"{site.settings.issuer}/mot-de-passe-oublie")
    page.get_by_label("Identifiant", exact=True).fill(identifiant)
    follow(page.get_by_role("button", name="Recevoir un lien"))
    titre(page, re.compile("Regardez votre messagerie|Un peu de patience"))


def liens(site: Site, boite: str, chemin: str) -> list[str]:
    """Rend les liens d'une sorte que les mails d'une boîte portent, du plus ancien au plus récent."""
    modele = re.compile(rf"{re.escape(site.settings.issuer)}{chemin}\S+")
    return [lien for mail in site.mails(boite) for lien in modele.findall(mail["text"])]


def quitte_la_boite_commune(page: Page, site: Site, identifiant: str) -> None:
    """Change l'adresse du compte, et confirme la nouvelle ; l'ancienne boîte l'apprend."""
    entre_dans_son_compte(page, site, identifiant)
    follow(page.get_by_role("link", name="Changer mon adresse mail"))
    page.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    page.get_by_label("Nouvelle adresse mail").fill(LA_SIENNE)
    follow(page.get_by_role("button", name="Enregistrer"))
    titre(page, "Changer mon adresse mail")
    confirme_une_adresse(page, lien_du_mail(site, LA_SIENNE, 1, "Confirmez votre nouvelle adresse mail"))
    site.wait_for_mail(COMMUNE, 3)


@pytest.mark.row("E-11")
def test_l_ex_conjoint(phone: Page, other_device: Page, site: Site) -> None:
    """Noémie quitte la boîte commune ; son ex-conjoint, qui l'a gardée, conteste et n'obtient rien."""
    noemie = a_un_compte(phone, site, "n.leroy", COMMUNE)
    quitte_la_boite_commune(phone, site, noemie)
    premier, second = liens(site, COMMUNE, "/adresse/contestation/")

    # l'ex-conjoint touche « Ce n’était pas moi » : le compte se ferme, pour lui aussi
    other_device.goto(second)
    titre(other_device, "Ce n’était pas vous ?")
    follow(other_device.get_by_role("button", name="Signaler le changement"))
    titre(other_device, "Le compte est fermé")
    expect(other_device.get_by_text("l’établissement de votre enfant").first).to_be_visible()
    expect(other_device.get_by_text("Dites-le au secrétariat de l’établissement de votre enfant")).to_be_visible()
    expect(other_device.get_by_text("Tilleuls")).to_have_count(0)
    for boite, nombre in ((COMMUNE, 4), (LA_SIENNE, 2)):
        assert site.wait_for_mail(boite, nombre)["subject"] == "Votre compte est fermé pour le moment"
    demande_un_mot_de_passe(other_device, site, noemie)
    other_device.goto(f"{site.settings.issuer}/identifiant-oublie")
    other_device.get_by_label("Adresse mail").fill(COMMUNE)
    follow(other_device.get_by_role("button", name="Recevoir mon identifiant"))
    other_device.goto(premier)
    titre(other_device, "Ce lien ne marche plus")
    other_device.wait_for_timeout(3000)
    assert (len(site.mails(COMMUNE)), len(site.mails(LA_SIENNE))) == (4, 2)

    # Noémie non plus n'entre pas ; la page lui dit où aller
    phone.goto(f"{site.settings.issuer}/mon-compte")
    se_connecte(phone, noemie, NEW_PASSWORD)
    titre(phone, "Ce compte est fermé pour le moment")
    expect(phone.get_by_text("Collège des Tilleuls")).to_be_visible()

    # le secrétariat voit la contestation, et décide avec la pièce d'identité
    [avis] = site.notices()
    assert (avis["kind"], avis["account"], avis["state"]) == ("email_contested", noemie, "open")
    site.settle(noemie, REJECT, MOTIF)
    [regle] = site.notices()
    assert (regle["id"], regle["state"], regle["sentence"]) == (avis["id"], "settled", MOTIF)
    assert site.wait_for_mail(COMMUNE, 5)["subject"] == "L’établissement a écarté cette adresse mail"
    assert site.wait_for_mail(LA_SIENNE, 3)["subject"] == "L’établissement a gardé cette adresse mail"

    # elle choisit un mot de passe par sa boîte, et entre ; l'ancienne boîte n'apprend plus rien
    phone.goto(f"{site.settings.issuer}/connexion")
    se_connecte(phone, noemie, NEW_PASSWORD)
    titre(phone, "Choisissez un nouveau mot de passe")
    phone.goto(lien_du_mail(site, LA_SIENNE, 4, "Choisissez un nouveau mot de passe"))
    phone.get_by_label("Nouveau mot de passe").fill(OTHER_PASSWORD)
    follow(phone.get_by_role("button", name="Enregistrer"))
    titre(phone, "Votre mot de passe est changé")
    entre_dans_son_compte(phone, site, noemie, OTHER_PASSWORD)
    expect(phone.get_by_text(LA_SIENNE)).to_be_visible()
    other_device.goto(second)
    titre(other_device, "Ce lien a déjà servi")
    assert len(site.mails(COMMUNE)) == 5


@pytest.mark.row("E-12")
def test_deux_foyers_une_boite_mail(phone: Page, other_device: Page, site: Site) -> None:
    """Noémie et Karim lisaient la même boîte ; elle la quitte, il touche « Ce n’était pas moi » : elle entre encore."""
    noemie = a_un_compte(phone, site, "n.leroy", COMMUNE)
    a_un_compte(other_device, site, "k.leroy", COMMUNE)
    entre_dans_son_compte(phone, site, noemie)
    deja = len(site.mails(COMMUNE))
    follow(phone.get_by_role("link", name="Changer mon adresse mail"))
    phone.get_by_label("Mot de passe actuel").fill(NEW_PASSWORD)
    phone.get_by_label("Nouvelle adresse mail").fill(LA_SIENNE)
    follow(phone.get_by_role("button", name="Enregistrer"))
    confirme_une_adresse(phone, lien_du_mail(site, LA_SIENNE, 1, "Confirmez votre nouvelle adresse mail"))
    site.wait_for_mail(COMMUNE, deja + 2)

    # depuis la boîte commune, sans mot de passe
    other_device.goto(liens(site, COMMUNE, "/adresse/contestation/")[-1])
    titre(other_device, "Ce n’était pas vous ?")
    expect(other_device.get_by_text("le mot de passe marche encore")).to_be_visible()
    follow(other_device.get_by_role("button", name="Signaler le changement"))
    titre(other_device, "Le changement est signalé")
    expect(other_device.get_by_text("Tilleuls")).to_have_count(0)
    assert site.wait_for_mail(LA_SIENNE, 2)["subject"] == "Votre changement d’adresse mail est contesté"
    [avis] = [avis for avis in site.notices() if avis["kind"] == "email_contested"]
    assert (avis["account"], avis["state"]) == (noemie, "open")

    # ses appareils sont déconnectés ; avec son mot de passe elle entre, et l'adresse ne change plus
    phone.goto(f"{site.settings.issuer}/mon-compte")
    se_connecte(phone, noemie, NEW_PASSWORD)
    titre(phone, "Gérer mon compte")
    follow(phone.get_by_role("link", name="Changer mon adresse mail"))
    expect(phone.get_by_text("L’adresse ne peut plus changer")).to_be_visible()
    expect(phone.get_by_label("Nouvelle adresse mail")).to_have_count(0)

    # le collège garde la nouvelle adresse ; le mot de passe reste le même
    site.settle(noemie, REJECT, MOTIF)
    assert "Connectez-vous comme avant." in site.wait_for_mail(LA_SIENNE, 3)["text"]
    entre_dans_son_compte(phone, site, noemie)
    expect(phone.get_by_text(LA_SIENNE)).to_be_visible()


@pytest.mark.row("V-19")
def test_un_eleve_a_ouvert_le_courrier(phone: Page, other_device: Page, site: Site, tmp_path: Path) -> None:
    courrier = site.letter("n.leroy")
    other_device.goto(f"{site.settings.issuer}/connexion")
    se_connecte(other_device, courrier.username, courrier.provisional_password)
    titre(other_device, "Activez votre compte")
    follow(other_device.get_by_role("link", name="Je ne suis pas le représentant légal de cet élève"))
    titre(other_device, "Ce n’est pas votre enfant ?")
    for case in other_device.get_by_role("checkbox").all():
        case.check()
    follow(other_device.get_by_role("button", name="Confirmer le signalement"))
    titre(other_device, "Merci, c’est noté")

    # le courrier ne sert plus, il dit où aller, et le collège n'en imprime pas d'autre sans avoir décidé
    phone.goto(f"{site.settings.issuer}/connexion")
    se_connecte(phone, courrier.username, courrier.provisional_password)
    titre(phone, "Ce courrier a été signalé")
    feuille = tmp_path / "nouveau.csv"
    imprime = ("letters", "print", "--username", courrier.username, "--csv", str(feuille))
    assert "must settle first" in site.command(*imprime, code=1)

    # le secrétariat appelle la mère, rejette le signalement et imprime un nouveau courrier
    avis = site.notices()
    assert {(un["kind"], un["account"], un["state"]) for un in avis} == {("not_guardian", courrier.username, "open")}
    assert all(un["children"] for un in avis)
    site.settle(courrier.username, REJECT, MOTIF)
    site.command(*imprime)
    [nouveau] = csv.DictReader(io.StringIO(feuille.read_text(encoding="utf-8-sig")), delimiter=";")

    phone.goto(f"{site.settings.issuer}/connexion")
    se_connecte(phone, courrier.username, nouveau["provisional_password"])
    active(phone, LA_SIENNE)
    confirme(phone, lien_du_mail(site, LA_SIENNE))
    entre_dans_son_compte(phone, site, courrier.username)
    expect(phone.get_by_text(LA_SIENNE)).to_be_visible()
    assert [(un["id"], un["state"], un["sentence"]) for un in site.notices()] == [
        (un["id"], "settled", MOTIF) for un in avis
    ]
