"""The generator of synthetic académies: the files are the same every time, with the cases of real files."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.academy.expected import accounts, expected
from bench.academy.families import families
from bench.academy.produce import FORMATS, Order, produce

SEED, PUPILS, SCHOOLS = 7, 500, 8


@pytest.mark.parametrize("form", FORMATS)
def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, form: str) -> None:
    delta = 0.05 if form.startswith("aaf") else 0
    made = []
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        folder = tmp_path / name
        order = Order(out=folder, format=form, seed=seed, pupils=PUPILS, schools=SCHOOLS, mistakes=0.05, archive=True)
        produce(replace(order, delta=delta))
        made.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert made[0] == made[1]
    assert not set(made[0].values()) & set(made[2].values())


def test_the_families_contain_the_difficult_cases_of_real_files() -> None:
    households = list(families(SEED, 5_000, 30))
    pupils = [pupil for household in households for pupil in household.pupils]
    links = [link for pupil in pupils for link in pupil.links]
    names = Counter((person.family_name, person.given_name) for household in households for person in household.people)
    assert any(len({pupil.school for pupil in household.pupils}) > 1 for household in households)
    assert any(len({person.postal_address for person in household.people[:2]}) > 1 for household in households)
    assert {sum(link.authority == 1 for link in pupil.links) for pupil in pupils} == {1, 2}
    assert {link.authority for link in links} == {1, 2, 3}
    assert {"10", "20", "50"} <= {link.kinship for link in links}
    assert any(guardian.same_as for family in accounts(households) for guardian in family.guardians)
    assert any(not pupil.class_name for pupil in pupils)
    assert any(pupil.left_on for pupil in pupils)
    assert max(names.values()) > 1
    assert set("'- ŞĞİŁỄÈ") <= set("".join(map("".join, names)))


def test_expected_accounts_are_legal_representatives_of_present_children() -> None:
    for household, family in zip(families(SEED, PUPILS, SCHOOLS), expected(SEED, PUPILS, SCHOOLS), strict=True):
        pairs = {
            (person.key, pupil.key)
            for person in household.people
            for pupil in household.pupils
            for link in pupil.links
            if link.person == person.key and link.authority == 1 and pupil.class_name and not pupil.left_on
        }
        assert pairs == {(guardian.key, child.key) for guardian in family.guardians for child in guardian.children}
        assert family.number == household.number
