"""SIECLE's two exports: pupils are joined with their classes, people with their postal addresses, and none is lost."""

from collections import Counter
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from idp.accounts.models import Degree
from idp.rostering.readers import siecle as reader
from idp.rostering.records import Form, Guardian, Issue, Link, Place, School, Severity, Student, StudentLink
from tests.rostering import xml_files as xml
from tests.rostering.files import FORM, SCHOOL, issues, some, source
from tests.rows import each_row

NAME = "ElevesAvecAdresses.xml"
NO_SCHOOL = replace(FORM, school=None)
KNOWN_SCHOOL = School(place=Place(NAME, 3), key="0599001N", uai="0599001N", degree=Degree.SECONDARY)


def read(root: str, *rows: str, uaj: str = SCHOOL, form: Form = NO_SCHOOL) -> list[Any]:
    return list(reader.read(source(xml.siecle(root, *rows, uaj=uaj), NAME), form))


def pupils(*rows: str) -> list[Any]:
    school, *records = read("BEE_ELEVES", *rows)
    assert school == KNOWN_SCHOOL
    return records


def people(*rows: str) -> list[Any]:
    school, *records = read("BEE_RESPONSABLES", *rows)
    assert school == KNOWN_SCHOOL
    return records


@pytest.mark.parametrize("root", ["BEE_ELEVES", "BEE_EPHC_ELEVES"])
def test_a_pupil_is_read_with_a_later_class(root: str) -> None:
    assert read(root, xml.pupil("812"), xml.pupil("813"), xml.placed("812", ("6ESP1", "G"), ("6A", "D"))) == [
        KNOWN_SCHOOL,
        Student(
            place=Place(NAME, 5),
            key="siecle:812",
            school="0599001N",
            student_id="812",
            family_name="LEROY",
            given_name="Malo",
            birth_date=date(2013, 9, 14),
            class_name="6A",
        ),
        Student(
            place=Place(NAME, 6),
            key="siecle:813",
            school="0599001N",
            student_id="813",
            family_name="LEROY",
            given_name="Malo",
            birth_date=date(2013, 9, 14),
            class_name="",
        ),
    ]


@pytest.mark.parametrize("root", ["BEE_RESPONSABLES", "BEE_EPHC_RESPONSABLES"])
def test_a_person_is_read_with_a_later_postal_address(root: str) -> None:
    rows = [
        xml.person("5", NOM_USAGE="LEROY", ADRESSE_ID="70", MEL="noemie@rivebelle.test", COMMUNICATION_ADRESSE="0"),
        xml.responsible("812", "5", NIVEAU_RESPONSABILITE="1"),
        xml.postal_address("70", LIGNE2_ADRESSE=" ", LIGNE3_ADRESSE="Bât. B", LL_PAYS="FRANCE"),
    ]
    assert read(root, *rows) == [
        KNOWN_SCHOOL,
        StudentLink(place=Place(NAME, 6), student="siecle:812", link=Link("siecle:5", "10", 1)),
        Guardian(
            place=Place(NAME, 5),
            key="siecle:5",
            civility="Mme",
            family_name="LEROY",
            birth_name="VANDEPUTTE",
            given_name="Noémie",
            address_lines=("1 rue du Test", "Bât. B"),
            postcode="59990",
            city="RIVEBELLE",
            country="FRANCE",
            email="noemie@rivebelle.test",
            address_diffusion=False,
        ),
    ]


def test_any_order_of_the_sections_gives_the_same_people() -> None:
    rows = [xml.pupil("812"), xml.pupil("813"), xml.placed("812", ("6A", "D")), xml.placed("813", ("6B", "D"))]
    there = {(item.key, item.class_name) for item in some(pupils(*rows), Student)}
    back = {(item.key, item.class_name) for item in some(pupils(*rows[::-1]), Student)}
    assert there == back == {("siecle:812", "6A"), ("siecle:813", "6B")}
    [guardian] = people(xml.postal_address("70"), xml.person("5", ADRESSE_ID="70"))
    assert guardian.city == "RIVEBELLE"


def test_parameters_at_the_end_name_the_school() -> None:
    rows = xml.pupil("812") + xml.placed("812", ("6A", "D"))
    content = f"<BEE_ELEVES>{rows}<PARAMETRES><UAJ>0599001N</UAJ></PARAMETRES></BEE_ELEVES>"
    school, student = reader.read(source(content), NO_SCHOOL)
    assert isinstance(school, School)
    assert isinstance(student, Student)
    assert (student.school, student.class_name) == ("0599001N", "6A")


