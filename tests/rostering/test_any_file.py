"""With any files, an import ends and reports the faults; no row is lost without an issue (R-01…R-03, R-11)."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.rostering import imports
from idp.rostering.imports import FORCED, ImportResult, ImportStoppedError, Steps
from idp.rostering.records import Form
from idp.services import services_of
from tests.rostering.aaf_school import COLLEGE, KEYS, LYCEE, Parent, Pupil, Year, small_year

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
