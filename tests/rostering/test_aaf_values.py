"""Values of the AAF, and damaged files: each fault is one issue, and no other data is lost."""

from collections import Counter
from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from idp.rostering.readers import aaf as reader
from idp.rostering.records import Form, Guardian, Issue, Link, School, Severity, Student
from tests.rostering import xml_files as xml
from tests.rostering.files import issues, source
from tests.rostering.test_aaf import AAF, NAME, PARENT_1D, PRIMARY, PUPIL_1D, read, student
from tests.rostering.xml_files import PARENT, PUPIL, SCHOOL, Values
from tests.rows import each_row


@each_row(
    "value",
    [
        "9100001",
        "9100001$10$1$1$1",
        "9100001$10$1$1$1$1$1",
        "$10$1$1$1$1",
        "9100001$10$1$4$1$1",
        "9100001$10$1$$1$1",
        "9100001$10$1$-1$1$1",
        "9100001$10$1$١$1$1",
        f"{'9' * 57}$10$1$1$1$1",
    ],
)
def test_a_link_without_six_fields_is_reported_and_dropped(value: str) -> None:
    record, issue = read(xml.put("Eleve", {**PUPIL, "ENTElevePersRelEleve": [value, "9100002$20$0$1$1$0"]}))
    assert record.links == (Link("aaf:9100002", "20", 1),)
    assert (issue.severity, issue.code, issue.key) == (Severity.WARNING, "bad_link", "9200001")
    assert value not in issue.message


@each_row(
    ("written", "kinship"),
    [("1", "20"), ("2", "10"), ("3", "50"), ("4", "39"), ("5", "51"), ("6", "90"), ("7", "70")]
    + [(code, code) for code in ("10", "20", "37", "43", "70", "")],
)
def test_old_kinship_codes_have_one_digit(written: str, kinship: str) -> None:
    assert student(PUPIL, ENTElevePersRelEleve=f"9100001${written}$1$1$1$0").links == (Link("aaf:9100001", kinship, 1),)


def test_an_unknown_kinship_is_reported_and_the_link_stays() -> None:
    record, issue = read(xml.put("Eleve", {**PUPIL, "ENTElevePersRelEleve": "9100001$MERE$1$1$1$0"}))
    assert record.links == (Link("aaf:9100001", "", 1),)
    assert issues([issue]) == [("unknown_kinship", 4, "")]


@each_row("text", ["31/02/2013", "00/00/0000", "2013-09-14", "1/9/2013", "١٤/٠٩/٢٠١٣", "x" * 1000])
def test_an_impossible_date_is_reported_and_dropped(text: str) -> None:
    record, birth, left = read(xml.put("Eleve", {**PUPIL, "ENTPersonDateNaissance": text, "ENTEleveDateSortie": text}))
    assert (record.birth_date, record.left_on) == (None, None)
    assert issues([birth, left]) == [("bad_date", 4, ""), ("bad_date", 4, "")]


def test_a_leaving_date() -> None:
    assert student(PUPIL, ENTEleveDateSortie="30/06/2026").left_on == date(2026, 6, 30)


@pytest.mark.parametrize(
    ("classes", "code"),
    [(["52002$5B"], "class_of_other_school"), (["6EME1"], "bad_class"), (["52001$a$b"], "bad_class")],
)
def test_a_class_of_another_school_is_dropped(classes: list[str], code: str) -> None:
    record, issue = read(xml.put("Eleve", {**PUPIL, "ENTEleveClasses": classes}))
    assert record.class_name == ""
    assert issues([issue]) == [(code, 4, "")]


def test_a_pupil_of_two_schools_belongs_to_the_first() -> None:
    record, issue = read(xml.put("Eleve", {**PUPIL, "ENTPersonStructRattach": ["52002", "52001"]}))
    assert (record.school, record.class_name) == ("aaf:52002", "6EMEX")
    assert issues([issue]) == [("several_schools", 4, "")]


