"""Histoire : tout le parcours d'un parent, dans chaque langue proposée, sur un téléphone de 360 px."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from idp import languages
from tests.stories.browser import follow, look, new_page
from tests.stories.french import french_texts
from tests.stories.gestes import NEW_PASSWORD, OTHER_PASSWORD
from tests.stories.parcours import code_du_mail
from tests.stories.site import Site

EMAIL = "noemie.leroy@exemple.fr"
_DU_COMPTE = ("mot-de-passe", "adresse", "cles", "sessions", "charte", "ent", "courrier", "courrier/doute")
_SANS_COMPTE = (
    *("mon-ent", "mentions-legales", "donnees-personnelles", "accessibilite"),
    *("nulle-part", "authorize?client_id=inconnu", "connexion?demande=perdue", "adresse/lien/court", "activation"),
    *(f"{chemin}/{'x' * 43}" for chemin in ("adresse/lien", "mot-de-passe/lien", "adresse/signalement")),
)
_DESSINS = {
    *("/profil", "/activation", "/adresse/confirmation", "/adresse/modifier"),
    *("/identifiant-oublie/envoye", "/mot-de-passe-oublie/envoye"),
}
"""Les pages qui montrent le dessin de leur étape sur le courrier."""
_CUT = """() => [...document.querySelectorAll("h1, h2, .btn, .steps li, .tag")].filter(shown => {
  shown.style.overflowWrap = "normal";
  const is_cut = shown.scrollWidth > shown.clientWidth && shown.clientWidth;
  shown.style.overflowWrap = "";
  return is_cut;
}).map(shown => shown.textContent)"""
"""Les textes dont un mot est trop long pour sa place, et coupé au milieu."""
_BESIDE = """() => [...document.querySelectorAll(".letter-step + h1 + :not(p)")].filter(shown =>
  shown.getBoundingClientRect().top < document.querySelector(".letter-step").getBoundingClientRect().bottom).length"""
"""Les blocs que le dessin du courrier rétrécit."""
_BELOW = """() => [...document.querySelectorAll("button.to[value=parent], #saisie .btn[type=submit]")]
  .map(button => button.getBoundingClientRect().bottom + scrollY)
  .filter(bottom => bottom > innerHeight)"""
"""Le bas du bouton de la page, en pixels, s’il faut faire défiler la page pour le voir entier."""


class Lecteur:
    def __init__(self, page: Page, site: Site, langue: str) -> None:
        self.page, self.site, self.langue = page, site, langue
        self.restes: dict[str, list[str]] = {}
        self.dessins: set[str] = set()

    def regarde(self) -> None:
        """Vérifie la langue, le sens de lecture, l'absence de français, la largeur et l'accessibilité."""
        look(self.page)
        page = self.page.locator("html")
        assert page.get_attribute("lang") == self.langue, self.page.url
        assert page.get_attribute("dir") == languages.direction(self.langue), self.page.url
        assert self.page.evaluate(_CUT) == [], self.page.url
        assert self.page.evaluate(_BESIDE) == 0, self.page.url
        if self.page.locator(".letter-step").count():
            self.dessins.add(urlsplit(self.page.url).path)
        if restes := french_texts(self.page):
            self.restes[self.page.url] = restes

    def ne_defile_pas(self) -> None:
        """Vérifie que le bouton de la page est en entier sur le premier écran."""
        assert self.page.locator("button.to[value=parent], #saisie .btn[type=submit]").count() == 1, self.page.url
        assert self.page.evaluate(_BELOW) == [], self.page.url

    def va(self, chemin: str) -> None:
        self.page.goto(f"{self.site.settings.issuer}/{chemin}")
        self.regarde()

    def touche(self, bouton: str) -> None:
        follow(self.page.locator(bouton))
        self.regarde()

    def remplit(self, **champs: str) -> None:
        for nom, valeur in champs.items():
            self.page.locator(f"[name={nom.replace('_', '-')}]:visible").fill(valeur)

    def valide(self, **champs: str) -> None:
        """Remplit le formulaire de la page, l'envoie et regarde la page suivante."""
        self.remplit(**champs)
        follow(self.page.locator("#saisie .btn[type=submit]").first)
        self.regarde()

    def lit_le_mail(self, nombre: int) -> str:
        """Regarde le dernier mail comme une page ; rend son texte."""
        mail = self.site.wait_for_mail(EMAIL, nombre)
        self.page.goto("about:blank")  # un mail porte ses styles, que la politique des pages refuse
        self.page.set_content(mail["html"])
        if restes := french_texts(self.page):
            self.restes[mail["subject"]] = restes
        assert self.page.locator("html").get_attribute("lang") == self.langue
        assert self.page.evaluate("document.documentElement.scrollWidth") <= 360, mail["subject"]
        return str(mail["text"])


