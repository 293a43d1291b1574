"""P-01, P-05 and the layout of the letter, read from the PDF; and refused letters."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pypdf
import pytest
import segno
import time_machine
from fontTools.ttLib import TTFont

from idp.languages import OF_LETTERS
from idp.letters.render import pdf, postal
from idp.letters.render.pdf import Letter, LetterChild, LetterError, render
from tests.letters.chinese_font import characters
from tests.letters.read_back import (
    LYCEE,
    NOEMIE,
    SIGN_IN,
    TEXTS,
    TWO_ENTS,
    WORST,
    assert_intact,
    letters_of,
    links_of,
    open_pdf,
    pieces,
    secrets_in,
    text_of,
    texts,
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
        "Lundi à vendredi, 8 h à 18 h. Ou le secrétariat : il imprime un nouveau courrier. L’ancien ne marche plus.",
        "Vos droits : dpd@exemple.fr, puis la CNIL.",
    ):
        assert words in text
    assert secrets_in(text) == {"7K4MQX2P9RTD"}
    assert_intact(page)


def test_the_steps_have_one_numbering_in_readable_type() -> None:
    (page,) = open_pdf(NOEMIE).pages
    runs = pieces(page)
    assert [run.text for run in runs if run.text in "12345" and run.y > 104] == ["1", "2", "3", "4", "5"]
    top = next(run.y for run in runs if run.text.startswith("Les cinq étapes"))
    steps = [run for run in runs if top + 8 < run.y < 215 and 8.8 < run.size < 11]
    assert {run.size for run in steps} == {9.5}
    printed = " ".join(run.text for run in steps)
    for words in (
        "Se connecter et Parent .",
        "code à six chiffres, puis Continuer . Ou touchez son lien, puis Confirmer .",
    ):
        assert words in printed


def test_letters_without_a_choice_have_eight_languages_in_few_lines() -> None:
    (page,) = open_pdf(NOEMIE).pages
    text = text_of(page)
    assert len(OF_LETTERS) == 8
    for tag in OF_LETTERS.keys() - {"ar"}:
        assert _bare(f"{TEXTS[tag]['name']} {TEXTS[tag]['line']}") in _bare(text)
    assert "\u0627\u0644" in unicodedata.normalize("NFKC", text)
    assert_intact(page)


def test_one_or_two_chosen_languages_have_a_page_of_their_own() -> None:
    choices = [("ar",), ("en", "es"), ("zh-Hans", "pt"), ("uk", "ro"), ("tr", "ar")]
    pages = open_pdf(*(replace(TWO_ENTS, languages=tags) for tags in (*choices, ("en", "tr", "ro")))).pages
    assert len(pages) == 2 * len(choices) + 1
    assert_intact(pages[-1])
    for tag in ("en", "tr", "ro"):
        assert f"{TEXTS[tag]['name']} {TEXTS[tag]['line']}" in text_of(pages[-1])
    for rank, tags in enumerate(choices):
        first, second = pages[2 * rank], pages[2 * rank + 1]
        assert_translation(second, tags)
        if tags == ("uk", "ro"):  # it takes 0.2 s to read a page
            for tag in TEXTS.keys() - {"fr", "ar"}:
                assert (f"{TEXTS[tag]['name']} {TEXTS[tag]['overleaf']}" in text_of(first)) == (tag in tags)
            assert secrets_in(text_of(first)) == {NOEMIE.provisional_password}


def assert_translation(page: pypdf.PageObject, tags: Sequence[str]) -> None:
    """Check that a page has all texts of its languages, in readable type, and neither the identifier nor the secret."""
    text = text_of(page).translate(_ISOLATES)
    assert not secrets_in(text)
    assert NOEMIE.username not in text
    for tag in set(tags) - {"ar"}:
        for key, words in TEXTS[tag].items():
            for sentence in [words] if isinstance(words, str) else words:
                assert key in {"short", "line", "overleaf"} or _bare(sentence.replace("*", "")) in _bare(text), sentence
    for label in LABELS:
        assert _bare(text).count(_bare(f"« {label} »")) >= len(tags), label
    runs = pieces(page)
    assert all(15 <= run.x <= 195 and 10 <= run.y <= 288 for run in runs)
    assert min(run.size for run in runs if len(run.text) > 1) >= 9.4
    assert list(links_of(page)) == [SIGN_IN, LYCEE.sign_in_url]


LABELS = (
    "Se connecter",
    "Parent",
    "Identifiant",
    "Mot de passe",
    "Nouveau mot de passe",
    "Adresse mail",
    "Valider",
    "Code reçu par mail",
    "Continuer",
    "Confirmer",
    "Je ne suis pas le représentant légal de cet élève",
)
"""The French labels of the pages (`contract.md`)."""
_ISOLATES = dict.fromkeys(map(ord, "\u2066\u2069"))


def _bare(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_each_language_has_the_same_texts_and_labels() -> None:
    assert list(TEXTS) == ["fr", *OF_LETTERS]
    for tag in OF_LETTERS:
        assert TEXTS[tag].keys() == TEXTS["en"].keys()
        assert len(TEXTS[tag]["steps"]) == len(TEXTS["fr"]["steps"]) == 5
        for quoted, english in zip(TEXTS[tag]["steps"], TEXTS["en"]["steps"], strict=True):
            assert re.findall("« ([^»]+) »", quoted) == re.findall("« ([^»]+) »", english)
            assert quoted.count("*") == english.count("*")


def test_the_fonts_draw_all_texts_of_letters() -> None:
    with TTFont(postal.CHINESE, lazy=True) as font:
        chinese = set(font.getBestCmap())
    assert {ord(char) for char in characters()} == chinese
    for tag in TEXTS.keys() - {"zh-Hans"}:
        assert {ord(char) for char in texts(tag)} <= postal._code_points()


def test_a_letter_with_each_number_of_languages_fits_on_its_page() -> None:
    letters = [replace(WORST, languages=tuple(OF_LETTERS)[:count]) for count in range(len(OF_LETTERS) + 1)]
    assert len(open_pdf(*letters).pages) == len(letters) + 2


def test_a_family_of_two_ents_finds_the_address_of_each_child() -> None:
    (page,) = open_pdf(TWO_ENTS).pages
    text = text_of(page)
    assert "Adresse de l’ENT pour Malo https://passerelle.exemple.fr" in text
    assert "Adresse de l’ENT pour Zoé https://lycee.exemple.fr" in text
    assert [run.text for run in pieces(page) if run.x > 160 and run.text in {"Malo", "Zoé"}] == ["Malo", "Zoé"]
    assert list(links_of(page)) == [SIGN_IN, LYCEE.sign_in_url]
    assert_intact(page)


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


@each_row("languages", [(), ("ar",), ("tr", "zh-Hans")])
def test_steps_are_a_list_and_codes_are_named_by_child(languages: tuple[str, ...]) -> None:
    tags = list(_tags(open_pdf(replace(TWO_ENTS, languages=languages)).root_object["/StructTreeRoot"]))
    assert [tag.get("/S") for tag in tags].count("/L") == 1 + len(languages)
    assert [tag.get("/S") for tag in tags].count("/LI") == 5 * (1 + len(languages))
    codes = [tag["/Alt"] for tag in tags if tag.get("/Alt", "").startswith("Code QR")]
    assert codes == [f"Code QR : l’adresse de l’ENT pour {child}, rien d’autre" for child in ("Malo", "Zoé")]


def _tags(tag: Any) -> Iterator[Any]:
    children = tag.get("/K", [])
    for child in [entry.get_object() for entry in (children if isinstance(children, list) else [children])]:
        if isinstance(child, dict) and "/S" in child:
            yield child
            yield from _tags(child)


def test_the_text_of_an_arabic_page_has_each_letter_once() -> None:
    """With other fonts, one letter is two glyphs, or two letters are one: the text that is read aloud is wrong."""
    text = text_of(open_pdf(replace(NOEMIE, languages=("ar",))).pages[1])
    words = [word for step in TEXTS["ar"]["steps"] for word in re.findall(r"[\u0620-\u064a]+", step)]
    assert len(words) > 60
    assert sum(word not in text for word in words) < 6  # pypdf moves one letter that stands above another


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


@each_row(
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
    bare = replace(NOEMIE, academy="", town="", school_postal_address=(), school_phone="", greeting="")
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
    render([*letters_of(5), replace(NOEMIE, ent_url="http://localhost:8001/ent"), TWO_ENTS])
    assert sorted(drawn) == sorted(["http://localhost:8001/ent", NOEMIE.ent_url, SIGN_IN, LYCEE.sign_in_url])


@pytest.mark.row("P-05")
def test_a_qr_code_with_the_secret_is_refused() -> None:
    with pytest.raises(LetterError, match="QR code"):
        render([replace(NOEMIE, sign_in_url=f"{SIGN_IN}&login_hint={NOEMIE.provisional_password}")])


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


@each_row("secret", ["", "7K4MQX2P9RT", "7K4M-QX2P-9RTD", "7K4MQX2P9RTI", "7k4mqx2p9rtd"])
def test_a_malformed_secret_is_refused_and_not_printed(secret: str) -> None:
    with pytest.raises(LetterError, match=r"n\.leroy4821") as refused:
        render([replace(NOEMIE, provisional_password=secret)])
    assert not secret or secret not in str(refused.value)


@each_row(
    ("letters", "fault"),
    [
        ([], "no letter"),
        ([replace(NOEMIE, recipient=("", " "))], "recipient"),
        *(([replace(NOEMIE, username=username)], "identifier") for username in ("", "漢", "a\nb", "a\u202eb", " a")),
    ],
)
def test_a_letter_to_nobody_is_refused(letters: list[Letter], fault: str) -> None:
    with pytest.raises(LetterError, match=fault):
        render(letters)


def test_a_logged_letter_hides_its_secret() -> None:
    assert "7K4MQX2P9RTD" not in repr(NOEMIE)


@pytest.mark.row("P-01")
def test_rendering_writes_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    render([NOEMIE])
    assert list(tmp_path.rglob("*")) == []