@each_row(
    "values",
    [
        {**SCHOOL, "ENTStructureUAI": "0599001A"},
        {**SCHOOL, "ENTStructureUAI": ""},
        {**SCHOOL, "ENTStructureNomCourant": "x" * 201},
        {**SCHOOL, "street": "x" * 81},
        {**SCHOOL, "ENTStructureJointure": ""},
    ],
)
def test_an_invalid_school_does_not_stop_the_other_records(values: Mapping[str, str]) -> None:
    issue, pupil = read(xml.put("EtabEducNat", values), xml.put("Eleve", PUPIL))
    assert (issue.severity, issue.code) == (Severity.WARNING, "bad_school")
    assert isinstance(pupil, Student)


def test_another_document_is_refused_and_an_empty_delta_accepted() -> None:
    assert issues(list(reader.read(source("<BEE_ELEVES>\n</BEE_ELEVES>"), AAF))) == [("not_aaf", 1, "")]
    assert read() == []


@pytest.mark.row("R-01")
def test_a_truncated_file_gives_its_complete_records_and_one_error() -> None:
    whole = xml.aaf(xml.put("Eleve", PUPIL), xml.put("PersRelEleve", PARENT))
    records = list(reader.read(source(whole[: whole.index(b"VANDEPUTTE")], NAME), AAF))
    assert [type(record) for record in records] == [Student, Issue]
    assert issues(records) == [("xml_truncated", 26, "")]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["Eleve", "PersRelEleve", "EtabEducNat", "PersEducNat"]),
        st.sampled_from([xml.put, xml.modify, xml.delete]),
        st.dictionaries(
            st.sampled_from([*PARENT, *PUPIL, *SCHOOL, *PUPIL_1D, *PARENT_1D, "iss", "x y"]),
            st.lists(
                st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=90)
                | st.sampled_from([*map(str, SCHOOL.values()), "9100001$10$1$1$1$0", "52001$6A", "14/09/2013"]),
                max_size=3,
            ),
            max_size=12,
        ),
        st.text("0123456789$ ", max_size=70),
    ),
    max_size=8,
)


def written(rows: list[tuple[str, object, Values, str]]) -> bytes:
    requests = []
    for category, kind, values, key in rows:
        if kind is xml.put:
            requests.append(xml.put(category, values, key))
        elif kind is xml.modify:
            requests.append(xml.modify(category, key, values))
        else:
            requests.append(xml.delete(category, key))
    return xml.aaf(*requests)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, st.sampled_from([AAF, PRIMARY]))
def test_every_row_becomes_a_record_or_an_issue_that_refuses_it(
    rows: list[tuple[str, object, Values, str]], form: Form
) -> None:
    counted: Counter[str] = Counter()
    for record in reader.read(source(written(rows), NAME), form):
        match record:
            case Student():
                counted["Eleve"] += 1
            case Guardian():
                counted["PersRelEleve"] += 1
            case School() | Issue(code="bad_school"):
                counted["EtabEducNat"] += 1
            case Issue(refuses="student"):
                counted["Eleve"] += 1
            case Issue(refuses="guardian"):
                counted["PersRelEleve"] += 1
            case _:
                assert isinstance(record, Issue)
                assert record.severity is Severity.WARNING
    assert counted == Counter(category for category, _, _, _ in rows if category != "PersEducNat")


WHOLE = xml.aaf(
    xml.put("EtabEducNat", SCHOOL),
    xml.put("Eleve", PUPIL),
    xml.modify("Eleve", "1", {"ENTEleveClasses": "52001$5B"}),
    xml.put("PersRelEleve", PARENT),
    xml.delete("PersRelEleve", "2"),
)


@pytest.mark.row("R-01")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, len(WHOLE)),
    st.integers(0, 40),
    st.binary(max_size=40) | st.sampled_from([b"$", b"<value/>", b"</attr>"]),
)
def test_a_file_that_was_tampered_with_never_raises(at: int, gone: int, instead: bytes) -> None:
    for record in reader.read(source((WHOLE[:at] + instead + WHOLE[at + gone :]), NAME), AAF):
        if isinstance(record, Issue):
            assert record.message
            assert record.place.line >= 1
