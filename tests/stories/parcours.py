"""Compte ce que coûte un parcours : les pages vues, les champs tapés, les mails reçus."""

import re

from playwright.sync_api import Page

from tests.stories.site import Site

CHAMPS = ["identifiant", "mot-de-passe", "nouveau", "mail"]
"""Tout ce qu'un parent tape du courrier à l'ENT, s'il touche le lien du mail."""


class Parcours:
    def __init__(self, page: Page) -> None:
        self.pages: list[str] = []
        self.champs: list[str] = []
        page.context.expose_binding("noteChamp", lambda _source, nom: self._note(nom))
        page.add_init_script(
            "addEventListener('input', event => event.target.type !== 'checkbox'"
            " && noteChamp(location.pathname + ' ' + event.target.name), true)"
        )
        page.on("load", lambda shown: self.pages.append(shown.url.partition("?")[0]))

    def _note(self, nom: str) -> None:
        if nom not in self.champs:
            self.champs.append(nom)

    @property
    def noms(self) -> list[str]:
        return [champ.rpartition(" ")[2] for champ in self.champs]


def code_du_mail(site: Site, adresse: str, nombre: int = 1) -> str:
    mail = site.wait_for_mail(adresse, nombre)
    [code] = re.findall(r"\b\d{6}\b", mail["text"].partition("http")[0])
    assert code in mail["html"]
    return str(code)
