"""P-01, P-05 and the layout of the letter, read from the PDF; and refused letters."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import segno
import time_machine

from idp.letter_languages import LANGUAGES
from idp.letters.render import pdf
from idp.letters.render.pdf import LetterChild, LetterError, render
from tests.letters.read_back import (
    NOEMIE,
    WORST,
    assert_intact,
    letters_of,
    links_of,
    open_pdf,
    pieces,
    secrets_in,
    text_of,
)
from tests.rows import each_row


def test_a_letter_contains_the_required_texts() -> None:
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


@each_row(
    ("languages", "sizes"),
    [(("tr",), {12.0}), (("ar", "en"), {10.5}), (("pt", "tr", "en"), {8.8}), ((), set())],
)
def test_the_chosen_languages_are_printed_in_their_order_and_fewer_ones_larger(
    languages: tuple[str, ...], sizes: set[float]
) -> None:
    page = open_pdf(replace(NOEMIE, languages=languages)).pages[0]
    names = {"en": "English", "tr": "Türkçe", "pt": "Português"}
    first = {tag: [run for run in pieces(page) if run.text.startswith(name)] for tag, name in names.items()}
    assert {tag for tag, runs in first.items() if runs} == set(languages) & set(names)
    printed = sorted((round(run.y), run.x, tag) for tag, [run] in ((t, r) for t, r in first.items() if r))
    assert [tag for *_, tag in printed] == [tag for tag in languages if tag in names]
    assert any("\u0600" <= char <= "\u06ff" for char in text_of(page)) == ("ar" in languages)
    sizes = {runs[0].size for runs in first.values() if runs}
    assert sizes == (
        {12.0} if len(languages) == 1 else {10.5} if len(languages) == 2 else {8.8} if languages else set()
    )
    assert_intact(page)


def test_a_letter_with_each_number_of_languages_fits_on_its_page() -> None:
    for count in range(len(LANGUAGES) + 1):
        assert len(open_pdf(replace(WORST, languages=tuple(LANGUAGES)[:count])).pages) == 1


def test_secrets_are_below_the_first_fold() -> None:
    runs = pieces(open_pdf(NOEMIE).pages[0])
    private = [run for run in runs if run.text in {"n.leroy4821", "7K4M", "QX2P", "9RTD", "Malo"}]
    assert len(private) == 5
    assert all(run.y > 104 for run in private)


def test_the_pdf_is_accessible() -> None:
    root: dict[str, Any] = open_pdf(NOEMIE).root_object
    assert root["/Lang"] == "fr"
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    metadata = root["/Metadata"].get_data().decode()
    assert re.search(r"pdfuaid:part>\s*1\s*<", metadata)
    assert "Votre accès à l’ENT" in metadata


@time_machine.travel(datetime(2026, 11, 24, 8, 30, 5, 123456, tzinfo=UTC), tick=False)
def test_the_file_date_comes_from_the_clock() -> None:
    reader = open_pdf(NOEMIE)
    assert reader.metadata is not None
    assert reader.metadata.creation_date == datetime(2026, 11, 24, 8, 30, 5, tzinfo=UTC)


def test_children_are_listed_in_a_sentence() -> None:
    three = (LetterChild("Malo", "6e 1"), LetterChild("Anne-Élisabeth", ""), LetterChild("Jean-Baptiste", "2de 7"))
    pages = open_pdf(replace(NOEMIE, children=three), replace(NOEMIE, children=())).pages
    assert "pour Malo (6e 1), Anne-Élisabeth et Jean-Baptiste (2de 7)." in text_of(pages[0])
    assert "voici de quoi ouvrir votre compte de parent." in text_of(pages[1])


def test_a_large_family_fits_in_two_lines() -> None:
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
def test_dates_are_written_in_french(day: date, written: str) -> None:
    (page,) = open_pdf(replace(NOEMIE, printed_on=day)).pages
    assert f"Rivebelle, le {written} " in text_of(page)


def test_empty_fields_leave_no_gap() -> None:
    bare = replace(NOEMIE, academy="", place="", school_postal_address=(), school_phone="", greeting="")
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


@pytest.mark.row("P-05")
def test_the_qr_code_and_the_link_contain_only_the_ent_url() -> None:
    code = segno.make("https://passerelle.exemple.fr", error="m", mask=3, micro=False, boost_error=False)
    assert pdf._qr_code(NOEMIE.ent_url) == code.svg_inline(border=4, dark="#20262b", light="#ffffff", omitsize=True)
    (page,) = open_pdf(NOEMIE).pages
    assert list(links_of(page)) == ["https://passerelle.exemple.fr"]


@pytest.mark.row("P-05")
def test_the_qr_code_encodes_only_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    draw = pdf._qr_code

    def watched(text: str) -> str:
        drawn.append(text)
        return draw(text)

    monkeypatch.setattr(pdf, "_qr_code", watched)
    render([*letters_of(5), replace(NOEMIE, ent_url="http://localhost:8001/ent")])
    assert sorted(drawn) == ["http://localhost:8001/ent", "https://passerelle.exemple.fr"]


@pytest.mark.row("P-05")
@each_row(
    "url",
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
def test_an_ent_url_that_could_carry_a_secret_is_refused(url: str) -> None:
    with pytest.raises(LetterError, match=r"n\.leroy4821.*URL"):
        render([replace(NOEMIE, ent_url=url)])


def test_an_empty_list_of_letters_is_an_error() -> None:
    with pytest.raises(LetterError, match="no letter"):
        render([])


@each_row("secret", ["", "7K4MQX2P9RT", "7K4M-QX2P-9RTD", "7K4MQX2P9RTI", "7k4mqx2p9rtd"])
def test_a_malformed_secret_is_refused_and_not_printed(secret: str) -> None:
    with pytest.raises(LetterError, match=r"n\.leroy4821") as refused:
        render([replace(NOEMIE, provisional_password=secret)])
    assert not secret or secret not in str(refused.value)


@each_row("username", ["", "漢", "a\nb", "a\u202eb", " a"])
def test_an_unreadable_identifier_is_refused(username: str) -> None:
    with pytest.raises(LetterError, match="identifier"):
        render([replace(NOEMIE, username=username)])


def test_a_letter_without_recipient_is_refused() -> None:
    with pytest.raises(LetterError, match="recipient"):
        render([replace(NOEMIE, recipient=("", " "))])


def test_a_logged_letter_hides_its_secret() -> None:
    assert "7K4MQX2P9RTD" not in repr(NOEMIE)


@pytest.mark.row("P-01")
def test_rendering_writes_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    render([NOEMIE])
    assert list(tmp_path.rglob("*")) == []
