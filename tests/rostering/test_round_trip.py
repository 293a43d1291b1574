"""The same families, drawn alike every time and imported from each format, give the same accounts and children."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from bench.academy.delta import after, changes
from bench.academy.expected import Family, accounts, expected
from bench.academy.families import families
from bench.academy.produce import FORMATS, Order, produce
from bench.academy.schools import draw_schools
from bench.academy.writers import onde
from idp.accounts.models import Account, Child, Guardianship, School
from idp.db import db
from idp.folding import fold
from idp.rostering.records import Format
from tests.commands.conftest import Run
from tests.rostering.seen import codes, imported, state

SEED, PUPILS, SCHOOLS = 11, 150, 4
HAVE_STUDENT_IDS = {"aaf", "siecle", "csv"}
"""The formats whose pupils have a number (`Child.student_id`)."""
NAME_NO_SCHOOL = {"onde", "csv"}
"""The formats whose files do not name their school: the operator does, by `--school`."""
Link = tuple[str, ...]


def links_of(expected_families: Iterable[Family], form: str) -> Counter[Link]:
    write_value = onde.as_written if form == "onde" else str
    found_links: Counter[Link] = Counter()
    for family in expected_families:
        for guardian in family.guardians:
            for child in guardian.children:
                names = (guardian.given_name, guardian.family_name, child.given_name, child.family_name)
                number = str(child.student_id) if form in HAVE_STUDENT_IDS else ""
                found_links[(*map(write_value, names), write_value(child.class_name), child.uai, number)] += 1
    return found_links


def links_there(form: str) -> Counter[Link]:
    number = Child.student_id if form in HAVE_STUDENT_IDS else School.phone
    rows = db.session.execute(
        select(
            Account.given_name, Account.family_name, Child.given_name, Child.family_name, Child.class_name, School.uai,
            number,
        )
        .join(Guardianship, Guardianship.account_id == Account.id)
        .join(Child, Child.id == Guardianship.child_id)
        .join(School, School.id == Child.school_id)
        .where(Guardianship.ended_at.is_(None), Account.disabled_at.is_(None))
    ).all()  # fmt: skip
    db.session.rollback()
    return Counter((*row[:6], row[6] if form in HAVE_STUDENT_IDS else "") for row in rows)


def _who(link: Link) -> Link:
    return ("guardian", *map(fold, link[:2]), link[5])


def _pupil(link: Link) -> Link:
    return ("pupil", *map(fold, link[2:4]), link[5])


def without_namesakes(links: Counter[Link], there: Counter[Link]) -> tuple[Counter[Link], Counter[Link]]:
    """Leave out people and pupils with the same names in one school, which ONDE cannot distinguish."""
    people: dict[Link, set[Link]] = {}
    classes: dict[Link, set[str]] = {}
    for link in links:
        people.setdefault(_who(link), set()).add(link[2:])
        classes.setdefault(_pupil(link), set()).add(link[4])
    doubtful = {who for group in (people, classes) for who, several in group.items() if len(several) > 1}

    def certain(link: Link) -> bool:
        return not {_who(link), _pupil(link)} & doubtful

    return (
        Counter({link: 1 for link in links if certain(link)}),
        Counter({link: 1 for link in there if certain(link)}),
    )


def test_every_readable_format_has_a_writer() -> None:
    assert set(FORMATS) == {form.value for form in Format}


@pytest.mark.parametrize("form", FORMATS)
def test_the_families_of_every_format_are_the_same(act: Run, tmp_path: Path, form: str) -> None:
    produce(Order(out=tmp_path / form, pupils=PUPILS, schools=SCHOOLS, seed=SEED, format=form))
    folders = [tmp_path / form / "complet"] if form.startswith("aaf") else sorted((tmp_path / form).iterdir())
    reports = []
    for folder in folders:
        school = ("--school", folder.name) if form in NAME_NO_SCHOOL else ()
        reports.append(imported(act, folder, *school))
        assert not [issue for issue in reports[-1]["issues"] if issue["severity"] == "error"] or form == "onde"
    for kind in ("students", "guardians"):
        for counts in (report[kind] for report in reports):
            assert counts["read"] == counts["created"] + counts["changed"] + counts["unchanged"] + counts["refused"]
    expected_links, there = links_of(expected(SEED, PUPILS, SCHOOLS), form), links_there(form)
    if form == "onde":
        expected_links, there = without_namesakes(expected_links, there)
        assert len(expected_links) > 80
    assert there == expected_links
    before = state()
    for folder in folders:
        school = ("--school", folder.name) if form in NAME_NO_SCHOOL else ()
        again = imported(act, folder, *school)
        assert {again[kind][what] for kind in ("students", "guardians") for what in ("created", "changed", "left")} == {
            0
        }
    assert state() == before


def test_a_delta_reaches_the_current_state_of_the_school(act: Run, tmp_path: Path) -> None:
    pupils = 360  # of fewer, a tenth is too few for each kind of change
    produce(Order(out=tmp_path, pupils=pupils, schools=SCHOOLS, seed=SEED, format="aaf", delta=0.1, archive=True))
    imported(act, tmp_path / "ENT_2D_Complet.tgz")
    report = imported(act, tmp_path / "ENT_2D_Delta.tgz")
    assert report["mode"] == "delta"
    assert report["students"]["changed"] > 5
    assert not [code for code in codes(report) if code in {"school_unknown", "guardian_missing"}]
    changed = changes(families(SEED, pupils, SCHOOLS), draw_schools(pupils, SCHOOLS), 0.1, seed=SEED)
    assert links_there("aaf") == links_of(accounts(after(changed)), "aaf")


def test_every_row_of_a_file_with_mistakes_is_counted_and_reported(act: Run, tmp_path: Path) -> None:
    result = produce(Order(out=tmp_path, pupils=PUPILS, schools=SCHOOLS, seed=SEED, format="aaf", mistakes=0.2))
    assert len(result.mistakes) >= 6
    report = imported(act, tmp_path / "complet")
    for kind in ("students", "guardians"):
        counts = report[kind]
        assert counts["read"] == counts["created"] + counts["changed"] + counts["unchanged"] + counts["refused"]
        assert counts["created"]
    assert {"guardian_key_twice", "guardian_missing", "student_without_class"} <= set(codes(report))
    assert all(issue["message"].endswith((".", "»")) and issue["line"] >= 1 for issue in report["issues"])


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
