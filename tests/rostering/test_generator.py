"""The generator of synthetic académies: the files match the drawn data, and are the same every time."""

import hashlib
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from lxml import etree

from bench.academy.__main__ import main
from bench.academy.delta import Change, Event, after, changes
from bench.academy.expected import accounts, expected
from bench.academy.families import Household, Pupil, families
from bench.academy.mistakes import Mistakes
from bench.academy.names import FAMILY_NAMES, GIVEN_NAMES
from bench.academy.produce import FORMATS, Order, Produced, produce
from bench.academy.schools import draw_schools
from bench.academy.writers import aaf, onde
from bench.academy.writers.output import Folder
from idp.uai import is_uai

SEED, PUPILS, SCHOOLS = 7, 500, 8
Records = dict[tuple[str, str], dict[str, list[str]]]


def _made(out: Path, form: str, **options: object) -> Produced:
    numbers = {"seed": SEED, "pupils": PUPILS, "schools": SCHOOLS} | options
    return produce(Order(out=out, format=form, **numbers))  # type: ignore[arg-type]


@cache
def _academy() -> tuple[Household, ...]:
    """Return the families of 5,000 pupils in 30 schools, which are frozen."""
    return tuple(families(SEED, 5_000, 30))


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _pupils(households: Iterable[Household]) -> Iterator[Pupil]:
    return chain.from_iterable(household.pupils for household in households)


def _requests(files: Iterable[Path]) -> Iterator[etree._Element]:
    for path in sorted(files):
        yield from etree.parse(path).getroot()


def _values(element: etree._Element) -> list[str]:
    return [value.text or "" for value in element]


def _complete(folder: Path, *, repeated: bool = False) -> Records:
    """Read a Complet without the project's readers; each key occurs once unless `repeated`."""
    records: Records = {}
    for request in _requests(folder.glob("*_Complet_*.xml")):
        assert request.tag == "addRequest"
        key = _key(request)
        assert repeated or key not in records
        records[key] = _attributes(request)
    return records


def _key(request: etree._Element) -> tuple[str, str]:
    return request.findtext("operationalAttributes/attr/value") or "", request.findtext("identifier/id") or ""


def _attributes(request: etree._Element) -> dict[str, list[str]]:
    return {str(element.get("name")): _values(element) for element in request.iterfind("attributes/attr")}


def _apply(records: Records, folder: Path) -> Counter[str]:
    """Apply a Delta strictly: added keys are new, changed or deleted keys exist."""
    done: Counter[str] = Counter()
    for request in _requests(folder.glob("*_Delta_*.xml")):
        key = _key(request)
        done[str(request.tag)] += 1
        if request.tag == "addRequest":
            assert key not in records
            records[key] = _attributes(request)
        elif request.tag == "deleteRequest":
            del records[key]
        else:
            for change in request.iterfind("modifications/modification"):
                assert change.get("operation") == "replace"
                assert records[key][str(change.get("name"))] != _values(change)
                records[key][str(change.get("name"))] = _values(change)
    return done


@pytest.mark.parametrize("form", FORMATS)
def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, form: str) -> None:
    options = {"mistakes": 0.05, "archive": True, "delta": 0.05 if form.startswith("aaf") else 0}
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        _made(tmp_path / name, form, seed=seed, **options)

    assert _digest(tmp_path / "one") == _digest(tmp_path / "again")
    assert not set(_digest(tmp_path / "one").values()) & set(_digest(tmp_path / "other").values())


@pytest.mark.parametrize(("pupils", "schools"), [(1, 1), (37, 3), (800, 1), (1_200, 17), (5_000, 30)])
def test_sizes_match_the_order(pupils: int, schools: int) -> None:
    households = list(families(SEED, pupils, schools))

    assert sum(len(household.pupils) for household in households) == pupils
    assert len(draw_schools(pupils, schools)) == schools
    if pupils == 5_000:
        assert len({pupil.school.number for pupil in _pupils(households)}) == schools
        assert 1.45 < sum(len(household.people) for household in households) / pupils < 1.58


def test_a_format_without_a_writer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no writer"):
        _made(tmp_path, "constel")


def test_an_academie_without_schools_or_with_too_many_is_refused() -> None:
    for schools in (0, 100_000):
        with pytest.raises(ValueError, match="from 1 to"):
            draw_schools(10, schools)


def test_uais_are_valid_and_unique() -> None:
    uais = {school.uai for school in draw_schools(800_000, 4_100)}

    assert len(uais) == 4_100
    assert all(map(is_uai, uais))


def test_families_are_generated_in_constant_memory() -> None:
    tracemalloc.start()
    try:
        count = sum(1 for _ in families(SEED, 12_000, 64))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count > 7_000
    assert peak < 3_000_000  # the households themselves need more than ten times as much memory


def test_keys_are_unique() -> None:
    households = _academy()

    people = [person.key for household in households for person in household.people]
    pupils = [pupil.key for pupil in _pupils(households)]
    assert len({*people, *pupils}) == len(people) + len(pupils)
    assert len({pupil.student_id for pupil in _pupils(households)}) == len(pupils)


