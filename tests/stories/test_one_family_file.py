"""Histoire d'un fichier d'une seule famille : le secrétariat le retire, ou l'envoie à la direction avec une phrase."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.builders import COLLEGE
from tests.desk.school_files import families, row, sheet
from tests.stories.browser import follow, look
from tests.stories.bureau import inscrit, titre
from tests.stories.site import Site

PHRASE = "Les autres classes passent au collège voisin."
SUJET = "Un fichier attend votre décision"


def test_un_fichier_d_une_seule_famille(phone: Page, other_device: Page, site: Site, tmp_path: Path) -> None:
    site.start("desk")
    tous = tmp_path / "tous"
    tous.mkdir()
    (tous / "familles.csv").write_bytes(sheet(*families(20)))
    site.command("roster", "import", "--school", COLLEGE, "--force", str(tous))
    (tmp_path / "une.csv").write_bytes(sheet(row(1)))
    inscrit(other_device, site, "head", "--school", COLLEGE)
    inscrit(phone, site, "secretary", "--school", COLLEGE, name="Sylvie Marchand")

    # Le secrétariat voit que tout le monde partirait, et retire le fichier : la direction n'apprend rien
    verifie(phone, site, tmp_path / "une.csv")
    look(phone)
    follow(phone.get_by_role("button", name="C’est une erreur : retirer"))
    titre(phone, "Fichiers")
    expect(phone.get_by_text("le fichier est retiré")).to_be_visible()
    other_device.goto(site.settings.desk_url)
    expect(other_device.get_by_text(SUJET)).to_have_count(0)
    assert SUJET not in [recu["subject"] for recu in site.mails("head@bureau.test")]

    # Une autre fois, c'est juste : une phrase, et la direction décide
    verifie(phone, site, tmp_path / "une.csv")
    follow(phone.get_by_role("button", name="Envoyer à la direction"))
    expect(phone.get_by_role("alert")).to_be_visible()
    phone.get_by_label("Votre phrase pour la direction").fill(PHRASE)
    follow(phone.get_by_role("button", name="Envoyer à la direction"))
    expect(phone.get_by_text("attendent la direction")).to_be_visible()
    look(phone)
    other_device.goto(site.settings.desk_url)
    follow(other_device.get_by_role("link", name=SUJET))
    titre(other_device, "Ce que les fichiers changent")
    expect(other_device.get_by_text(PHRASE)).to_be_visible()


def verifie(page: Page, site: Site, fichier: Path) -> None:
    page.goto(f"{site.settings.desk_url}/fichiers")
    page.get_by_label("Fichiers à vérifier").set_input_files(fichier)
    follow(page.get_by_role("button", name="Vérifier", exact=True))
    titre(page, "Ce que les fichiers changent")
