"""The page docs/accessibilite.md, from the audit in idp/web/rgaa.toml."""

from collections.abc import Iterator

from idp.web.i18n import day
from idp.web.legal import AUDIT
from tests.web.tour import COUNT

_HEAD = """# Accessibilité : auto-évaluation RGAA 4.1.2

Les pages des parents (connexion, activation, charte, récupération, compte, erreurs, textes légaux), évaluées par
leurs auteurs le {day}, par critère. **{conforming} critères conformes sur {applicable} applicables : {rate} %.** La
déclaration publique (`/accessibilite`) et le pied de chaque page prennent de la même source leur date, leur taux et
la liste de ce qui n’est pas conforme.

Ce n’est pas l’audit d’un tiers. Un critère est « C » s’il est tenu par un test, par axe, ou par une vérification à
la main ou à l’œil dont la date est donnée ; ce qui n’a pas été vérifié est « NC », comme ce qui ne va pas. Aucun
lecteur d’écran n’a été essayé, ni Firefox, ni Safari, et aucune personne handicapée n’a été consultée : un
exploitant qui publie sa déclaration le fait faire. Les vérifications à la main ont été faites dans Chromium sans
écran, sur les pages que `tests/web/tour.py` avait ce jour-là (il en a {pages} maintenant) : 1280, 640, 360 et
320 px, espacements du texte, couleurs forcées, mouvement réduit, clavier.

Le bureau n’est pas dans ce taux. Le {day}, axe (WCAG 2.2 A et AA, bonnes pratiques) n’a rien trouvé sur ses pages,
ouvertes avec chaque rôle et les données de la démonstration, en 360 et 1280 px ; le focus y est visible partout, et
rien ne défile de côté à 640 et 320 px.

C : conforme. NC : non conforme, ou pas vérifié. NA : non applicable.
"""
_TABLE = """
## {number}. {name}

| critère | | montré par, ou pourquoi |
|---|---|---|
"""


def page() -> str:
    return "".join(_parts())


def _parts() -> Iterator[str]:
    conforming, failing = len(AUDIT.results("C")), len(AUDIT.results("NC"))
    yield _HEAD.format(
        day=day(AUDIT.day), conforming=conforming, applicable=conforming + failing, rate=AUDIT.rate, pages=COUNT
    )
    for number, (name, criteria) in enumerate(AUDIT.themes, 1):
        yield _TABLE.format(number=number, name=name)
        for criterion in criteria:
            yield f"| {criterion.number} {criterion.title} | {criterion.result} | {criterion.shown} |\n"
