"""All formats: any file is read or refused row by row, and the same families give the same accounts."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings, strategies as st
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
from idp.rostering import imports
from idp.rostering.imports import FORCED, ImportResult, ImportStoppedError, Steps
from idp.rostering.records import Form, Format
from idp.services import services_of
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, KEYS, LYCEE, Parent, Pupil, Year, small_year
from tests.rostering.seen import codes, imported, state

_numbers = itertools.count()
CALM = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
KEY = st.sampled_from(["1", "2", "3", "a", "A", "é", " ", "0" * 61])
NAME = st.sampled_from(["LEROY", "leroy", "D’ALMEIDA", "", "=1+1", "İpek", "x" * 201, "بن يوسف", "A|B", "\u0301" * 50])
AUTHORITY = st.sampled_from(["1", "2", "3", "0", "", "9", "x"])

parents = st.builds(
    Parent, key=KEY, given=NAME, family=NAME, birth=NAME, mail=st.sampled_from(["", "a@b.fr", "nul"]),
    postcode=st.sampled_from(["", "59990", "9" * 21]), diffusion=st.sampled_from(["O", "N", "", "?"]),
)  # fmt: skip
pupils = st.builds(
    Pupil, key=KEY, given=NAME, family=NAME, uai=st.sampled_from([COLLEGE, LYCEE]),
    group=st.sampled_from(["6EME1", "", "C" * 61]),
    parents=st.lists(st.tuples(KEY, st.sampled_from(["10", "1", "77", ""]), AUTHORITY), max_size=3).map(tuple),
)  # fmt: skip


def looked_at(app: Flask, folder: Path) -> ImportResult:
    try:
        return imports.check(services_of(app).settings, [folder], Form(today=date(2026, 10, 1)), Steps(), FORCED)
    except ImportStoppedError as stopped:
        return stopped.result


def parts(folder: Path, people: list[list[Parent]], children: list[list[Pupil]]) -> Iterator[int]:
    """Write lists as parts of a Complet with repeated keys; yield the number of rows of each kind."""
    written: list[Sequence[Parent | Pupil]] = [*people, *children]
    for number, some in enumerate(written):
        year = Year(schools=tuple(KEYS) if not number else ())
        for person in some:
            year.add(person)
        year.write(folder / f"part{number}")
    yield sum(len({person.key for person in some}) for some in people)
    yield sum(len({person.key for person in some}) for some in children)


@CALM
@given(
    st.lists(st.lists(parents, min_size=1, max_size=4), min_size=1, max_size=2),
    st.lists(st.lists(pupils, max_size=4), min_size=1, max_size=2),
)
def test_every_row_of_any_school_is_counted_once(
    app: Flask, tmp_path: Path, people: list[list[Parent]], children: list[list[Pupil]]
) -> None:
    folder = tmp_path / str(next(_numbers))
    guardians_written, students_written = parts(folder, people, children)
    all_files = list(folder.rglob("*.xml"))
    flat = folder / "flat"
    flat.mkdir()
    for number, path in enumerate(all_files):
        path.rename(flat / f"{path.stem[:-4]}{number:04}.xml")
    result = looked_at(app, flat)
    for name, written in (("guardians", guardians_written), ("students", students_written)):
        counted = result.counts[name]
        assert counted.read == written
        assert counted.read == counted.created + counted.changed + counted.unchanged + counted.refused
        assert min(vars(counted).values()) >= 0
    refused = sum(counted.refused for counted in result.counts.values())
    issues = list(result.staging.issues())
    assert not refused or issues
    assert all(issue.message and issue.place.file for issue in issues)
    result.staging.close()


@CALM
@given(
    st.data(),
    st.integers(min_value=1, max_value=12),
    st.sampled_from(["flip", "cut", "double", "insert"]),
)
def test_a_damaged_file_changes_nothing_or_is_counted(
    app: Flask, tmp_path: Path, data: st.DataObject, families: int, harm: str
) -> None:
    folder = small_year(families).write(tmp_path / str(next(_numbers)))
    path = sorted(folder.iterdir())[data.draw(st.integers(0, 2))]
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    some = data.draw(st.binary(min_size=1, max_size=6))
    path.write_bytes(
        {
            "flip": whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :],
            "cut": whole[:place],
            "double": whole[:place] + whole[place // 2 :],
            "insert": whole[:place] + some + whole[place:],
        }[harm]
    )
    result = looked_at(app, folder)
    assert result.staging.fatal or result.counts
    for counted in result.counts.values():
        assert counted.read == counted.created + counted.changed + counted.unchanged + counted.refused
    result.staging.close()
    assert db.session.scalars(select(Account.id)).all() == []
    db.session.rollback()


@pytest.mark.parametrize("name", ["élèves.csv", "x.zip", "x.tgz", "x.xml"])
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"PK\x03\x04", b"\x1f\x8b\x08", b"<a", "é;è\n".encode("utf-16")])
def test_an_unreadable_file_stops_the_import_with_one_error(
    app: Flask, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImportStoppedError) as stopped:
        imports.check(services_of(app).settings, [tmp_path / name], Form(today=date(2026, 10, 1)), Steps())
    assert stopped.value.why
    stopped.value.result.staging.close()


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