@pytest.fixture
def lecteur(site: Site, browser_process: Browser, langue: str) -> Iterator[Lecteur]:
    with new_page(browser_process, language=langue) as page:
        yield Lecteur(page, site, langue)


@pytest.mark.parametrize("langue", languages.OFFERED)
def test_le_parcours_entier_est_dans_la_langue_du_parent(lecteur: Lecteur, site: Site, langue: str) -> None:
    page, courrier = lecteur.page, site.letter("n.leroy")
    site.command("client", "set", site.ents[0].client_id, "--charter", "provider")
    page.goto(f"{site.ents[0].url}/login")
    lecteur.regarde()
    lecteur.ne_defile_pas()
    lecteur.touche("button[value=enseignant]")
    page.go_back()
    lecteur.touche("button[value=parent]")
    lecteur.ne_defile_pas()
    lecteur.valide()
    lecteur.valide(identifiant=courrier.username, mot_de_passe="pas celui-là")
    lecteur.valide(identifiant=courrier.username, mot_de_passe=courrier.provisional_password)
    lecteur.ne_defile_pas()
    lecteur.valide(nouveau="court", mail="sans arobase")
    lecteur.valide(nouveau=NEW_PASSWORD, mail=EMAIL)
    lecteur.ne_defile_pas()
    lecteur.valide(code="000000")
    code, attente = code_du_mail(site, EMAIL), page.url
    lecteur.lit_le_mail(1)
    page.goto(attente)
    lecteur.touche("a[href*=modifier]")
    lecteur.ne_defile_pas()
    page.goto(attente)
    lecteur.valide(code=code)
    lecteur.touche("main a.btn")  # la charte : son bouton vient après les règles, qu’il faut lire d’abord
    lecteur.valide()
    page.locator("[type=checkbox]").check()
    follow(page.locator("#saisie .btn[type=submit]"))
    du_compte(lecteur)
    perdus(lecteur, courrier.username)
    for chemin in _SANS_COMPTE:
        lecteur.va(chemin)
    assert lecteur.restes == {}
    assert lecteur.dessins == _DESSINS


def du_compte(lecteur: Lecteur) -> None:
    """Regarde les pages de « Mon compte », et les erreurs de leurs formulaires."""
    lecteur.va("mon-compte")
    for chemin in _DU_COMPTE:
        lecteur.va(f"mon-compte/{chemin}")
    lecteur.va("mon-compte/mot-de-passe")
    lecteur.valide()
    lecteur.va("mon-compte/adresse")
    lecteur.valide()
    lecteur.page.context.clear_cookies()


def perdus(lecteur: Lecteur, identifiant: str) -> None:
    """Retrouve l'identifiant, puis choisit un autre mot de passe, et lit les mails."""
    lecteur.va("identifiant-oublie")
    lecteur.valide()
    lecteur.valide(mail=EMAIL)
    lecteur.lit_le_mail(2)
    lecteur.va("mot-de-passe-oublie")
    lecteur.valide(identifiant=identifiant)
    [lien] = set(re.findall(rf"{re.escape(lecteur.site.settings.issuer)}/\S+", lecteur.lit_le_mail(3)))
    lecteur.page.goto(lien)
    lecteur.regarde()
    lecteur.valide(nouveau="court")
    lecteur.valide(nouveau=OTHER_PASSWORD)
    lecteur.lit_le_mail(4)
