"""P-04 and P-06: with any name, a letter is one complete page."""

import itertools
import re
import time
import unicodedata
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from idp.languages import OF_LETTERS
from idp.letters.render import pdf, postal
from idp.letters.render.pdf import LetterChild, LetterError, TooLongError, UnknownGlyphError, render
from idp.letters.render.postal import address_block
from tests.letters.read_back import (
    COMPOUND,
    LONG,
    NOEMIE,
    WORST,
    assert_intact,
    letters_of,
    open_pdf,
    pieces,
    secrets_in,
    text_of,
)
from tests.rows import each_row


@pytest.mark.row("P-04")
def test_the_longest_texts_leave_the_page_intact() -> None:
    (page,) = open_pdf(WORST).pages
    assert_intact(page)
    assert secrets_in(text_of(page)) == {"7K4MQX2P9RTD"}
    assert any(run.text == "w" * 64 for run in pieces(page))


def letters_in(text: str) -> Counter[str]:
    """Count the letters of a text without their marks and dots, which are runs of their own in a PDF."""
    return Counter(char for char in unicodedata.normalize("NFKD", text) if char.isalnum() and char < "\u0590")


SIX_LINES = (
    "chez Monsieur Jean-Baptiste Leroy-Vandeputte",
    "Appartement 1234, escalier C, étage 12",
    "Résidence les Grands Tilleuls du Bord de l’Eau",
    "Bâtiment des Acacias numéro 12 bis",
    "1234 avenue du Général de Gaulle prolongée",
    "59990 SAINT REMY EN BOUZEMONT SAINT GENEST ET ISSON",
)


@pytest.mark.row("P-04")
@each_row(
    "name",
    [
        COMPOUND,
        "x" * 60,
        "Ж" * 45,
        "Nguyễn Thị Ngọc Ánh-Nguyệt Tuyết-Sương " * 2,
        "عبدالرحمن محمد الأمين بن عبدالعزيز الزهراني فاطمة",
        "Надія-Олександра Володимирівна Шевченко-Ковальчук-Бондаренко",
    ],
)
def test_a_long_name_and_a_long_address_are_printed_whole(name: str) -> None:
    name = name.strip()
    letter = replace(NOEMIE, recipient=(f"Madame {name}", *SIX_LINES), children=(LetterChild(name, "6e 1"),))
    (page,) = open_pdf(letter).pages
    assert_intact(page)
    runs = pieces(page)
    window = [run for run in runs if run.x >= 88 and 40 <= run.y <= 93]
    block = address_block(letter.recipient)
    assert block is not None
    assert letters_in("".join(run.text for run in window)) == letters_in("".join(block.rows))
    assert all(run.size >= 8 for run in window)
    assert all(run.x + postal.width(run.text) * run.size / 72 * 25.4 <= 190.5 for run in window)
    sentence = [run for run in runs if 104 < run.y < 122 and run.size in {8.0, 9.0, 10.0}]
    assert letters_in(name) <= letters_in("".join(run.text for run in sentence))


@pytest.mark.row("P-04")
@each_row(
    ("fault", "changes"),
    [
        (TooLongError, {"recipient": (f"Madame {LONG}", *SIX_LINES)}),
        (TooLongError, {"recipient": (f"Madame {'Ж' * 60}", *SIX_LINES)}),
        (TooLongError, {"recipient": ("Madame", *SIX_LINES, *SIX_LINES)}),
        (TooLongError, {"children": (LetterChild(LONG, LONG),)}),
        (TooLongError, {"school_postal_address": (LONG,) * 4}),
        (UnknownGlyphError, {"recipient": ("Madame 王小明", *SIX_LINES)}),
        (UnknownGlyphError, {"recipient": ("Madame Wang", "3 rue 漢", "59990 Rivebelle")}),
        (UnknownGlyphError, {"children": (LetterChild("Malo 😀", "6e 1"),)}),
        (UnknownGlyphError, {"children": (LetterChild("Malo", "6e\u0378"),)}),
    ],
)
def test_letters_without_room_or_a_glyph_are_refused_with_all_others_of_their_kind(
    fault: type[TooLongError | UnknownGlyphError], changes: dict[str, Any]
) -> None:
    letters = letters_of(4)
    letters[1:3] = [replace(letter, **changes) for letter in letters[1:3]]
    with pytest.raises(fault) as refused:
        render(letters)
    assert refused.value.usernames == ("parent0001", "parent0002")


@pytest.mark.row("P-04")
def test_what_a_parent_reads_is_never_smaller_than_eight_points() -> None:
    """The name, the postal address, the ENT's URL, the steps (9.5 pt) and the languages wrap instead."""
    (page,) = open_pdf(replace(WORST, languages=tuple(OF_LETTERS))).pages
    runs = pieces(page)
    help_line = next(run.y for run in runs if run.text.startswith("Une difficulté"))
    assert min(run.size for run in runs if 55 < run.y < help_line and (run.y > 60 or run.x > 88)) >= 8
    first_step = next(run.y for run in runs if run.text.startswith("Photographiez le code"))
    languages = next(run.y for run in runs if run.text == "English")
    assert {run.size for run in runs if first_step <= run.y < languages - 3} == {9.5}
    assert WORST.ent_url in re.sub(r"\s", "", text_of(page))


@pytest.mark.row("P-04")
def test_the_name_of_the_school_is_never_smaller_than_seven_points() -> None:
    runs = pieces(open_pdf(WORST).pages[0])
    assert min(run.size for run in runs if run.x < 88 and 26 < run.y < 59) >= 7


