"""The AAF, 2D and 1D, Complet and Delta: each request is read as a record or refused with an issue."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from idp.accounts.models import Degree
from idp.rostering.readers import aaf as reader
from idp.rostering.records import Act, Form, Format, Guardian, Issue, Link, Place, Record, School, Severity, Student
from tests.rostering import xml_files as xml
from tests.rostering.files import FORM, issues, some, source
from tests.rostering.xml_files import PARENT, PUPIL, SCHOOL, Values
from tests.rows import each_row

AAF = replace(FORM, format=Format.AAF)
PRIMARY = replace(FORM, format=Format.AAF1D)
NAME = "ENT_Complet_20260901_0000.xml"

PARENT_1D: Values = {
    "ENTPersonJointure": "9100001",
    "ENTPersonNom": "LEROY-VANDEPUTTE",
    "ENTPersonPrenom": "Noémie",
    "ENTPersonNomPatro": "VANDEPUTTE",
    "ENTPersonCivilite": "Mlle",
    "ENTPersonMail": "noemie@rivebelle.test",
    "ENTPersonAdresse": "1 rue du Test",
    "ENTPersonAdresseDiffusion": "O",
}
PUPIL_1D: Values = {
    "ENTPersonNom": "LEROY",
    "ENTPersonPrenom": "Malo",
    "ENTPersonDateNaissance": "31/12/2019",
    "ENTPersonStructRattach": "61001",
    "ENTPersonClasses": ["61002$1$2$C9$CP B", "61001$1$2$C7$CP A"],
    "ENTEleveAutoriteParentale": ["9100001", "9100002$20$1"],
}


def read(*requests: str, form: Form = AAF, name: str = NAME, encoding: str = "UTF-8") -> list[Any]:
    return list(reader.read(source(xml.aaf(*requests, encoding=encoding), name), form))


def read_one(*requests: str, form: Form = AAF) -> Any:
    [record] = read(*requests, form=form)
    return record


def student(values: Values, **more: str | list[str]) -> Student:
    record = read_one(xml.put("Eleve", {**values, **more}, "9200001"))
    assert isinstance(record, Student)
    return record


def test_every_attribute_of_a_parent_is_read() -> None:
    assert read_one(xml.put("PersRelEleve", PARENT)) == Guardian(
        place=Place(NAME, 4),
        key="aaf:9100001",
        civility="Mme",
        family_name="LEROY-VANDEPUTTE",
        birth_name="VANDEPUTTE",
        given_name="Noémie",
        address_lines=("1 rue du Test", "Bât. B"),
        postcode="59990",
        city="RIVEBELLE",
        country="FRANCE",
        email="noemie@rivebelle.test",
        address_diffusion=False,
    )


def test_a_pupil_gets_the_class_of_the_own_school() -> None:
    assert read_one(xml.put("Eleve", PUPIL)) == Student(
        place=Place(NAME, 4),
        key="aaf:9200001",
        school="aaf:52001",
        student_id="701001",
        family_name="LEROY",
        given_name="Malo",
        birth_date=date(2013, 9, 14),
        class_name="6EME1",
        links=(Link("aaf:9100001", "10", 1), Link("aaf:9100002", "20", 2)),
    )


def test_every_attribute_of_a_school_is_read() -> None:
    expected = School(
        place=Place(NAME, 4),
        key="aaf:52001",
        uai="0599001N",
        name="CLG-DES-RIVES",
        degree=Degree.SECONDARY,
        address_lines=("2 quai du Test", "BP 12", "59990 RIVEBELLE"),
        phone="03 53 01 00 01",
    )
    assert read_one(xml.put("EtabEducNat", SCHOOL)) == expected
    older = {name: text for name, text in SCHOOL.items() if name != "ENTStructureUAI"}
    assert read_one(xml.put("EtabEducNat", {**older, "ENTEtablissementUAI": "0599001N"})) == expected


@each_row(
    ("kind", "degree"),
    [("ECOLE PRIMAIRE", Degree.PRIMARY), ("École maternelle", Degree.PRIMARY), ("LYCEE", Degree.SECONDARY), ("", None)],
)
def test_the_degree_comes_from_the_type(kind: str, degree: Degree | None) -> None:
    assert read_one(xml.put("EtabEducNat", {**SCHOOL, "ENTStructureTypeStruct": kind})).degree is degree
    known = read_one(xml.put("EtabEducNat", {**SCHOOL, "ENTStructureTypeStruct": kind}), form=PRIMARY)
    assert known.degree is Degree.PRIMARY


def test_the_primary_vocabulary() -> None:
    parent, pupil, school = read(
        xml.put("PersRelEleve", PARENT_1D),
        xml.put("Eleve", PUPIL_1D, "9200001"),
        xml.put(
            "EtabEducNat",
            {
                "ENTStructureJointure": "61001",
                "ENTStructureUAI": "0599002P",
                "ENTStructureNomCourant": "Ecole des Rives",
                "ENTStructureAdresse": "3 quai du Test",
                "ENTStructureCodePostal": "59990",
                "ENTStructureVille": "RIVEBELLE",
                "ENTStructureTelephone": "03 53 01 00 02",
                "ENTEcoleCommune": "RIVEBELLE",
            },
        ),
        form=PRIMARY,
    )
    assert (parent.family_name, parent.given_name, parent.civility) == ("LEROY-VANDEPUTTE", "Noémie", "Mme")
    assert (parent.email, parent.address_lines, parent.address_diffusion) == (
        "noemie@rivebelle.test",
        ("1 rue du Test",),
        True,
    )
    assert (pupil.family_name, pupil.given_name, pupil.class_name) == ("LEROY", "Malo", "CP A")
    assert pupil.links == (Link("aaf:9100001", "", 1), Link("aaf:9100002", "", 1))
    assert (school.address_lines, school.phone) == (("3 quai du Test", "59990 RIVEBELLE"), "03 53 01 00 02")


def test_the_old_keys_of_a_secondary_pupil_are_ignored() -> None:
    """Older 2D files also have `ENTEleveAutoriteParentale`, which is ignored."""
    old = student(PUPIL, ENTEleveAutoriteParentale=["9100009"])
    assert [link.guardian for link in old.links or ()] == ["aaf:9100001", "aaf:9100002"]
    alone = {name: value for name, value in PUPIL.items() if name != "ENTElevePersRelEleve"}
    assert student(alone, ENTEleveAutoriteParentale=["9100009"]).links == ()


@each_row("encoding", ["ISO-8859-15", "windows-1252", "UTF-16", "ISO-8859-1"])
def test_files_in_latin_9_and_others(encoding: str) -> None:
    [record] = read(xml.put("PersRelEleve", {**PARENT, "sn": "ŒUVRARD-É"}), encoding=encoding)
    assert (record.family_name, record.given_name, record.place.line) == ("ŒUVRARD-É", "Noémie", 4)


def test_absent_attributes_of_a_full_record_are_empty() -> None:
    assert read_one(xml.put("PersRelEleve", {"sn": "LEROY"}, "1")) == Guardian(
        place=Place(NAME, 4), key="aaf:1", family_name="LEROY"
    )
    assert read_one(xml.put("Eleve", {"sn": "LEROY"}, "1")) == Student(
        place=Place(NAME, 4), key="aaf:1", family_name="LEROY", class_name="", links=()
    )


NOTHING_OF_STUDENT: dict[str, Any] = dict.fromkeys(["school", "student_id", "family_name", "given_name"])
NOTHING_OF_GUARDIAN: dict[str, Any] = dict.fromkeys(
    ["civility", "family_name", "birth_name", "given_name", "postcode", "city", "country", "email"]
)


def test_a_delta_contains_only_the_changes() -> None:
    moved, emptied, parent = read(
        xml.modify("Eleve", "1", {"ENTPersonStructRattach": "52002", "ENTEleveClasses": "52002$5B"}),
        xml.modify("Eleve", "2", {"ENTEleveClasses": "", "ENTElevePersRelEleve": []}),
        xml.modify("PersRelEleve", "3", {"ENTPersonAdresse": "", "mail": "", "personalTitle": "M"}),
    )
    assert moved == Student(
        place=Place(NAME, 4),
        key="aaf:1",
        act=Act.MODIFY,
        **{**NOTHING_OF_STUDENT, "school": "aaf:52002"},
        class_name="5B",
    )
    assert (emptied.class_name, emptied.links, emptied.school) == ("", (), None)
    changed = {"email": "", "civility": "M."}
    assert parent == Guardian(
        place=parent.place, key="aaf:3", act=Act.MODIFY, address_lines=(), **{**NOTHING_OF_GUARDIAN, **changed}
    )


def test_a_delta_may_write_attributes_like_a_complet() -> None:
    inside = f"<attributes>{xml.attributes({'mail': 'a@rivebelle.test'})}</attributes>"
    record = read_one(xml.request("modifyRequest", "PersRelEleve", "3", inside))
    assert (record.act, record.email, record.family_name) == (Act.MODIFY, "a@rivebelle.test", None)


def test_an_operation_other_than_replace_is_reported_and_ignored() -> None:
    added = xml.attributes({"sn": "X"}, "modification", ' operation="add"')
    inside = f"<modifications>{added}</modifications>"
    issue, record = read(xml.request("modifyRequest", "PersRelEleve", "3", inside))
    assert issue.code == "unknown_operation"
    assert record.family_name is None


def test_a_delta_with_several_classes_needs_the_school() -> None:
    [single] = read(xml.modify("Eleve", "1", {"ENTEleveClasses": "52002$5B"}))
    assert (single.school, single.class_name) == (None, "5B")
    several, issue = read(xml.modify("Eleve", "1", {"ENTEleveClasses": ["52002$5B", "52001$6A"]}))
    assert several.class_name is None
    assert issues([issue]) == [("class_of_which_school", 4, "")]


def test_deletions_are_read() -> None:
    assert read(xml.delete("Eleve", "1"), xml.delete("PersRelEleve", "2"), xml.delete("EtabEducNat", "3")) == [
        Student(place=Place(NAME, 4), key="aaf:1", act=Act.DELETE, **NOTHING_OF_STUDENT),
        Guardian(place=Place(NAME, 8), key="aaf:2", act=Act.DELETE, address_lines=None, **NOTHING_OF_GUARDIAN),
        School(place=Place(NAME, 12), key="aaf:3", uai="", act=Act.DELETE),
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ENT_Delta_20260901_Eleve_0000.xml", Student),
        ("d/ENT_Delta_20260901_PersRelEleve_0012.xml", Guardian),
        ("a.tgz/ENT_EtabEducNat_0000.xml", School),
    ],
)
def test_the_file_name_replaces_a_missing_category(name: str, kind: type[Record]) -> None:
    [record] = read(xml.delete("", "1"), name=name)
    assert isinstance(record, kind)


def test_a_file_without_any_category_is_not_read() -> None:
    records = read(xml.put("Eleve", PUPIL), xml.delete("", "1"), xml.put("Eleve", PUPIL))
    assert [type(record) for record in records] == [Student, Issue]
    assert issues(records) == [("category_unknown", 20, "")]
    assert read(xml.delete("", "1"), name="ENT_PersEducNat_0000.xml") == []


def test_teachers_and_services_are_skipped() -> None:
    assert read(xml.put("PersEducNat", PARENT), xml.put("PersCollec", PARENT)) == []


@each_row(
    ("category", "values", "key", "code"),
    [
        ("Eleve", {"sn": "LEROY"}, "", "no_key"),
        ("PersRelEleve", {"sn": "LEROY"}, "", "no_key"),
        ("Eleve", {"givenName": "Malo"}, "1", "no_name"),
        ("PersRelEleve", {"sn": "  ", "givenName": "Noémie"}, "1", "no_name"),
        ("Eleve", {**PUPIL, "sn": "x" * 201}, "1", "too_long"),
        ("Eleve", {**PUPIL, "ENTEleveClasses": f"52001${'x' * 61}"}, "1", "too_long"),
        ("Eleve", {**PUPIL, "ENTEleveStructRattachId": "1" * 31}, "1", "too_long"),
        ("Eleve", {**PUPIL, "ENTPersonStructRattach": "1" * 61}, "1", "too_long"),
        ("Eleve", PUPIL, "1" * 57, "too_long"),
        ("PersRelEleve", {**PARENT, "mail": "x" * 255}, "1", "too_long"),
        ("PersRelEleve", {**PARENT, "ENTPersonNomPatro": "x" * 201}, "1", "too_long"),
        ("PersRelEleve", {**PARENT, "personalTitle": "Son Excellence"}, "1", "too_long"),
        ("PersRelEleve", {**PARENT, "ENTPersonAdresse": f"1 rue${'x' * 81}"}, "1", "too_long"),
        ("PersRelEleve", {**PARENT, "ENTPersonAdresse": "$".join("x" * 13)}, "1", "too_long"),
        ("PersRelEleve", {**PARENT, "ENTPersonPays": "x" * 81}, "1", "too_long"),
    ],
)
def test_a_refused_row_is_counted(category: str, values: Values, key: str, code: str) -> None:
    records = read(xml.put(category, values, key or " ") if key else xml.put(category, values, ""))
    refused = {"Eleve": "student", "PersRelEleve": "guardian"}[category]
    assert [issue for issue in issues(records) if issue[2]] == [(code, 4, refused)]
    assert [type(record) for record in records if not isinstance(record, Issue)] == []
    assert all(len(record.key) <= 60 for record in some(records, Issue))


@pytest.mark.row("R-11")
@pytest.mark.parametrize("mark", ["\u0301", "&#769;"])
def test_a_name_of_400_000_combining_marks_is_refused_by_its_length(mark: str) -> None:
    request = xml.put("PersRelEleve", {**PARENT, "sn": "LEROY"}).replace("LEROY", "LEROY" + mark * 400_000)
    refused, taken = read(request, xml.put("PersRelEleve", PARENT))
    assert (refused.code, refused.refuses, refused.key) == ("too_long", "guardian", "9100001")
    assert "400005 caractères" in refused.message
    assert isinstance(taken, Guardian)


@pytest.mark.row("R-09")
def test_unknown_attributes_are_reported_once_and_dropped() -> None:
    evil = {"iss": "https://evil.test", "sub": "admin", "email_verified": "true", "is_admin": "1"}
    records = read(xml.put("PersRelEleve", {**PARENT, **evil}), xml.put("PersRelEleve", {**PARENT, **evil}, "2"))
    warnings = list(some(records, Issue))
    assert [issue.message.split("»")[0] for issue in warnings] == [f"« {name} " for name in sorted(evil)]
    assert {(issue.severity, issue.code, issue.place.line) for issue in warnings} == {
        (Severity.WARNING, "unknown_attribute", 4)
    }
    guardians = list(some(records, Guardian))
    assert len(guardians) == 2
    assert "evil" not in repr(guardians)
    assert "admin" not in repr(guardians)


def test_at_most_fifty_unknown_attributes_are_reported() -> None:
    records = read(xml.put("PersRelEleve", {**PARENT, **{f"name{n}": "" for n in range(80)}, "x" * 500: ""}))
    messages = [record.message for record in some(records, Issue)]
    assert len(messages) == 51
    assert "D’autres noms" in messages[-1]
    assert max(map(len, messages)) < 250


def test_an_unexpected_element_is_reported() -> None:
    request = xml.put("PersRelEleve", PARENT).replace("<value>Noémie</value>", "<value>Noé<b>mie</b></value>")
    issue, record = read(request)
    assert issue.code == "unknown_attribute"
    assert record.given_name == ""


def test_an_attribute_without_any_value_is_empty() -> None:
    request = xml.put("PersRelEleve", PARENT).replace(
        '<attr name="mail"><value>noemie@rivebelle.test</value></attr>', ""
    )
    assert read_one(request.replace("<attributes>", '<attributes><attr name="mail"/>')).email == ""
    inside = '<modifications><modification operation="replace" name="mail"/></modifications>'
    changed = read_one(xml.request("modifyRequest", "PersRelEleve", "1", inside))
    assert (changed.email, changed.family_name) == ("", None)
