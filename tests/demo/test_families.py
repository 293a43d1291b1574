import re
import unicodedata

from idp.demo.families import CHILDREN, GUARDIANS, SCHOOLS, TUTOR


def test_every_uai_has_its_control_letter() -> None:
    for school in SCHOOLS:
        assert re.fullmatch(r"\d{7}[A-Z]", school.uai)
        assert "ABCDEFGHJKLMNPRSTUVWXYZ"[int(school.uai[:7]) % 23] == school.uai[7]


def test_forty_letters_with_identifiers_that_nobody_shares() -> None:
    usernames = [guardian.username for guardian in GUARDIANS]
    assert len(usernames) == len(set(usernames)) == 40
    assert all(re.fullmatch(r"[a-z]\.[a-z]+\d{4}", username) for username in usernames)
    assert len({guardian.join_key for guardian in GUARDIANS}) == 40


def test_every_child_has_a_guardian_and_a_number_of_its_own() -> None:
    assert {child for guardian in GUARDIANS for child in guardian.children} == set(CHILDREN)
    assert len({child.student_id for child in CHILDREN}) == len(CHILDREN)
    assert {child.uai for child in CHILDREN} == {school.uai for school in SCHOOLS}


def test_a_family_has_two_children_in_the_two_schools() -> None:
    assert [g.username for g in GUARDIANS if len(g.children) == 2 and len({c.uai for c in g.children}) == 2]


def test_separated_parents_of_one_child_live_at_two_addresses() -> None:
    claire, julien = (next(g for g in GUARDIANS if g.given_name == name) for name in ("Claire", "Julien"))
    assert claire.children == julien.children
    assert claire.home != julien.home


def test_two_parents_share_a_home_and_a_child() -> None:
    noemie, karim = (next(g for g in GUARDIANS if g.given_name == name) for name in ("Noémie", "Karim"))
    assert noemie.children == karim.children
    assert noemie.home == karim.home


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
