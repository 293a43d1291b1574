"""Slips: P-04, P-05 and P-06 on paper that is cut in three."""

import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pypdf
import pytest
import typst

from idp.languages import OF_LETTERS
from idp.letters.render import pdf, typesetting
from idp.letters.render.pdf import Letter, LetterChild, LetterError, TooLongError
from tests.letters.read_back import (
    COMPOUND,
    LONG,
    LYCEE,
    NOEMIE,
    SIGN_IN,
    TEXTS,
    TWO_ENTS,
    WORST,
    letters_of,
    links_of,
    pieces,
    secrets_in,
    text_of,
)
from tests.rows import each_row

TALL = 297 / typesetting.PER_SHEET


def open_slips(*letters: Letter) -> pypdf.PdfReader:
    return pypdf.PdfReader(BytesIO(typesetting.render_slips(letters)))


def said_on(page: pypdf.PageObject) -> list[str]:
    thirds: list[list[str]] = [[] for _ in range(typesetting.PER_SHEET)]
    for run in pieces(page):
        thirds[int(run.y // TALL)].append(run.text)
    return [" ".join(runs) for runs in thirds]


def test_a_slip_contains_the_required_texts() -> None:
    (page,) = open_slips(NOEMIE).pages
    text = text_of(page)
    for words in (
        "Collège des Tilleuls — Tél. 03 53 01 40 40",
        "Madame Noémie Leroy Vandeputte",
        "Votre compte de parent sur l’ENT, le site internet de votre école pour Malo (6e 1).",
        "puis touchez Se connecter et Parent.",
        "Ou touchez son lien, puis Confirmer.",
        "https://passerelle.exemple.fr",
        "n.leroy4821",
        "À utiliser avant le 23 janvier 2027.",
        "Une difficulté ? Assistance aux familles : 03 53 01 12 12 (Lundi à vendredi, 8 h à 18 h).",
        "Vos droits : dpd@exemple.fr, puis la CNIL.",
    ):
        assert words in text
    assert secrets_in(text) == {"7K4MQX2P9RTD"}
    assert list(links_of(page)) == ["https://passerelle.exemple.fr"], "P-05"


def test_a_slip_without_a_help_line_refers_to_the_school() -> None:
    (page,) = open_slips(replace(NOEMIE, help_phone="", help_hours="", dpo_mail="", school_phone="")).pages
    assert "Une difficulté ? Le secrétariat de l’établissement" in text_of(page)
    assert "Tél." not in text_of(page)


def test_slips_are_accessible() -> None:
    root: dict[str, Any] = open_slips(*letters_of(3)).root_object
    assert root["/Lang"] == "fr"
    assert re.search(r"pdfuaid:part>\s*1\s*<", root["/Metadata"].get_data().decode())


@pytest.mark.row("P-06")
def test_each_slip_contains_exactly_one_person() -> None:
    letters = letters_of(7)
    reader = open_slips(*letters)
    assert len(reader.pages) == 3
    texts = [text for page in reader.pages for text in said_on(page)]
    for letter, text in zip(letters, texts, strict=False):
        number = letter.username.removeprefix("parent")
        assert re.findall(r"(?:parent|Famille|Enfant)(\d{4})", text).count(number) == 3
        assert set(re.findall(r"(?:parent|Famille|Enfant)(\d{4})", text)) == {number}
        assert secrets_in(text) == {letter.provisional_password}
    assert texts[7:] == ["", ""]


@pytest.mark.row("P-04")
def test_oversized_slips_stay_in_their_third() -> None:
    arabic = replace(
        NOEMIE,
        recipient=("Madame فاطمة الزهراء", "59990 Rivebelle"),
        children=tuple(LetterChild(f"Marie-Élisabeth{rank}", "Terminale 12") for rank in range(12)),
    )
    (page,) = open_slips(replace(NOEMIE, username="before"), WORST, arabic).pages
    first, second, third = said_on(page)
    assert ["before" in first, "w" * 64 in second, "autres enfants" in third] == [True] * 3
    for rank, text in enumerate((first, second, third)):
        assert secrets_in(text) == {"7K4MQX2P9RTD"}
        runs = [run for run in pieces(page) if int(run.y // TALL) == rank]
        assert all(9 <= run.x <= 201 for run in runs)
        assert all(rank * TALL + 4 < run.y < (rank + 1) * TALL - 1 for run in runs)


@each_row(
    ("languages", "key"), [(tuple(OF_LETTERS), "short"), (("uk",), "line"), (("zh-Hans", "tr"), "line"), ((), "")]
)
def test_slips_carry_the_languages(languages: tuple[str, ...], key: str) -> None:
    (page,) = open_slips(replace(NOEMIE, languages=languages)).pages
    text = text_of(page)
    for tag in TEXTS.keys() - {"fr", "ar"}:
        assert (f"{TEXTS[tag]['name']} {TEXTS[tag][key or 'line']}" in text) == (tag in languages)
    assert any("\u0600" <= char <= "\u06ff" for char in text) == ("ar" in languages)


def test_the_names_and_the_languages_of_a_slip_have_eight_points_at_least() -> None:
    long = replace(
        NOEMIE, recipient=(f"Madame {COMPOUND}", "59990 Rivebelle"), children=(LetterChild(COMPOUND, "6e 1"),)
    )
    (page,) = open_slips(replace(long, languages=tuple(OF_LETTERS))).pages
    runs = pieces(page)
    help_line = next(run.y for run in runs if run.text.startswith("Une difficulté"))
    assert min(run.size for run in runs if run.y < help_line - 1) >= 8


def test_a_slip_names_the_children_of_each_ent() -> None:
    (page,) = open_slips(TWO_ENTS).pages
    text = text_of(page)
    assert "Pour Malo : https://passerelle.exemple.fr Pour Zoé : https://lycee.exemple.fr" in text
    assert "1re adresse 2e adresse" in text
    assert list(links_of(page)) == [SIGN_IN, LYCEE.sign_in_url]


@pytest.mark.row("P-04")
def test_a_name_without_room_on_a_slip_is_refused() -> None:
    letters = [NOEMIE, replace(NOEMIE, username="long", recipient=(LONG, "59990 Rivebelle"))]
    with pytest.raises(TooLongError) as refused:
        typesetting.render_slips(letters)
    assert refused.value.usernames == ("long",)


@pytest.mark.row("P-06")
def test_a_misplaced_slip_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for file in typesetting._TEMPLATE.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    template = tmp_path / "strip.typ"
    source = template.read_text()
    # a layout with two slips on a sheet: the third is on the second page
    template.write_text(source.replace("#let per-sheet = 3", "#let per-sheet = 2"))
    monkeypatch.setattr(typesetting, "_TEMPLATE", template)
    with pytest.raises(LetterError, match="the letter of parent0002 does not fit") as refused:
        typesetting.render_slips(letters_of(5))
    assert refused.value.usernames == ("parent0002",)


@pytest.mark.parametrize("template", ["letter.typ", "strip.typ"])
def test_template_character_widths_match_the_font(template: str) -> None:
    assert "mono-size" in (pdf._TEMPLATE.parent / template).read_text()
    source = '#import "common.typ": *\n#context [#metadata(measure(text(size: 10pt, mono("0wM4"))).width.pt()) <w>]'
    data = json.dumps(pdf.data_of([replace(NOEMIE, school_name=LONG)]))
    compiler = typst.Compiler(
        source.encode(), root=pdf._TEMPLATE.parent, font_paths=pdf._fonts(), ignore_system_fonts=True,
        sys_inputs={"data": data},
    )  # fmt: skip
    (width,) = json.loads(compiler.query("<w>", field="value"))
    assert width <= 4 * 10 * 0.6021