def test_ids_in_child_elements_and_old_names_are_read() -> None:
    rows = [
        "<ELEVE><ELEVE_ID>812</ELEVE_ID><NOM>LEROY</NOM><PRENOM>Malo</PRENOM><INE_BEA>0</INE_BEA></ELEVE>",
        xml.placed("", ("6A", "D"))
        .replace(' ELEVE_ID=""', "")
        .replace("<STRUCTURE>", "<ELEVE_ID>812</ELEVE_ID><STRUCTURE>"),
    ]
    [student] = pupils(*rows)
    assert (student.key, student.family_name, student.class_name) == ("siecle:812", "LEROY", "6A")
    [guardian] = people(
        "<PERSONNE><PERSONNE_ID>5</PERSONNE_ID><NOM>LEROY</NOM><PRENOM>Noé</PRENOM><LL_CIVILITE>MONSIEUR</LL_CIVILITE>"
        "<ADRESSE_ID>70</ADRESSE_ID></PERSONNE>",
        "<ADRESSE><ADRESSE_ID>70</ADRESSE_ID><LL_COMMUNE_INSEE>RIVEBELLE</LL_COMMUNE_INSEE></ADRESSE>",
    )
    named = (guardian.family_name, guardian.birth_name, guardian.civility, guardian.city)
    assert named == ("LEROY", "", "M.", "RIVEBELLE")


def test_the_usual_name_of_a_pupil_replaces_the_family_name() -> None:
    [student] = pupils(xml.pupil("812", NOM_USAGE="VANDEPUTTE"))
    assert student.family_name == "VANDEPUTTE"


def test_the_school_of_last_year_is_ignored() -> None:
    row = xml.pupil("812").replace(
        "</ELEVE>", "<SCOLARITE_AN_DERNIER><PRENOM>X</PRENOM><NOM_USAGE>Y</NOM_USAGE></SCOLARITE_AN_DERNIER></ELEVE>"
    )
    [student] = pupils(row)
    assert (student.given_name, student.family_name) == ("Malo", "LEROY")


def test_a_leaving_date_is_read_and_an_impossible_date_reported() -> None:
    issue, left, bad = pupils(xml.pupil("812", DATE_SORTIE="30/06/2026"), xml.pupil("813", DATE_NAISS="31/02/2013"))
    assert left.left_on == date(2026, 6, 30)
    assert bad.birth_date is None
    assert issues([issue]) == [("bad_date", 6, "")]


@each_row(
    ("words", "authority"),
    [
        ({"NIVEAU_RESPONSABILITE": "1"}, 1),
        ({"NIVEAU_RESPONSABILITE": "2"}, 2),
        ({"NIVEAU_RESPONSABILITE": "3"}, 3),
        ({"RESP_LEGAL": "1"}, 1),
        ({"RESP_LEGAL": "2"}, 1),
        ({"RESP_LEGAL": "0"}, 3),
        ({"RESP_LEGAL": "1", "NIVEAU_RESPONSABILITE": "3"}, 3),
    ],
)
def test_authority_is_read_from_old_and_new_attributes(words: dict[str, str], authority: int) -> None:
    [link] = people(xml.responsible("812", "5", **words))
    assert link.link == Link("siecle:5", "10", authority)


@each_row(("written", "kinship"), [("1", "20"), ("2", "10"), ("7", "70"), ("20", "20"), ("42", "42")])
def test_old_and_new_kinship_codes_are_read(written: str, kinship: str) -> None:
    [link] = people(xml.responsible("812", "5", RESP_LEGAL="1", CODE_PARENTE=written))
    assert link.link.kinship == kinship


@each_row(
    "row",
    [
        xml.responsible("812", "5"),
        xml.responsible("", "5", RESP_LEGAL="1"),
        xml.responsible("812", "", RESP_LEGAL="1"),
        xml.responsible("812", "5", RESP_LEGAL="9"),
        xml.responsible("812", "5", NIVEAU_RESPONSABILITE="0", RESP_LEGAL="1"),
        xml.responsible("8" * 60, "5", RESP_LEGAL="1"),
    ],
)
def test_an_invalid_link_is_reported(row: str) -> None:
    assert issues(people(row)) == [("bad_link", 5, "")]


def test_two_first_legal_representatives_are_reported_and_kept() -> None:
    rows = [("812", "5", "1"), ("812", "6", "2"), ("812", "5", "1"), ("813", "5", "1"), ("812", "7", "1")]
    records = people(*(xml.responsible(pupil, person, RESP_LEGAL=legal) for pupil, person, legal in rows))
    assert issues(records) == [("two_first_legal", 9, "")]
    assert [item.link.authority for item in some(records, StudentLink)] == [1, 1, 1, 1, 1]
    [issue] = some(records, Issue)
    assert (issue.severity, issue.key) == (Severity.WARNING, "812")


