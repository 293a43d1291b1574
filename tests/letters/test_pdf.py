"""P-04, P-05, P-06 and the design of the letter, read back from the PDF itself."""

import io
import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pypdf
import pytest
import segno
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from idp.letters import glyphs, pdf, provisional
from idp.letters.pdf import Letter, LetterChild, LetterError, render

LONG = "W" * 200
NOEMIE = Letter(
    service_name="Scolarité Services",
    academy="Académie des Deux-Rives",
    place="Rivebelle",
    printed_on=date(2026, 11, 24),
    school_name="Collège des Tilleuls",
    school_address=("12 rue des Tilleuls", "59990 Rivebelle"),
    school_phone="03 53 01 40 40",
    recipient=("Madame Noémie Leroy Vandeputte", "Appartement 12", "Bâtiment B", "1 rue du Test", "59990 Rivebelle"),
    greeting="Madame",
    children=(LetterChild("Malo", "6e 1"),),
    ent_address="https://passerelle.exemple.fr",
    username="n.leroy4821",
    provisional_password="7K4MQX2P9RTD",
    valid_until=date(2027, 1, 23),
    help_phone="03 53 01 12 12",
    help_hours="Lundi à vendredi, 8 h à 18 h",
    dpo_mail="dpd@exemple.fr",
)
WORST = replace(
    NOEMIE,
    service_name=LONG,
    academy=LONG,
    place=LONG,
    school_name=LONG,
    school_address=(LONG,) * 9,
    school_phone=LONG,
    recipient=("Madame " + LONG, *(LONG,) * 7, "59990 " + LONG),
    greeting=LONG,
    children=(LetterChild(LONG, LONG),) * 12,
    ent_address="https://" + "m" * 61 + ".exemple.fr",
    username="w" * 64,
    help_phone=LONG,
    help_hours=LONG,
    dpo_mail=LONG,
)


class Piece(NamedTuple):
    """A run of text on a page: where it begins, in mm from the top left corner, and its size in points."""

    text: str
    x: float
    y: float
    size: float


def open_pdf(*letters: Letter) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(render(letters)))


def pieces(page: pypdf.PageObject) -> list[Piece]:
    found: list[Piece] = []

    def keep(text: str, cm: list[float], tm: list[float], _font: object, size: float) -> None:
        x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
        y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        if text.strip():
            found.append(Piece(text.strip(), x / 72 * 25.4, 297 - y / 72 * 25.4, size))

    page.extract_text(visitor_text=keep)
    return found


def text_of(page: pypdf.PageObject) -> str:
    """The text of a page, spaces and the marks of wrapping evened out."""
    return re.sub(r"\s+", " ", page.extract_text().replace("\u200b", ""))


def secrets_in(text: str) -> set[str]:
    """Every provisional password that the text of a page shows."""
    group = f"[{provisional.ALPHABET}]{{4}}"
    found = re.findall(rf"\b{group}\s*-\s*{group}\s*-\s*{group}\b", text)
    return {re.sub(r"[\s-]", "", secret) for secret in found}


def assert_intact(page: pypdf.PageObject) -> None:
    """All that a parent needs is there, everything is on the sheet, and the window shows the address alone."""
    text = text_of(page)
    for sentence in (
        "Votre accès à l’ENT, en cinq minutes",
        "Les cinq étapes",
        "Ce n’est pas votre enfant ?",
        "la CNIL.",
    ):
        assert sentence in text
    runs = pieces(page)
    assert all(5 <= run.x <= 205 and 5 <= run.y <= 290 for run in runs)
    window = [run for run in runs if run.x >= 88 and 40 <= run.y <= 93]
    assert all(104.9 <= run.x <= 190 and 55 <= run.y <= 79 for run in window)
    heights = sorted(run.y for run in window)  # the dots of Arabic letters are drawn apart, a little above or below
    assert sum(below - above > 2 for above, below in itertools.pairwise(heights)) < 6
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


