"""`python -m tests.screenshots`: take the screenshots of the README, docs/images/parcours.webp, and of the desk.

A parent of the demonstration goes from the letter to the private page of the ENT in Chromium, at the width of a phone,
with the steps of the stories. The image shows all pages on the way. `tests.desk_screenshots` takes those of the desk.
"""

import base64
import html
import json
import os
import sys
import tempfile
from pathlib import Path

import typst
from playwright.sync_api import Browser, Page, sync_playwright

from demo.letters import SeededLetter
from idp.letters.render import pdf
from idp.paths import TEMPLATES
from tests import desk_screenshots
from tests.applications import SHARED
from tests.checklist import ROOT
from tests.databases import postgresql_copy
from tests.stories import gestes
from tests.stories.browser import ARGUMENTS, CHROMIUM, follow, new_page
from tests.stories.parcours import code_du_mail
from tests.stories.site import Site

PICTURE = ROOT / "docs" / "images" / "parcours.webp"
DESK = PICTURE.parent / "bureau"
LARGEST = 300 * 1024
"""The maximum size of the image in bytes."""
_EMAIL = "noemie.leroy@exemple.fr"
_QUALITY = 60
_IN_A_ROW = 3
_SHEET = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 24px; width: max-content; background: #eceff3; color: #1f2a37;
  font: 600 22px "Noto Sans", sans-serif }}
main {{ display: grid; grid-template-columns: repeat({columns}, 360px); gap: 28px 24px }}
figure {{ margin: 0 }} figcaption {{ padding-bottom: 10px }}
img {{ display: block; width: 360px; height: 740px; object-fit: contain; object-position: top; background: #fff;
  border-radius: 18px; box-shadow: 0 1px 6px #0003 }}
</style><main>{figures}</main>"""


def main() -> int:
    """Take the screenshots; return 1 if Chromium is missing or an image is too large."""
    if CHROMIUM is None:
        return _refuse("Chromium is not installed: .ci/install brings it, or CHROMIUM names it.")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,  # the database server ends with this process
        postgresql_copy(Path(folder)) as url,
        sync_playwright() as playwright,
    ):
        os.environ[SHARED] = folder  # where the steps of the stories note the pages that they have checked
        own = Path(folder) / "site"  # beside the database server, whose files are not copied
        own.mkdir()
        site = Site.on(url, own, "")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            site.start()
            picture = _sheet(browser, _walk(browser, site))
            too_large = desk_screenshots.take_all(browser, site, DESK)
        finally:
            site.stop()
            browser.close()
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(picture)
    if len(picture) > LARGEST:
        too_large.append(f"{PICTURE.name} has {len(picture)} bytes: make it smaller.")
    return _refuse("\n".join(too_large)) if too_large else 0


def _walk(browser: Browser, site: Site) -> list[tuple[str, bytes]]:
    [letter] = [letter for letter in site.letters if letter.username.startswith("n.leroy")]
    shots = [("Le courrier", _paper(letter))]
    with new_page(browser) as phone:

        def shoot(caption: str) -> None:
            phone.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
            shots.append((caption, phone.screenshot()))

        phone.goto(site.ents[0].url)
        shoot("L’ENT")
        follow(phone.get_by_role("link", name="Se connecter"))
        shoot("Le profil")
        gestes.choisit_parent(phone)
        _fill(phone, letter)
        shoot("La connexion")
        follow(phone.get_by_role("button", name="Se connecter", exact=True))
        shoot("L’activation")
        gestes.active(phone, _EMAIL)
        shoot("Le code du mail")
        gestes.tape_le_code(phone, code_du_mail(site, _EMAIL))
        shoot("La charte")
        gestes.accepte_la_charte(phone)
        shoot("Les notifications")
        gestes.donne_son_adresse(phone, _EMAIL)
        shoot("Dans l’ENT")
    return shots


def _fill(page: Page, letter: SeededLetter) -> None:
    page.get_by_label("Identifiant", exact=True).fill(letter.username)
    page.get_by_label("Mot de passe", exact=True).fill(letter.shown)


def _paper(letter: SeededLetter) -> bytes:
    page = letter.printed.letter
    data = pdf.data_of([page])
    folder = TEMPLATES / "letter"
    image = typst.compile(
        folder / "letter.typ",
        root=folder,
        font_paths=pdf._fonts(),
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(data)},
        format="png",
        ppi=100,
    )
    assert isinstance(image, bytes)
    return image


def _sheet(browser: Browser, shots: list[tuple[str, bytes]]) -> bytes:
    figures = "".join(
        f"<figure><figcaption>{number}. {html.escape(caption)}</figcaption>"
        f'<img src="data:image/png;base64,{base64.b64encode(image).decode()}"></figure>'
        for number, (caption, image) in enumerate(shots, 1)
    )
    width = 48 + _IN_A_ROW * 360 + (_IN_A_ROW - 1) * 24
    page = browser.new_page(viewport={"width": width, "height": 600})
    page.set_content(_SHEET.format(columns=_IN_A_ROW, figures=figures))
    page.wait_for_load_state("networkidle")
    height = page.evaluate("Math.ceil(document.body.getBoundingClientRect().height)")
    page.set_viewport_size({"width": width, "height": height})
    session = page.context.new_cdp_session(page)
    answer = session.send("Page.captureScreenshot", {"format": "webp", "quality": _QUALITY})
    return base64.b64decode(answer["data"])


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)  # noqa: T201 - a command
    return 1


if __name__ == "__main__":
    sys.exit(main())