def test_two_legal_representatives_in_new_attributes_are_valid() -> None:
    rows = [xml.responsible("812", person, NIVEAU_RESPONSABILITE="1", RESP_LEGAL="1") for person in ("5", "6")]
    assert issues(people(*rows)) == []


def test_people_share_a_postal_address_or_have_none() -> None:
    records = people(
        *(xml.person(key, ADRESSE_ID="70") for key in ("5", "6")),
        xml.person("7"),
        xml.person("8", ADRESSE_ID="99"),
        xml.postal_address("70"),
    )
    cities = {item.key: item.city for item in some(records, Guardian)}
    assert cities == {"siecle:5": "RIVEBELLE", "siecle:6": "RIVEBELLE", "siecle:7": "", "siecle:8": ""}
    assert issues(records) == [("address_missing", 8, "")]


@each_row(
    ("root", "row", "code"),
    [
        ("BEE_ELEVES", xml.pupil(""), "no_key"),
        ("BEE_ELEVES", xml.pupil("812", NOM_DE_FAMILLE=""), "no_name"),
        ("BEE_ELEVES", xml.pupil("812", PRENOM="x" * 201), "too_long"),
        ("BEE_ELEVES", xml.pupil("8" * 31), "too_long"),
        ("BEE_ELEVES", xml.pupil("812") + xml.placed("812", ("x" * 61, "D")), "too_long"),
        ("BEE_RESPONSABLES", xml.person(""), "no_key"),
        ("BEE_RESPONSABLES", xml.person("5", NOM_DE_FAMILLE=""), "no_name"),
        ("BEE_RESPONSABLES", xml.person("5", NOM_USAGE="x" * 201), "too_long"),
        ("BEE_RESPONSABLES", xml.person("5", MEL="x" * 255), "too_long"),
        (
            "BEE_RESPONSABLES",
            xml.person("5", ADRESSE_ID="1") + xml.postal_address("1", LIGNE4_ADRESSE="x" * 81),
            "too_long",
        ),
        (
            "BEE_RESPONSABLES",
            xml.person("5", ADRESSE_ID="1") + xml.postal_address("1", CODE_POSTAL="5" * 21),
            "too_long",
        ),
    ],
)
def test_a_refused_row_is_counted(root: str, row: str, code: str) -> None:
    school, *records = read(root, row)
    assert school == KNOWN_SCHOOL
    assert issues(records) == [(code, 5, "student" if root == "BEE_ELEVES" else "guardian")]
    assert len(records) == 1


@pytest.mark.row("R-11")
def test_a_name_of_400_000_combining_marks_is_refused_by_its_length() -> None:
    row = xml.person("5", NOM_DE_FAMILLE="@").replace("@", "E" + "&#769;" * 400_000)
    assert issues(people(row)) == [("too_long", 5, "guardian")]


@pytest.mark.row("R-09")
def test_unknown_attributes_are_reported_once_and_dropped() -> None:
    more = {"sub": "evil", "is_admin": "evil"}
    for records in (
        pupils(xml.pupil("812", **more), xml.pupil("813", **more)),
        people(xml.person("5", **more), xml.person("6", **more)),
    ):
        assert issues(records) == [("unknown_attribute", 5, ""), ("unknown_attribute", 5, "")]
        assert len(records) == 4
        assert "evil" not in repr(records)


@each_row("uaj", ["", "0599001A", "x"])
@each_row("root", ["BEE_ELEVES", "BEE_RESPONSABLES"])
def test_the_operator_names_the_school_of_a_file_without_uai(uaj: str, root: str) -> None:
    rows = [xml.pupil("812"), xml.placed("812", ("6A", "D"))] if root == "BEE_ELEVES" else []
    school, *records = read(root, *rows, uaj=uaj, form=FORM)
    assert school == KNOWN_SCHOOL
    assert issues(records) == []
    refused = read(root, *rows, uaj=uaj)
    rest = [("school_unknown", 5, "student")] if rows else []
    assert issues(refused) == [("school_unknown", 3, ""), *rest]
    assert len(refused) == 1 + len(rest)
    assert issues(read(root, uaj=uaj, form=replace(FORM, school="0599001A"))) == [("school_unknown", 3, "")]


def test_a_file_without_parameters() -> None:
    content = f"<BEE_ELEVES>\n{xml.pupil('812')}</BEE_ELEVES>"
    assert issues(list(reader.read(source(content), NO_SCHOOL))) == [
        ("school_unknown", 1, ""),
        ("school_unknown", 2, "student"),
    ]
    school, student = reader.read(source(content), FORM)
    assert isinstance(school, School)
    assert isinstance(student, Student)
    assert student.school == SCHOOL


