"""Histoire « Le collège a suspendu, l'élève est parti » : la direction du lycée, où est le frère, rouvre."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.builders import COLLEGE, LYCEE
from tests.desk.test_school_bounds import INES, MALO, MOTHER, Pupil, siecle
from tests.stories.browser import follow, look
from tests.stories.bureau import inscrit, titre
from tests.stories.site import Site

MOTIF = "jugement du 3 novembre, gardé par le collège"
HUGO = Pupil("820", "Hugo", (MOTHER,))


def importe(site: Site, nom: str, uai: str, *eleves: Pupil) -> None:
    dossier = Path(site.folder / nom)
    dossier.mkdir()
    for fichier, contenu in siecle(*eleves, uai=uai):
        (dossier / fichier).write_bytes(contenu)
    site.command("roster", "import", "--force", str(dossier))


@pytest.mark.row("K-35")
def test_le_lycee_rouvre_ce_que_le_college_a_ferme(phone: Page, other_device: Page, site: Site) -> None:
    site.start("desk")
    bureau = site.settings.desk_url
    importe(site, "college", COLLEGE, INES, MALO)
    importe(site, "lycee", LYCEE, HUGO)
    inscrit(other_device, site, "secretary", "--school", COLLEGE, name="Sylvie Marchand")
    inscrit(phone, site, "head", "--school", LYCEE)

    # Le secrétariat du collège suspend tout le compte, sans date de fin
    other_device.goto(f"{bureau}/recherche?q=vandeputte")
    follow(other_device.get_by_role("link", name="VANDEPUTTE").first)
    follow(other_device.get_by_role("link", name="Suspendre"))
    other_device.get_by_label("Tout le compte").check()
    other_device.get_by_label("Motif").fill(MOTIF)
    other_device.get_by_label("Sans date de fin").check()
    follow(other_device.get_by_role("button", name="Suspendre", exact=True))
    titre(other_device, "Accès suspendu")

    # La direction du lycée l'apprend par un mail et un signalement. Elle lit que l'accès est suspendu, pas par qui
    sujet = "Bureau : des actes à vérifier"
    site.wait_for_subject("head@bureau.test", sujet)
    [mail] = [recu for recu in site.mails("head@bureau.test") if recu["subject"] == sujet]
    assert "%2Fsignalements" in mail["text"]
    for mot in (MOTIF, "Marchand", "VANDEPUTTE"):
        assert mot not in mail["text"]
    phone.goto(f"{bureau}/signalements")
    titre(phone, "Décisions")
    expect(phone.get_by_text("Tout un compte est suspendu")).to_be_visible()
    follow(phone.get_by_role("link", name="Noémie VANDEPUTTE").first)
    compte = phone.url
    expect(phone.get_by_text("L’accès est suspendu, sans date de fin")).to_be_visible()
    expect(phone.get_by_text("Votre établissement ne peut pas le rouvrir.")).to_be_visible()
    expect(phone.get_by_role("link", name="Rouvrir")).to_have_count(0)
    for mot in (MOTIF, "secrétariat a suspendu", "Marchand"):
        expect(phone.get_by_text(mot)).to_have_count(0)

    # Malo quitte le collège ; son frère est au lycée. Un signalement le dit, et la direction du lycée rouvre
    importe(site, "sans-malo", COLLEGE, INES)
    phone.goto(f"{bureau}/signalements")
    expect(phone.get_by_text("Un accès suspendu que la direction peut rouvrir")).to_be_visible()
    phone.goto(compte)
    follow(phone.get_by_role("link", name="Rouvrir tout le compte"))
    titre(phone, "Rouvrir l’accès")
    expect(phone.get_by_text(MOTIF)).to_have_count(0)
    phone.get_by_label("Motif").fill("le jugement est levé, vu avec l’académie")
    look(phone)
    follow(phone.get_by_role("button", name="Rouvrir"))
    expect(phone.get_by_text("C’est rouvert")).to_be_visible()
    assert {avis["state"] for avis in site.notices()} == {"settled"}
