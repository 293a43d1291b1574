"""The fictitious school year and its files: they contain the families that the demonstration describes.

`test_seed` tests that the import of the files gives these families.
"""

import re
import unicodedata
from collections import Counter
from datetime import date

import pytest

from demo.aaf_files import aaf_files
from demo.families import (
    AAF,
    CHILDREN,
    COLLEGE,
    GUARDIANS,
    LEGAL,
    LYCEE,
    PROFESSIONAL_LYCEE,
    RESPONSIBLES,
    SCHOOLS,
    SIECLE,
    TUTOR,
    DemoGuardian,
)
from demo.siecle_files import siecle_files
from idp.rostering.write import usernames


def find_guardian(given_name: str) -> DemoGuardian:
    [guardian_found] = [guardian for guardian in GUARDIANS if guardian.given_name == given_name]
    return guardian_found


def test_every_uai_has_its_control_letter() -> None:
    for school in SCHOOLS:
        assert re.fullmatch(r"\d{7}[A-Z]", school.uai)
        assert "ABCDEFGHJKLMNPRSTUVWXYZ"[int(school.uai[:7]) % 23] == school.uai[7]


def test_forty_letters_to_people_whose_identifiers_begin_each_otherwise() -> None:
    begun = [usernames.base(guardian.given_name, guardian.family_name) for guardian in GUARDIANS]
    assert len(set(begun)) == len(GUARDIANS) == 40
    assert len({guardian.key for guardian in RESPONSIBLES}) == len(RESPONSIBLES)


def test_the_third_school_has_a_few_letters_and_the_second_ent_serves_it_too() -> None:
    letters = Counter(guardian.children[0].school for guardian in GUARDIANS)
    assert letters == {COLLEGE: 25, LYCEE: 9, PROFESSIONAL_LYCEE: 6}


def test_every_child_has_a_guardian_and_a_number_of_its_own() -> None:
    assert {child for person in RESPONSIBLES for child in person.children} == set(CHILDREN)
    assert len({child.student_id for child in CHILDREN}) == len(CHILDREN)
    assert {child.school for child in CHILDREN} == set(SCHOOLS)


def test_each_person_is_in_one_format() -> None:
    assert all(len({child.school.source for child in person.children}) == 1 for person in RESPONSIBLES)


def test_people_without_letter_represent_no_pupil_in_a_class() -> None:
    silent = RESPONSIBLES[len(GUARDIANS) :]
    contacts = [person for person in silent if person.authority != LEGAL]
    without_class = [p for p in silent if p.authority == LEGAL and not any(c.class_name for c in p.children)]
    left = [p for p in silent if p.authority == LEGAL and all(child.has_left for child in p.children)]
    assert [len(group) for group in (contacts, without_class, left, silent)] == [1, 1, 1, 3]


def test_a_family_has_two_children_in_the_two_schools() -> None:
    assert {child.school for child in find_guardian("Samia").children} == {COLLEGE, LYCEE}


def test_separated_parents_of_one_child_live_at_two_addresses() -> None:
    assert find_guardian("Claire").children == find_guardian("Julien").children
    assert find_guardian("Claire").home != find_guardian("Julien").home


def test_two_parents_share_a_home_and_a_child() -> None:
    assert find_guardian("Noémie").children == find_guardian("Karim").children
    assert find_guardian("Noémie").home == find_guardian("Karim").home


def test_a_person_has_two_letters_from_two_formats_under_two_names() -> None:
    dubois, rousseau = (guardian for guardian in GUARDIANS if guardian.given_name == "Sandrine")
    assert dubois.source != rousseau.source
    assert dubois.birth_name == rousseau.family_name != dubois.family_name


def test_a_guardian_is_not_a_parent() -> None:
    (tutor,) = [guardian for guardian in GUARDIANS if guardian.kinship == TUTOR]
    assert tutor.family_name != tutor.children[0].family_name


def test_names_are_as_awkward_as_in_life() -> None:
    names = [f"{guardian.given_name} {guardian.family_name}" for guardian in GUARDIANS]
    assert [n for n in names if "’" in n and "-" in n and unicodedata.normalize("NFD", n) != n]
    assert [n for n in names if "'" in n]
    assert [n for n in names if any(unicodedata.name(letter).startswith("ARABIC") for letter in n if letter.isalpha())]
    assert [n for n in names if "İ" in n and "ı" in n]
    assert [n for n in names if len(n) > 70]


def test_the_aaf_is_utf_8_and_the_siecle_latin_9_with_references_for_other_characters() -> None:
    today = date(2026, 9, 21)
    assert "Benoît" in b"".join(aaf_files(today).values()).decode()
    siecle = siecle_files(COLLEGE, today)
    assert set(siecle) == {"ElevesAvecAdresses.xml", "ResponsablesAvecAdresses.xml"}
    people = siecle["ResponsablesAvecAdresses.xml"].decode("iso-8859-15")
    for written in ("Noémie", "O'BRIEN", "D&#8217;ALMEIDA-GONÇALVES", "Y&#305;lmaz"):
        assert written in people


@pytest.mark.parametrize(("today", "year"), [(date(2027, 8, 31), "2026"), (date(2027, 9, 1), "2027")])
def test_departure_date_is_past_on_any_day_of_the_first_start(today: date, year: str) -> None:
    text = siecle_files(LYCEE, today)["ElevesAvecAdresses.xml"].decode("iso-8859-15")
    assert re.findall(r"<ANNEE_SCOLAIRE>(\d+)", text) == [year]
    assert re.findall(r"<DATE_SORTIE>(\S+)<", text) == [f"01/09/{year}"]
    assert [school.source for school in SCHOOLS] == [SIECLE, SIECLE, AAF]