def test_a_letter_says_what_a_parent_needs() -> None:
    (page,) = open_pdf(NOEMIE).pages
    text = text_of(page)
    for words in (
        "Scolarité Services",
        "Académie des Deux-Rives",
        "Rivebelle, le 24 novembre 2026",
        "Collège des Tilleuls 12 rue des Tilleuls 59990 Rivebelle Tél. 03 53 01 40 40",
        "MADAME NOEMIE LEROY VANDEPUTTE APPARTEMENT 12 BATIMENT B 1 RUE DU TEST 59990 RIVEBELLE",
        "Courrier personnel",
        "Madame, voici de quoi ouvrir votre compte de parent pour Malo (6e 1).",
        "https://passerelle.exemple.fr",
        "n.leroy4821",
        "À utiliser avant le 23 janvier 2027.",
        "Assistance aux familles : 03 53 01 12 12",
        "Lundi à vendredi, 8 h à 18 h. Ou le secrétariat",
        "Vos droits : dpd@exemple.fr, puis la CNIL.",
    ):
        assert words in text
    assert secrets_in(text) == {"7K4MQX2P9RTD"}
    assert_intact(page)


def test_each_language_takes_three_lines() -> None:
    runs = pieces(open_pdf(NOEMIE).pages[0])
    top = {name: next(run for run in runs if run.text.startswith(name)) for name in ("English", "Türkçe", "Português")}
    below = {"English": top["Türkçe"].y, "Türkçe": 250, "Português": 250}
    for name, first in top.items():
        own = [run for run in runs if first.y - 1 < run.y < below[name] - 1 and (run.x < 105) == (first.x < 105)]
        assert len({round(run.y) for run in own if run.size == first.size}) == 3, name


def test_everything_secret_is_below_the_first_fold() -> None:
    runs = pieces(open_pdf(NOEMIE).pages[0])
    private = [run for run in runs if run.text in {"n.leroy4821", "7K4M", "QX2P", "9RTD", "Malo"}]
    assert len(private) == 5
    assert all(run.y > 104 for run in private)


def test_the_pdf_can_be_read_aloud() -> None:
    root: dict[str, Any] = open_pdf(NOEMIE).root_object
    assert root["/Lang"] == "fr"
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    metadata = root["/Metadata"].get_data().decode()
    assert re.search(r"pdfuaid:part>\s*1\s*<", metadata)
    assert "Votre accès à l’ENT" in metadata


@time_machine.travel(datetime(2026, 11, 24, 8, 30, 5, 123456, tzinfo=UTC), tick=False)
def test_the_date_of_the_file_is_the_clock_s() -> None:
    reader = open_pdf(NOEMIE)
    assert reader.metadata is not None
    assert reader.metadata.creation_date == datetime(2026, 11, 24, 8, 30, 5, tzinfo=UTC)


def test_children_are_listed_in_a_sentence() -> None:
    three = (LetterChild("Malo", "6e 1"), LetterChild("Anne-Élisabeth", ""), LetterChild("Jean-Baptiste", "2de 7"))
    pages = open_pdf(replace(NOEMIE, children=three), replace(NOEMIE, children=())).pages
    assert "pour Malo (6e 1), Anne-Élisabeth et Jean-Baptiste (2de 7)." in text_of(pages[0])
    assert "voici de quoi ouvrir votre compte de parent." in text_of(pages[1])


def test_a_large_family_holds_in_two_lines() -> None:
    family = tuple(LetterChild(f"Marie-Élisabeth{rank}", "Terminale générale 12") for rank in range(12))
    (page,) = open_pdf(replace(NOEMIE, children=family)).pages
    assert_intact(page)
    sentence = re.search(r"pour (Marie-.*?) et (\d+) autres enfants\.", text_of(page))
    assert sentence is not None
    assert sentence[1].count("Marie-Élisabeth") + int(sentence[2]) == 12


@pytest.mark.parametrize(
    ("day", "written"),
    [
        (date(2026, 12, 1), "1er décembre 2026"),
        (date(2026, 8, 11), "11 août 2026"),
        (date(2027, 2, 21), "21 février 2027"),
    ],
)
def test_dates_are_french(day: date, written: str) -> None:
    (page,) = open_pdf(replace(NOEMIE, printed_on=day)).pages
    assert f"Rivebelle, le {written} " in text_of(page)


def test_what_is_empty_leaves_no_hole() -> None:
    bare = replace(NOEMIE, academy="", place="", school_address=(), school_phone="", greeting="")
    bare = replace(bare, help_phone="", help_hours="", dpo_mail="")
    (page,) = open_pdf(bare).pages
    text = text_of(page)
    assert "Le 24 novembre 2026" in text
    assert "Madame, Monsieur, voici" in text
    assert "Adressez-vous au secrétariat de l’établissement" in text
    assert "Vos droits : l’établissement, puis la CNIL." in text
    assert "Tél." not in text
    assert "Assistance aux familles" not in text
    assert_intact(page)