def test_the_families_contain_the_difficult_cases_of_real_files() -> None:
    households = _academy()
    links = [link for pupil in _pupils(households) for link in pupil.links]
    legal = [[link for link in pupil.links if link.authority == 1] for pupil in _pupils(households)]
    names = Counter((person.family_name, person.given_name) for household in households for person in household.people)
    letters = set("".join(family + given_name for family, given_name in names))

    assert any(len({pupil.school for pupil in household.pupils}) > 1 for household in households)
    assert any(len({person.postal_address for person in household.people[:2]}) > 1 for household in households)
    assert {len(representatives) for representatives in legal} == {1, 2}
    assert {link.authority for link in links} == {1, 2, 3}
    assert {"10", "20", "50"} <= {link.kinship for link in links}
    assert any(guardian.same_as for family in accounts(households) for guardian in family.guardians)
    assert any(not pupil.class_name for pupil in _pupils(households))
    assert any(pupil.left_on for pupil in _pupils(households))
    assert any(number > 1 for number in names.values())
    assert set("'- ŞĞİŁỄÈ") <= letters


def test_pupils_of_a_class_and_names_in_latin_1_are_distinct() -> None:
    known = Counter(
        (pupil.school.number, pupil.class_name, pupil.family_name, pupil.given_name) for pupil in _pupils(_academy())
    )
    reduced = {onde.as_written(name) for name in (*FAMILY_NAMES, *GIVEN_NAMES)}

    assert set(known.values()) == {1}
    assert len(reduced) == len({*FAMILY_NAMES, *GIVEN_NAMES})
    assert not any("?" in name for name in reduced)


def families_pupils(pupils: int, schools: int) -> Iterator[Pupil]:
    return _pupils(families(SEED, pupils, schools))


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


@pytest.mark.parametrize("first_degree", [False, True])
def test_a_complet_and_its_delta_equal_the_next_complet(tmp_path: Path, *, first_degree: bool) -> None:
    style = aaf.Style(first_degree=first_degree)
    schools = draw_schools(PUPILS, SCHOOLS)

    def changed() -> Iterator[Household | Change]:
        return changes(families(SEED, PUPILS, SCHOOLS), schools, 0.2, seed=SEED)

    before = families(SEED, PUPILS, SCHOOLS)
    aaf.write_complete(Folder(tmp_path / "before"), schools, aaf.representable(before, style), style)
    aaf.write_complete(Folder(tmp_path / "after"), schools, aaf.representable(after(changed()), style), style)
    counts = aaf.write_delta(Folder(tmp_path / "delta"), changed(), style)

    records = _complete(tmp_path / "before")
    done = _apply(records, tmp_path / "delta")
    assert records == _complete(tmp_path / "after")
    assert set(counts) == {event.value for event in Event}
    assert min(done["addRequest"], done["modifyRequest"], done["deleteRequest"]) > 5


def test_the_aaf_contains_the_counted_mistakes(tmp_path: Path) -> None:
    result = _made(tmp_path, "aaf", mistakes=0.3)
    files = list((tmp_path / "complet").iterdir())
    text = "".join(path.read_text("utf-8") for path in files)
    keys = Counter(_key(request) for request in _requests(files))
    records = _complete(tmp_path / "complet", repeated=True)
    links = [link for values in records.values() for link in values.get("ENTElevePersRelEleve", [])]

    assert result.mistakes == {
        "duplicated_key": sum(number - 1 for number in keys.values()),
        "dangling_parent": sum(
            ("PersRelEleve", link.split("$")[0]) not in keys for link in links if not link.startswith("$")
        ),
        "without_class": text.count('<attr name="ENTEleveClasses"><value/>')
        - sum(not pupil.class_name and not pupil.left_on for pupil in families_pupils(PUPILS, SCHOOLS)),
        "long_name": text.count(f'<attr name="sn"><value>{"É" * 300}<'),
        "impossible_date": text.count("<value>31/02/"),
        "broken_link": sum(link.count("$") != 5 for link in links),
        "unknown_attribute": text.count('name="ENTPersonCouleurPreferee"'),
        "wrong_uai": sum(
            not is_uai(values["ENTStructureUAI"][0]) for values in records.values() if "ENTStructureUAI" in values
        ),
        "not_a_mail": text.count("<value>parent.chez.exemple<"),
        "near_duplicate": sum(kind == "PersRelEleve" and key.startswith("7") for kind, key in keys),
    }
    assert min(result.mistakes.values()) > 0


def test_rate_zero_makes_no_mistake_and_rate_one_changes_every_family() -> None:
    none, all_of_them = Mistakes(0), Mistakes(1)
    households = list(families(SEED, PUPILS, SCHOOLS))

    assert list(none.households(households)) == households
    assert none.schools(draw_schools(PUPILS, SCHOOLS)) == draw_schools(PUPILS, SCHOOLS)
    assert not none.counts
    changed = list(all_of_them.households(households))
    assert all(household != other for household, other in zip(households, changed, strict=True))
    assert all_of_them.counts.total() == len(households)
    with pytest.raises(ValueError, match="from 0 to 1"):
        Mistakes(1.5)


def test_the_command_prints_its_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = ["--pupils", "300", "--schools", "3", "--mistakes", "0.2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["academy", *numbers, "--format", "aaf", "--delta", "0.2"])
    main()
    output = capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["academy", *numbers, "--format", "onde", "--delta", "0.2"])
    with pytest.raises(SystemExit) as exited:
        main()

    assert "3 schools, " in output
    assert "mistakes: " in output
    assert "changes: " in output
    assert {path.name for path in tmp_path.iterdir()} == {"complet", "delta"}
    assert exited.value.code == 2
    assert "only an AAF has a Delta" in capsys.readouterr().err
