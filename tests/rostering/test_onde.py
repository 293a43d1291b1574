"""The two exports of ONDE: people without numbers, who are the same in both files and from one year to the next."""

import re
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, strategies as st

from idp.accounts.models import Degree
from idp.rostering.readers import onde
from idp.rostering.records import LONGEST, Guardian, Issue, Link, Place, School, Severity, Student, StudentLink
from tests.rostering.files import FORM, OTHER, SCHOOL, issues, some, source
from tests.rows import each_row

_PUPIL_HEADERS = (
    "Nom Elève;Nom d'usage Elève;Prénom Elève;Date naissance;Sexe;Adresse1;Cp1;Commune1;Pays1;"
    "Adresse2;Cp2;Commune2;Pays2;Cycle;Niveau;Classe"
)
_GUARDIAN_HEADERS = (
    "Civilité Responsable;Nom usage responsable;Nom responsable;Prénom responsable;Adresse responsable;CP responsable;"
    "Commune responsable;Pays;Courriel;Téléphone domicile;Téléphone travail;Téléphone portable"
)
_CHILD_HEADERS = ";Nom d'usage enfant;Nom de famille enfant;Prénom enfant;Classes enfants"


def pupils(*rows: str) -> str:
    return "\r\n".join([_PUPIL_HEADERS, *rows, ""])


def guardians(*rows: str, children: int = 2) -> str:
    return "\r\n".join([_GUARDIAN_HEADERS + _CHILD_HEADERS * children, *rows, ""])


MALO = "LEROY;;Malo;14/09/2018;M;1 rue du Test;59990;Rivebelle;FRANCE;2 rue du Test;59990;Rivebelle;;CYCLE II;CP;CP A"
ZOE = "LEROY;ÖZ;Zoé;2016-03-01;F;1 rue du Test;59990;Rivebelle;FRANCE;;;;;CYCLE III;CM1;CM1"
NOEMIE = (
    "MME;LEROY;VANDEPUTTE;Noémie;1 rue du Test;59990;Rivebelle;FRANCE;n.leroy@exemple.fr;03 53 01 00 00;;;"
    "LEROY;LEROY;Malo;CP A;ÖZ;LEROY;Zoé;CM1"
)
ONDE_PUPILS = pupils(MALO, ZOE)
ONDE_GUARDIANS = guardians(NOEMIE)


def read(content: str, encoding: str = "cp1252", **form: object) -> list[Any]:
    return list(onde.read(source(content, encoding=encoding), replace(FORM, **form)))  # type: ignore[arg-type]


def test_every_column_of_a_pupil_is_read() -> None:
    school, malo, zoe = read(ONDE_PUPILS)
    assert school == School(place=Place("familles.csv", 1), key=SCHOOL, uai=SCHOOL, degree=Degree.PRIMARY)
    assert re.fullmatch(f"onde:{SCHOOL}:[0-9a-f]{{32}}", malo.key)
    assert malo == Student(
        place=Place("familles.csv", 2), key=malo.key, school=SCHOOL, family_name="LEROY", given_name="Malo",
        birth_date=date(2018, 9, 14), class_name="CP A", links=None,
    )  # fmt: skip
    assert (zoe.family_name, zoe.birth_date) == ("ÖZ", date(2016, 3, 1))


def test_a_responsable_is_linked_to_the_children_of_the_pupil_file() -> None:
    malo, zoe = keys(pupils(MALO.replace("14/09/2018", ""), ZOE.replace("2016-03-01", "")))
    school, noemie, *links = read(ONDE_GUARDIANS)
    assert isinstance(school, School)
    place = Place("familles.csv", 2)
    assert noemie == Guardian(
        place=place, key=noemie.key, civility="Mme", family_name="LEROY", birth_name="VANDEPUTTE", given_name="Noémie",
        address_lines=("1 rue du Test",), postcode="59990", city="Rivebelle", country="FRANCE",
        email="n.leroy@exemple.fr",
    )  # fmt: skip
    link = Link(noemie.key, "", 1)
    assert links == [
        StudentLink(place=place, student=malo, link=link, class_name="CP A"),
        StudentLink(place=place, student=zoe, link=link, class_name="CM1"),
    ]