def test_p04_names_of_two_hundred_letters_leave_the_page_intact() -> None:
    (page,) = open_pdf(WORST).pages
    assert_intact(page)
    assert secrets_in(text_of(page)) == {"7K4MQX2P9RTD"}
    runs = pieces(page)
    assert any(run.text == "w" * 64 for run in runs)
    window = [run for run in runs if run.x >= 88 and 40 <= run.y <= 93]
    assert len(window) == 6
    # W is 0.93 em wide: 38 of them hold in 85 mm (241 pt) below 6.83 pt
    assert all(6 < run.size < 6.83 for run in window if len(run.text) == 38)


def test_p04_the_address_is_not_reduced_without_need() -> None:
    assert {run.size for run in pieces(open_pdf(NOEMIE).pages[0]) if run.x > 88 and 55 < run.y < 79} == {10.0}


@pytest.mark.parametrize("name", ["فاطمة الزهراء", "שרה לוי", "Ya\u202egnirts", "محمد" * 50])
def test_p04_a_name_from_right_to_left_leaves_the_sentence_alone(name: str) -> None:
    letter = replace(NOEMIE, recipient=(f"Madame {name}", *NOEMIE.recipient[1:]), children=(LetterChild(name, "6e 1"),))
    (page,) = open_pdf(letter).pages
    assert_intact(page)
    runs = pieces(page)
    before = next(run for run in runs if run.text.startswith("Madame, voici"))
    after = next(run for run in runs if run.text.startswith("6e 1"))
    assert after.y > before.y or after.x > before.x


def test_p04_a_missing_glyph_is_a_question_mark() -> None:
    letter = replace(NOEMIE, children=(LetterChild("漢字 Malo 😀", "6e\u0378"),), school_name="Lycée 漢")
    (page,) = open_pdf(letter).pages
    assert "pour ? Malo ? (6e?)." in text_of(page)
    assert "Lycée ?" in text_of(page)
    assert_intact(page)


@pytest.mark.parametrize(
    "name",
    ["\\", "a \\ b", "<b>Malo</b>", "#panic()", '#read("logo.svg")', "$x^2$", "*a* _b_", "@x", "= A", "`c`", "// d"],
)
def test_p04_markup_in_a_name_is_text(name: str) -> None:
    letter = replace(NOEMIE, children=(LetterChild(name, name),), school_name=name, recipient=(name, "59990 Rivebelle"))
    (page,) = open_pdf(letter).pages
    assert f"pour {name} ({name})." in text_of(page)
    assert name.upper() in text_of(page)
    assert_intact(page)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=220), st.text(max_size=60))
def test_p04_any_text_makes_one_page(name: str, more: str) -> None:
    letter = replace(
        NOEMIE,
        academy=more,
        place=more,
        school_name=name,
        school_address=(more, name),
        school_phone=more,
        recipient=("Madame " + name, more, name, "59990 " + more),
        greeting=more,
        children=(LetterChild(name, more), LetterChild(more, name)),
        help_phone=more,
        help_hours=name,
        dpo_mail=more,
    )
    assert len(open_pdf(letter).pages) == 1


def test_p04_every_character_of_the_fonts_is_drawn() -> None:
    """The typesetter refuses a missing glyph: what `glyphs` believes is put to it whole, 38 characters at a time."""
    held = [chr(point) for point in sorted(glyphs._covered()) if glyphs.printable(chr(point)) == chr(point)]
    assert len(held) > 3000
    lines = ["".join(held[start : start + 38]) for start in range(0, len(held), 38)]
    letters = [
        replace(NOEMIE, children=(LetterChild(line, ""),), recipient=(line, "59990 Rivebelle")) for line in lines
    ]
    assert len(open_pdf(*letters).pages) == len(lines)


def links_of(page: pypdf.PageObject) -> Iterator[str]:
    for annotation in page.annotations or ():
        yield annotation.get_object()["/A"]["/URI"]


def test_p05_the_code_and_the_link_are_the_ent_s_address_alone() -> None:
    code = segno.make("https://passerelle.exemple.fr", error="m", mask=3, micro=False, boost_error=False)
    assert pdf._qr_code(NOEMIE.ent_address) == code.svg_inline(border=4, dark="#20262b", light="#ffffff", omitsize=True)
    (page,) = open_pdf(NOEMIE).pages
    assert list(links_of(page)) == ["https://passerelle.exemple.fr"]


