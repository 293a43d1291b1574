"""The screenshots of the desk, `docs/images/bureau/`: pages as a secretary, a head, an operator and a DPO see them."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from demo import desk
from demo.school_file import SCHOOL
from idp.app import create_app
from idp.db import db
from idp.services import services_of
from tests.stories.browser import follow, new_page
from tests.stories.bureau import donne_une_cle
from tests.stories.site import Site

LARGEST = 60_000
"""The maximum size of an image in bytes."""
_WIDTH, _TALLEST = 1200, 900
_QUALITY = 55
_SEARCH = "Nom d’un élève ou d’un responsable, classe, identifiant"


@dataclass(frozen=True)
class _Camera:
    """Takes pictures of the pages of one person, into a folder."""

    page: Page
    url: str
    folder: Path

    def open(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")

    def take(self, name: str) -> None:
        self.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        bottom = self.page.evaluate("document.querySelector('main').getBoundingClientRect().bottom")
        clip = {"x": 0, "y": 0, "width": _WIDTH, "height": min(_TALLEST, int(bottom) + 8), "scale": 1}
        session = self.page.context.new_cdp_session(self.page)
        options = {"format": "webp", "quality": _QUALITY, "clip": clip, "captureBeyondViewport": True}
        answer = session.send("Page.captureScreenshot", options)
        self.folder.joinpath(f"{name}.webp").write_bytes(base64.b64decode(answer["data"]))

    def take_of(self, path: str, name: str) -> None:
        self.open(path)
        self.take(name)


def take_all(browser: Browser, site: Site, folder: Path) -> list[str]:
    """Take all pictures of the desk of a site that runs; return the sentences about those that are too large."""
    site.start("desk")
    folder.mkdir(parents=True, exist_ok=True)
    _open_notices(site)
    at_school = ("--school", SCHOOL.uai)
    with new_page(browser, width=_WIDTH) as page:
        camera = _Camera(page, site.settings.desk_url, folder)
        camera.take_of("/connexion", "connexion")
        _enrol(page, site, "secretary", "Sylvie Marchand", *at_school)
        _secretary(camera, site)
    people = (
        ("head", "Bruno Castel", at_school, "journal"),
        ("ent_operator", "Inès Kaddour", ("--client", site.ents[0].client_id), "ent"),
    )
    for role, name, scope, shown in people:
        with new_page(browser, width=_WIDTH) as page:
            _enrol(page, site, role, name, *scope)
            _Camera(page, site.settings.desk_url, folder).take_of(f"/{shown}", shown)
    with new_page(browser, width=_WIDTH) as page:
        _enrol(page, site, "dpo", "Claire Aubert")
        _Camera(page, site.settings.desk_url, folder).take_of("/droits", "droits")
    sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("*.webp"))}
    return [f"{name} has {size} bytes: make it smaller." for name, size in sizes.items() if size > LARGEST]


def _open_notices(site: Site) -> None:
    app = create_app(site.settings)
    with app.app_context():
        desk.open_notices(site.ents)
        db.session.remove()
        db.engine.dispose()
        services_of(app).close()


def _enrol(page: Page, site: Site, role: str, name: str, *scope: str) -> None:
    """Invite a person by the command line, and enrol with a passkey."""
    donne_une_cle(page)
    mail = f"{role.replace('_', '-')}@bureau.test"
    invited = site.command("staff", "invite", mail, "--name", name, "--role", role, *scope, "--json")
    page.goto(json.loads(invited)["link"])
    page.get_by_label("Nom de la clé").fill("ordinateur")
    page.get_by_role("button", name="Créer une clé d’accès").click()
    follow(page.get_by_role("link", name="Plus tard"))


def _secretary(camera: _Camera, site: Site) -> None:
    page = camera.page
    camera.take("aujourdhui")
    camera.take_of("/signalements", "signalements")
    camera.take_of("/classes", "classes")
    camera.open("/recherche")
    page.get_by_label(_SEARCH).fill("petit")
    follow(page.get_by_role("button", name="Rechercher"))
    camera.take("recherche")
    follow(page.get_by_role("link", name="PETIT Rose"))
    camera.take("famille")
    follow(page.get_by_role("link", name="Mme Véronique PETIT").first)
    camera.take("compte")
    account = page.url
    follow(page.get_by_role("link", name="Nouveau courrier"))
    camera.take("courrier")
    page.goto(account)
    follow(page.get_by_role("link", name="Suspendre"))
    camera.take("suspension")
    camera.open("/fichiers")
    page.get_by_label("Fichiers à vérifier").set_input_files(site.folder / f"siecle-{SCHOOL.uai}.zip")
    follow(page.get_by_role("button", name="Vérifier", exact=True))
    expect(page.get_by_role("button", name="Importer")).to_be_visible()
    camera.take("fichiers")