def test_numbered_headers_give_the_same_blocks() -> None:
    child = ";Nom d’usage enfant {0};Nom de famille enfant {0};Prénom enfant {0};Classes enfants {0}"
    headers = _GUARDIAN_HEADERS + "".join(child.format(number) for number in (1, 2))
    assert read(f"{headers}\r\n{NOEMIE}\r\n") == read(ONDE_GUARDIANS)


def keys(content: str, kind: type[Any] = Student, school: str = SCHOOL) -> list[str]:
    return [item.key for item in some(read(content, school=school), kind)]


def test_a_key_does_not_change_with_the_class_the_address_accents_or_case() -> None:
    [key] = keys(pupils(MALO))
    again = MALO.replace("CP A", "CE1").replace("1 rue", "9 rue").replace("LEROY;;Malo", "Leroy;;MALÔ")
    assert keys(pupils(again)) == [key]
    assert keys(pupils(MALO), school=OTHER) != [key]
    assert keys(pupils(MALO.replace("Malo", "Mael"))) != [key]


def test_the_key_of_a_responsable_uses_all_three_names() -> None:
    [key] = keys(ONDE_GUARDIANS, Guardian)
    for name in ("LEROY;VAN", "VANDEPUTTE", "Noémie"):
        assert keys(guardians(NOEMIE.replace(name, "X" + name, 1)), Guardian) != [key]
    same = NOEMIE.replace("LEROY;VANDEPUTTE", ";VANDEPUTTE", 1)
    both = NOEMIE.replace("LEROY;VANDEPUTTE", "VANDEPUTTE;VANDEPUTTE", 1)
    assert keys(guardians(same), Guardian) == keys(guardians(both), Guardian)


@pytest.mark.row("R-08")
def test_namesakes_share_all_but_the_end_of_their_keys() -> None:
    first, again, other, undated = keys(
        pupils(MALO, MALO, *(MALO.replace("14/09/2018", d) for d in ("15/09/2018", "")))
    )
    assert first == again
    assert len({first, other, undated}) == 3
    assert len({key[:-16] for key in (first, other, undated)}) == 1


@pytest.mark.parametrize(
    ("school", "code"), [(None, "school_needed"), ("", "school_needed"), ("0599001A", "school_wrong")]
)
def test_the_operator_names_the_school(school: str | None, code: str) -> None:
    [issue] = read(ONDE_PUPILS, school=school)
    assert (issue.severity, issue.code, issue.refuses) == (Severity.ERROR, code, "")
    assert "UAI" in issue.message
    assert len(list(some(read(ONDE_PUPILS, school=" 0599001n "), Student))) == 2


@pytest.mark.row("R-11")
@pytest.mark.parametrize(
    "row", [";;Malo;;;;;;;;;;;;;CP", "LEROY;;;;;;;;;;;;;;;CP", f"{'x' * 201};;Malo;;;;;;;;;;;;;CP"]
)
def test_a_pupil_without_a_valid_name_is_refused(row: str) -> None:
    records = read(pupils(row, MALO))
    [(_, line, refuses)] = issues(records)
    assert (line, refuses) == (2, "student")
    assert len(list(some(records, Student))) == 1


@pytest.mark.row("R-11")
def test_a_name_of_marks_is_refused_by_its_length() -> None:
    records = read(pupils("LEROY;;M" + "\u0301" * 100_000 + ";" * 13 + "CP"), "utf-8")
    assert issues(records) == [("field_too_long", 2, "student")]


@pytest.mark.row("R-03")
def test_unreadable_rows_are_counted_by_kind() -> None:
    assert issues(read(pupils('"LEROY;;Malo', MALO))) == [("quote_not_closed", 2, "student")]
    assert issues(read(guardians(NOEMIE + ";more", NOEMIE))) == [("too_many_cells", 2, "guardian")]


def test_a_responsable_needs_a_name_and_an_unknown_civility_is_a_warning() -> None:
    assert issues(read(guardians(NOEMIE.replace("LEROY;VANDEPUTTE", ";", 1)))) == [
        ("guardian_without_name", 2, "guardian")
    ]
    records = read(guardians(NOEMIE.replace("MME", "Dr")))
    assert issues(records) == [("civility_unknown", 2, "")]
    assert [item.civility for item in some(records, Guardian)] == [""]