@each_row(
    ("content", "expected"),
    [
        ("<BEE_NOMENCLATURES><DONNEES/></BEE_NOMENCLATURES>", ("not_needed", 1, "")),
        ("<BEE_STRUCTURES><PARAMETRES/></BEE_STRUCTURES>", ("not_needed", 1, "")),
        ("<ficAlimMENESR/>", ("not_siecle", 1, "")),
        ("<html><ELEVE/></html>", ("not_siecle", 1, "")),
        ("ELEVES", ("not_xml", 1, "")),
        ("", ("empty_file", 1, "")),
    ],
)
def test_other_documents_are_reported(content: str, expected: tuple[str, int, str]) -> None:
    assert issues(list(reader.read(source(content), FORM))) == [expected]


@pytest.mark.row("R-01")
@pytest.mark.parametrize(
    ("root", "rows", "refused"),
    [
        ("BEE_ELEVES", [xml.pupil("812"), xml.pupil("813"), xml.placed("812", ("6A", "D"))], "student"),
        (
            "BEE_RESPONSABLES",
            [xml.person("5", ADRESSE_ID="1"), xml.person("6", ADRESSE_ID="2"), xml.postal_address("1")],
            "guardian",
        ),
    ],
)
def test_incomplete_records_of_a_truncated_file_are_refused(root: str, rows: list[str], refused: str) -> None:
    content = xml.siecle(root, *rows)
    records = list(reader.read(source(content[: content.index(b"</DONNEES>")], NAME), FORM))
    assert issues(records) == [("xml_truncated", 8, ""), ("cut_off", 6, refused)]
    assert len(records) == 4


def test_a_repeated_pupil_is_read_twice() -> None:
    rows = [xml.pupil("812"), xml.pupil("812", PRENOM="Mahaut"), xml.placed("812", ("6A", "D"))]
    assert [(item.given_name, item.class_name) for item in some(pupils(*rows), Student)] == [
        ("Malo", "6A"),
        ("Mahaut", "6A"),
    ]


TEXTS = st.text(st.characters(codec="iso8859-15", exclude_categories=["C"]), max_size=70)
KEYS = st.text("0123456789", max_size=3)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.one_of(
        st.builds(xml.pupil, KEYS, NOM_DE_FAMILLE=TEXTS, DATE_NAISS=TEXTS, NOM_USAGE=TEXTS),
        st.builds(lambda key, name: xml.placed(key, (name, "D")), KEYS, TEXTS),
        st.builds(xml.person, KEYS, ADRESSE_ID=KEYS, NOM_DE_FAMILLE=TEXTS, MEL=TEXTS, COMMUNICATION_ADRESSE=TEXTS),
        st.builds(xml.responsible, KEYS, KEYS, RESP_LEGAL=st.sampled_from("0123"), CODE_PARENTE=TEXTS),
        st.builds(xml.postal_address, KEYS, CODE_POSTAL=TEXTS, LIGNE2_ADRESSE=TEXTS),
    ), max_size=12),
    st.sampled_from(["", SCHOOL]),
    st.integers(0, 40),
)  # fmt: skip
def test_every_row_becomes_a_record_or_an_issue_that_refuses_it(rows: list[str], uaj: str, cut: int) -> None:
    """A truncated file is read up to its last complete row."""
    for root, tag, kind, name in (
        ("BEE_ELEVES", "</ELEVE>", Student, "student"),
        ("BEE_RESPONSABLES", "</PERSONNE>", Guardian, "guardian"),
    ):
        content = xml.siecle(root, *rows, uaj=uaj, encoding="UTF-8")
        content = content[: len(content) - cut]
        counted: Counter[str] = Counter()
        for record in reader.read(source(content, NAME), NO_SCHOOL):
            counted["row"] += isinstance(record, kind) or (isinstance(record, Issue) and record.refuses == name)
            counted["link"] += isinstance(record, StudentLink) or (
                isinstance(record, Issue) and record.code == "bad_link"
            )
        assert counted["row"] == content.count(tag.encode())
        assert counted["link"] == (content.count(b"</RESPONSABLE_ELEVE>") if name == "guardian" else 0)


WHOLE = [
    xml.siecle("BEE_ELEVES", xml.pupil("812"), xml.placed("812", ("6A", "D"))),
    xml.siecle(
        "BEE_RESPONSABLES", xml.person("5", ADRESSE_ID="1"), xml.responsible("812", "5"), xml.postal_address("1")
    ),
]


@pytest.mark.row("R-01")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(WHOLE), st.integers(0, 500), st.integers(0, 40), st.binary(max_size=40))
def test_a_file_that_was_tampered_with_never_raises(whole: bytes, at: int, gone: int, instead: bytes) -> None:
    for record in reader.read(source((whole[:at] + instead + whole[at + gone :]), NAME), FORM):
        if isinstance(record, Issue):
            assert record.message
            assert record.place.line >= 1
