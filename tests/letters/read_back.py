"""Letters to fictitious parents, and the text of their pages."""

import io
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import NamedTuple, cast

import pypdf

from idp.letters import provisional
from idp.letters.render.pdf import Letter, LetterChild, LetterEnt, render
from idp.paths import TEMPLATES

LONG = "W" * 200
NOEMIE = Letter(
    service_name="Scolarité Services",
    academy="Académie des Deux-Rives",
    town="Rivebelle",
    printed_on=date(2026, 11, 24),
    school_name="Collège des Tilleuls",
    school_postal_address=("12 rue des Tilleuls", "59990 Rivebelle"),
    school_phone="03 53 01 40 40",
    recipient=("Madame Noémie Leroy Vandeputte", "Appartement 12", "Bâtiment B", "1 rue du Test", "59990 Rivebelle"),
    greeting="Madame",
    children=(LetterChild("Malo", "6e 1"),),
    ent_url="https://passerelle.exemple.fr",
    username="n.leroy4821",
    provisional_password="7K4MQX2P9RTD",
    valid_until=date(2027, 1, 23),
    help_phone="03 53 01 12 12",
    help_hours="Lundi à vendredi, 8 h à 18 h",
    dpo_mail="dpd@exemple.fr",
)
SIGN_IN = "https://passerelle.exemple.fr/login?iss=https%3A%2F%2Fconnexion.exemple.fr&login_hint=profil%3Aparent"
LYCEE = LetterEnt("https://lycee.exemple.fr", SIGN_IN.replace("passerelle", "lycee"))
TWO_ENTS = replace(
    NOEMIE,
    children=(LetterChild("Malo", "6e 1", NOEMIE.ent_url), LetterChild("Zoé", "2de 3", LYCEE.url)),
    sign_in_url=SIGN_IN,
    other_ents=(LYCEE,),
)
COMPOUND = "Marie-Antoinette-Joséphine-Élisabeth-Bernadette-Sidonie de La Roche-Saint-André"
WORST = replace(
    NOEMIE,
    service_name="W" * 60,
    academy="W" * 80,
    town="W" * 80,
    school_name="Collège " + COMPOUND,
    school_postal_address=("Cité scolaire des Tilleuls, bâtiment administratif",) * 4,
    school_hours="W" * 60,
    recipient=("Madame " + COMPOUND, *("Une ligne d’adresse de trente-huit lettres",) * 5, "59990 " + "W" * 27),
    greeting="W" * 30,
    children=(
        LetterChild("W" * 60, "W" * 20),
        *(LetterChild("Zoé-Marie-Élisabeth", "Terminale générale 12"),) * 3,
    ),
    ent_url="https://" + "m" * 61 + ".exemple.fr",
    username="w" * 64,
    help_phone="W" * 30,
    help_hours="W" * 80,
    dpo_mail="w" * 200,
)
"""Texts as long as letters hold them."""


TEXTS = json.loads((TEMPLATES / "letter" / "languages.json").read_text())


def texts(tag: str) -> str:
    return " ".join(text for value in TEXTS[tag].values() for text in ([value] if isinstance(value, str) else value))


class Piece(NamedTuple):
    """A run of text on a page: its position in mm from the top left corner, and its size in points."""

    text: str
    x: float
    y: float
    size: float


def open_pdf(*letters: Letter) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(render(letters)))


def pieces(page: pypdf.PageObject) -> list[Piece]:
    return _read(page)[1]


def _read(page: pypdf.PageObject) -> tuple[str, list[Piece]]:
    """Return the text and the runs of a page; keep them at the page, since pypdf takes 40 ms to read one."""
    if "read_back" in vars(page):
        return cast("tuple[str, list[Piece]]", vars(page)["read_back"])
    texts: list[Piece] = []

    def keep(text: str, cm: list[float], tm: list[float], _font: object, size: float) -> None:
        x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
        y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        if text.strip():
            texts.append(Piece(text.strip(), x / 72 * 25.4, 297 - y / 72 * 25.4, size))

    vars(page)["read_back"] = page.extract_text(visitor_text=keep), texts
    return _read(page)


def text_of(page: pypdf.PageObject) -> str:
    """Return the text of a page with single spaces and without zero-width spaces."""
    return re.sub(r"\s+", " ", _read(page)[0].replace("\u200b", ""))


def secrets_in(text: str) -> set[str]:
    """Return every provisional password in the text of a page."""
    group = f"[{provisional.ALPHABET}]{{4}}"
    secrets = re.findall(rf"\b{group}\s*-\s*{group}\s*-\s*{group}\b", text)
    return {re.sub(r"[\s-]", "", secret) for secret in secrets}


def assert_intact(page: pypdf.PageObject) -> None:
    """Check that the page is complete, nothing is off the sheet, and only the postal address is in the window."""
    text = text_of(page)
    for sentence in (
        "Votre accès à l’ENT, le site internet de votre école",
        "Les cinq étapes, en cinq minutes",
        "Ce n’est pas votre enfant ?",
        "la CNIL.",
    ):
        assert sentence in text
    runs = pieces(page)
    assert all(5 <= run.x <= 205 and 5 <= run.y <= 290 for run in runs)
    window = [run for run in runs if run.x >= 88 and 40 <= run.y <= 93]
    assert all(104.9 <= run.x <= 190 and 55 <= run.y <= 79 for run in window)
    heights = sorted(run.y for run in window)  # the dots of Arabic letters are separate runs, a little above or below
    assert sum(below - above > 2 for above, below in itertools.pairwise(heights)) < 8
    last_of_head = max(run.y for run in runs if run.y < 99)
    assert last_of_head < 93


def letters_of(count: int) -> list[Letter]:
    return [
        replace(
            NOEMIE,
            username=f"parent{number:04}",
            provisional_password=provisional.draw(),
            recipient=(f"Madame Famille{number:04}", "1 rue du Test", "59990 Rivebelle"),
            children=(LetterChild(f"Enfant{number:04}", "6e 1"),),
        )
        for number in range(count)
    ]


def links_of(page: pypdf.PageObject) -> Iterator[str]:
    for annotation in page.annotations or ():
        yield annotation.get_object()["/A"]["/URI"]