@each_row(
    ("written", "civility"),
    [("M.", "M."), ("m", "M."), ("Monsieur", "M."), ("MME", "Mme"), ("Mme.", "Mme"), ("Mademoiselle", "Mme"), ("", "")],
)
def test_civilities_are_normalised(written: str, civility: str) -> None:
    records = read(guardians(NOEMIE.replace("MME", written, 1)))
    assert [item.civility for item in some(records, Guardian)] == [civility]
    assert issues(records) == []


def test_a_child_without_a_valid_name_drops_only_the_link() -> None:
    records = read(guardians(NOEMIE.replace("Malo", ""), NOEMIE.replace("Zoé", "x" * 300)))
    assert issues(records) == [("child_unreadable", 2, ""), ("child_unreadable", 3, "")]
    assert all(item.severity is Severity.WARNING for item in some(records, Issue))
    assert len(list(some(records, StudentLink))) == 2


@each_row("day", ["31/02/2018", "14/13/2018", "2018", "14/09/18", "hier", "0000-00-00"])
def test_a_day_that_does_not_exist_is_a_warning(day: str) -> None:
    records = read(pupils(MALO.replace("14/09/2018", day)))
    assert issues(records) == [("date_impossible", 2, "")]
    assert [item.birth_date for item in some(records, Student)] == [None]


def test_unknown_columns_are_reported_once_and_missing_columns_stop_the_file() -> None:
    [issue] = some(read(f"{_PUPIL_HEADERS};Cantine;Garderie\r\n{MALO};;\r\n{ZOE};;\r\n"), Issue)
    assert (issue.code, issue.severity) == ("unknown_column", Severity.WARNING)
    assert "« cantine », « garderie »" in issue.message
    assert issues(read("Nom Elève;Classe\r\nLEROY;CP\r\n")) == [("columns_missing", 1, "")]
    assert issues(read("Nom Elève;Prénom Elève;Nom élève\r\nA;B;C\r\n")) == [("column_twice", 1, "")]


def test_a_postal_address_has_several_lines() -> None:
    row = NOEMIE.replace("1 rue du Test", '"1 rue du Test\nBât. B"')
    [noemie] = some(read(guardians(row)), Guardian)
    assert noemie.address_lines == ("1 rue du Test", "Bât. B")


@pytest.mark.row("R-11")
@each_row("field", sorted({"line", "postcode", "city", "mail"}))
def test_a_field_longer_than_the_limit_is_refused(field: str) -> None:
    old = {"line": "1 rue du Test", "postcode": "59990", "city": "Rivebelle", "mail": "n.leroy@exemple.fr"}[field]
    assert issues(read(guardians(NOEMIE.replace(old, "x" * LONGEST[field], 1)))) == []
    long = read(guardians(NOEMIE.replace(old, "x" * (LONGEST[field] + 1), 1)))
    assert issues(long) == [("field_too_long", 2, "guardian")]


_CELL = st.text(st.sampled_from("aé0 \x1b/"), max_size=5) | st.just("x" * 300)


@given(st.lists(st.lists(_CELL, min_size=1, max_size=22), max_size=6))
def test_every_row_becomes_a_record_or_an_issue_that_refuses_it(rows: list[list[str]]) -> None:
    lines = [";".join(row) for row in rows]
    written = [number for number, row in enumerate(rows, 2) if "".join(row).strip()]
    for content, kind, refused in ((pupils(*lines), Student, "student"), (guardians(*lines), Guardian, "guardian")):
        records = read(content, "utf-8")
        line_numbers = [item.place.line for item in records if isinstance(item, kind)]
        line_numbers += [line for _, line, refuses in issues(records) if refuses == refused]
        assert sorted(line_numbers) == written


@given(st.binary(max_size=300))
def test_arbitrary_bytes_do_not_raise(content: bytes) -> None:
    for header in (b"", _PUPIL_HEADERS.encode("cp1252") + b"\n", (_GUARDIAN_HEADERS + _CHILD_HEADERS).encode() + b"\r"):
        assert list(onde.read(source(header + content), FORM))
