"""Slips: P-04, P-05 and P-06 on paper that is cut in four."""

import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pypdf
import pytest
import typst

from idp.letters.render import pdf, slips
from idp.letters.render.pdf import Letter, LetterChild, LetterError
from tests.letters.read_back import LONG, NOEMIE, WORST, letters_of, links_of, pieces, secrets_in, text_of

TALL = 297 / slips.PER_SHEET


def open_slips(*letters: Letter) -> pypdf.PdfReader:
    return pypdf.PdfReader(BytesIO(slips.render(letters)))


def said_on(page: pypdf.PageObject) -> list[str]:
    """The text of each quarter of a page, from the top."""
    quarters: list[list[str]] = [[] for _ in range(slips.PER_SHEET)]
    for run in pieces(page):
        quarters[int(run.y // TALL)].append(run.text)
    return [" ".join(runs) for runs in quarters]


def test_a_slip_contains_the_required_texts() -> None:
    (page,) = open_slips(NOEMIE).pages
    text = text_of(page)
    for words in (
        "Collège des Tilleuls — Tél. 03 53 01 40 40",
        "Madame Noémie Leroy Vandeputte",
        "Votre compte de parent pour Malo (6e 1).",
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
    letters = letters_of(10)
    reader = open_slips(*letters)
    assert len(reader.pages) == 3
    texts = [text for page in reader.pages for text in said_on(page)]
    for letter, text in zip(letters, texts, strict=False):
        number = letter.username.removeprefix("parent")
        assert re.findall(r"(?:parent|Famille|Enfant)(\d{4})", text).count(number) == 3
        assert set(re.findall(r"(?:parent|Famille|Enfant)(\d{4})", text)) == {number}
        assert secrets_in(text) == {letter.provisional_password}
    assert texts[10:] == ["", ""]


@pytest.mark.row("P-04")
def test_oversized_slips_stay_in_their_quarter() -> None:
    arabic = replace(
        NOEMIE,
        recipient=("Madame فاطمة الزهراء", "59990 Rivebelle"),
        children=tuple(LetterChild(f"Marie-Élisabeth{rank}", "Terminale 12") for rank in range(12)),
    )
    letters = [replace(NOEMIE, username="before"), WORST, arabic, replace(NOEMIE, username="after")]
    (page,) = open_slips(*letters).pages
    first, second, third, fourth = said_on(page)
    assert ["before" in first, "w" * 64 in second, "autres enfants" in third, "after" in fourth] == [True] * 4
    for rank, text in enumerate((first, second, third, fourth)):
        assert secrets_in(text) == {"7K4MQX2P9RTD"}
        runs = [run for run in pieces(page) if int(run.y // TALL) == rank]
        assert all(9 <= run.x <= 201 for run in runs)
        assert all(rank * TALL + 4 < run.y < (rank + 1) * TALL - 1 for run in runs)


@pytest.mark.row("P-06")
def test_a_misplaced_slip_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for file in slips._TEMPLATE.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    template = tmp_path / "strip.typ"
    source = template.read_text()
    # a layout with three slips on a sheet: the fourth is on the second page
    template.write_text(source.replace("#let per-sheet = 4", "#let per-sheet = 3"))
    monkeypatch.setattr(slips, "_TEMPLATE", template)
    with pytest.raises(LetterError, match="the letter of parent0003 does not fit") as refused:
        slips.render(letters_of(5))
    assert refused.value.username == "parent0003"


def test_an_invalid_slip_is_refused_like_a_letter() -> None:
    with pytest.raises(LetterError, match="identifier"):
        slips.render([replace(NOEMIE, username="a\nb")])
    with pytest.raises(LetterError, match="no letter"):
        slips.render([])


@pytest.mark.parametrize("template", ["letter.typ", "strip.typ"])
def test_template_character_widths_match_the_font(template: str) -> None:
    """The character widths in the templates are those of the font."""
    assert "mono-size" in (pdf._TEMPLATE.parent / template).read_text()
    source = '#import "common.typ": *\n#context [#metadata(measure(text(size: 10pt, mono("0wM4"))).width.pt()) <w>]'
    data = json.dumps({"letters": [pdf._page(replace(NOEMIE, school_name=LONG))], "codes": {}})
    compiler = typst.Compiler(
        source.encode(), root=pdf._TEMPLATE.parent, font_paths=pdf._fonts(), ignore_system_fonts=True,
        sys_inputs={"data": data},
    )  # fmt: skip
    (width,) = json.loads(compiler.query("<w>", field="value"))
    assert width <= 4 * 10 * 0.6021