def test_p05_the_code_is_drawn_from_nothing_but_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    draw = pdf._qr_code

    def watched(text: str) -> str:
        drawn.append(text)
        return draw(text)

    monkeypatch.setattr(pdf, "_qr_code", watched)
    render([*letters_of(5), replace(NOEMIE, ent_address="http://localhost:8001/ent")])
    assert sorted(drawn) == ["http://localhost:8001/ent", "https://passerelle.exemple.fr"]


@pytest.mark.parametrize(
    "address",
    [
        "https://passerelle.exemple.fr/?mdp=7K4MQX2P9RTD",
        "https://passerelle.exemple.fr/#7K4MQX2P9RTD",
        "https://n.leroy4821:7K4MQX2P9RTD@passerelle.exemple.fr",
        "javascript:alert(1)",
        "passerelle.exemple.fr",
        "https://passerelle.exemple.fr\n",
        "https://" + "a" * 80 + ".fr",
        "",
    ],
)
def test_p05_an_address_that_could_carry_a_secret_is_refused(address: str) -> None:
    with pytest.raises(LetterError, match=r"n\.leroy4821.*address"):
        render([replace(NOEMIE, ent_address=address)])


def test_p06_page_n_is_letter_n_and_no_other() -> None:
    letters = letters_of(40)
    started = time.process_time()  # of this process alone, so that a busy machine does not fail the test
    reader = open_pdf(*letters)
    assert time.process_time() - started < 3
    assert len(reader.pages) == 40
    for page, letter in zip(reader.pages, letters, strict=True):
        text = text_of(page)
        number = letter.username.removeprefix("parent")
        assert set(re.findall(r"(?:parent|FAMILLE|Enfant)(\d{4})", text)) == {number}
        assert len(re.findall(r"(?:parent|FAMILLE|Enfant)\d{4}", text)) == 3
        assert secrets_in(text) == {letter.provisional_password}


def test_p06_the_hardest_letters_do_not_move_their_neighbours() -> None:
    letters = [replace(NOEMIE, username="before"), WORST, replace(NOEMIE, username="after")]
    first, second, third = open_pdf(*letters).pages
    assert "before" in text_of(first)
    assert "w" * 64 in text_of(second)
    assert "after" in text_of(third)


def test_p06_a_letter_that_overflows_is_named_and_nothing_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for file in pdf._TEMPLATE.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    template = tmp_path / "letter.typ"
    # a layout where the second letter alone is too tall
    grown = 'v(if d.username == "parent0001" { 190mm } else { 88mm })'
    template.write_text(pdf._TEMPLATE.read_text().replace("v(88mm)", grown))
    monkeypatch.setattr(pdf, "_TEMPLATE", template)
    letters = letters_of(3)
    with pytest.raises(LetterError, match="the letter of parent0001 does not hold on one page") as refused:
        render(letters)
    assert not any(letter.provisional_password in str(refused.value) for letter in letters)


def test_no_letter_is_an_error() -> None:
    with pytest.raises(LetterError, match="no letter"):
        render([])


@pytest.mark.parametrize("secret", ["", "7K4MQX2P9RT", "7K4M-QX2P-9RTD", "7K4MQX2P9RTI", "7k4mqx2p9rtd"])
def test_a_secret_that_is_not_ours_is_refused_and_not_told(secret: str) -> None:
    with pytest.raises(LetterError, match=r"n\.leroy4821") as refused:
        render([replace(NOEMIE, provisional_password=secret)])
    assert not secret or secret not in str(refused.value)


@pytest.mark.parametrize("username", ["", "漢", "a\nb", "a\u202eb", " a"])
def test_an_identifier_that_cannot_be_read_is_refused(username: str) -> None:
    with pytest.raises(LetterError, match="identifier"):
        render([replace(NOEMIE, username=username)])


def test_a_letter_without_recipient_is_refused() -> None:
    with pytest.raises(LetterError, match="recipient"):
        render([replace(NOEMIE, recipient=("", " "))])


def test_a_letter_does_not_tell_its_secret_when_it_is_logged() -> None:
    assert "7K4MQX2P9RTD" not in repr(NOEMIE)


def test_p01_nothing_is_written_to_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    render([NOEMIE])
    assert list(tmp_path.rglob("*")) == []