@pytest.mark.row("P-04")
def test_the_postal_address_is_reduced_only_when_necessary() -> None:
    assert {run.size for run in pieces(open_pdf(NOEMIE).pages[0]) if run.x > 88 and 55 < run.y < 79} == {10.0}


@pytest.mark.row("P-04")
def test_a_right_to_left_name_does_not_reorder_the_sentence() -> None:
    letters = [
        replace(NOEMIE, recipient=(f"Madame {name}", *NOEMIE.recipient[1:]), children=(LetterChild(name, "6e 1"),))
        for name in ("فاطمة الزهراء", "پریسا کریمی", "Ya\u202egnirts", "محمد" * 20)
    ]
    for page in open_pdf(*letters).pages:
        assert_intact(page)
        runs = pieces(page)
        before = next(run for run in runs if run.text.startswith("Madame, voici"))
        after = next(run for run in runs if run.text.startswith("6e 1"))
        assert after.y > before.y or after.x > before.x


@pytest.mark.row("P-04")
def test_a_missing_glyph_in_the_texts_of_the_sender_is_left_out() -> None:
    (page,) = open_pdf(replace(NOEMIE, school_name="Lycée 漢 Curie", school_phone="☎\u0378 03")).pages
    assert "Lycée Curie" in " ".join(text_of(page).split())
    assert_intact(page)


@pytest.mark.row("P-04")
def test_markup_in_a_name_is_printed_as_text() -> None:
    names = (
        "\\",
        "a \\ b",
        "<b>Malo</b>",
        "#panic()",
        '#read("logo.svg")',
        "$x^2$",
        "*a* _b_",
        "@x",
        "= A",
        "`c`",
        "// d",
    )
    letters = [
        replace(NOEMIE, children=(LetterChild(name, name),), school_name=name, recipient=(name, "59990 Rivebelle"))
        for name in names
    ]
    for name, page in zip(names, open_pdf(*letters).pages, strict=True):
        assert f"pour {name} ({name})." in text_of(page)
        assert name.upper() in text_of(page)
        assert_intact(page)


@pytest.mark.row("P-04")
@settings(max_examples=25, deadline=None)
@given(st.text(max_size=220), st.text(max_size=60))
def test_any_text_makes_one_page_or_is_refused(name: str, more: str) -> None:
    letter = replace(
        NOEMIE,
        academy=more,
        town=more,
        school_name=name,
        school_postal_address=(more, name),
        school_phone=more,
        recipient=("Madame " + name, more, name, "59990 " + more),
        greeting=more,
        children=(LetterChild(name, more), LetterChild(more, name)),
        help_phone=more,
        help_hours=name,
        dpo_mail=more,
    )
    with suppress(TooLongError, UnknownGlyphError):
        assert len(open_pdf(letter).pages) == 1


@pytest.mark.row("P-04")
def test_every_character_of_the_fonts_is_drawn() -> None:
    """Typeset all characters that `glyphs` accepts, 38 at a time: the typesetter refuses a missing glyph."""
    held = [
        chr(point)
        for point in sorted(postal._code_points())
        if postal.printable(chr(point)) == chr(point) and postal.is_whole(chr(point))
    ]
    assert len(held) > 3000
    lines = ["".join(held[start : start + 38]) for start in range(0, len(held), 38)]
    letters = [
        replace(NOEMIE, children=(LetterChild(first, second),), recipient=(first, second, "59990 Rivebelle"))
        for first, second in itertools.zip_longest(lines[::2], lines[1::2], fillvalue="")
    ]
    assert len(open_pdf(*letters).pages) == len(letters)


@pytest.mark.row("P-06")
@pytest.mark.parametrize("count", [12, pytest.param(40, marks=pytest.mark.long)])
def test_each_page_contains_exactly_one_letter(count: int) -> None:
    letters = letters_of(count)
    started = time.process_time()  # CPU time, so that a loaded machine does not fail the test
    reader = open_pdf(*letters)
    assert time.process_time() - started < count / 13
    assert len(reader.pages) == count
    for page, letter in zip(reader.pages, letters, strict=True):
        text = text_of(page)
        number = letter.username.removeprefix("parent")
        assert set(re.findall(r"(?:parent|FAMILLE|Enfant)(\d{4})", text)) == {number}
        assert len(re.findall(r"(?:parent|FAMILLE|Enfant)\d{4}", text)) == 3
        assert secrets_in(text) == {letter.provisional_password}


@pytest.mark.row("P-06")
def test_an_oversized_letter_does_not_move_its_neighbours() -> None:
    letters = [replace(NOEMIE, username="before"), WORST, replace(NOEMIE, username="after")]
    first, second, third = open_pdf(*letters).pages
    assert "before" in text_of(first)
    assert "w" * 64 in text_of(second)
    assert "after" in text_of(third)


@pytest.mark.row("P-06")
def test_a_letter_that_overflows_is_named_and_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for file in pdf._TEMPLATE.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    template = tmp_path / "letter.typ"
    # a layout in which only the second letter is too tall
    grown = 'v(if d.username == "parent0001" { 190mm } else { 88mm })'
    template.write_text(pdf._TEMPLATE.read_text().replace("v(88mm)", grown))
    monkeypatch.setattr(pdf, "_TEMPLATE", template)
    letters = letters_of(3)
    with pytest.raises(LetterError, match="the letter of parent0001 does not fit on its page") as refused:
        render(letters)
    assert not any(letter.provisional_password in str(refused.value) for letter in letters)
