"""Plain CSV, and how formats are recognized by the content of files."""

import gzip
import io
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from idp.accounts.models import Degree
from idp.rostering.files.sources import Source, open_sources
from idp.rostering.readers import csv_file
from idp.rostering.reading import mode_of, path_in_archives, recognise
from idp.rostering.records import Format, Guardian, Link, Mode, Place, Record, School, Severity, Student, StudentLink
from tests.rostering.files import FORM, OTHER, SCHOOL, issues, some, source
from tests.rostering.test_onde import ONDE_GUARDIANS, ONDE_PUPILS
from tests.rows import each_row

PUPILS = (
    "id;INE;Nom *;Prénom *;Date de naissance;Classe;UAI;Date de sortie;IdResponsable1;Parenté 1;"
    "IdResponsable2;Parenté 2\n"
    f"701001;000000000AA;LEROY;Malo;14/09/2013;6A;{OTHER};;P1;Mère;P2;père\n"
    "701002;;ÖZ;Can;2013-01-31;;;30/06/2026;P3;10;;\n"
)
GUARDIANS = (
    "externalId;Nom;Nom d’usage;Prénom;Civilité;Adresse;Adresse 2;Code postal;Ville;Pays;Courriel;idEnfant1;idEnfant2\n"
    "P1;VANDEPUTTE;LEROY;Noémie;Madame;1 rue du Test;Bât. B;59990;Rivebelle;FRANCE;n.leroy@exemple.fr;701001;701003\n"
    "p1;ÖZ;;Ali;M;;;;;;;;701002\n"
)
NAMED = (
    "nom;prenom;email;nom enfant;prenom enfant;classe enfant;nom enfant2;prenom enfant2;classe enfant2\n"
    "LEROY;Noémie;n@exemple.fr;LEROY;Malo;6A;LEROY;Zoé;4B\n"
    "LEROY;Jean;j@exemple.fr;Leroy;malo;6A;;;\n"
    "LEROY;Paul;;LEROY;Malo;6A;;;\n"
)


def read(content: str, **form: object) -> list[Any]:
    return list(csv_file.read(source(content), replace(FORM, **form)))  # type: ignore[arg-type]


def people(records: Sequence[Record], kind: type[Any]) -> list[str]:
    return [item.key for item in some(records, kind)]


def links(records: Sequence[Record]) -> list[tuple[str, Link]]:
    return [(item.student, item.link) for item in some(records, StudentLink)]


def test_pupils_with_their_guardians() -> None:
    records = read(PUPILS, degree=Degree.SECONDARY)
    assert issues(records) == []
    first, second, born = Place("familles.csv", 2), Place("familles.csv", 3), date(2013, 9, 14)
    assert records == [
        School(place=first, key=OTHER, uai=OTHER, degree=Degree.SECONDARY),
        Student(
            place=first, key=f"csv:{OTHER}:701001", school=OTHER, student_id="701001", family_name="LEROY",
            given_name="Malo", birth_date=born, class_name="6A",
        ),
        StudentLink(place=first, student=f"csv:{OTHER}:701001", link=Link(f"csv:{OTHER}:P1", "10", 1), birth_date=born),
        StudentLink(place=first, student=f"csv:{OTHER}:701001", link=Link(f"csv:{OTHER}:P2", "20", 1), birth_date=born),
        School(place=second, key=SCHOOL, uai=SCHOOL, degree=Degree.SECONDARY),
        Student(
            place=second, key=f"csv:{SCHOOL}:701002", school=SCHOOL, student_id="701002", family_name="ÖZ",
            given_name="Can", birth_date=date(2013, 1, 31), left_on=date(2026, 6, 30),
        ),
        StudentLink(
            place=second, student=f"csv:{SCHOOL}:701002", link=Link(f"csv:{SCHOOL}:P3", "10", 1),
            birth_date=date(2013, 1, 31),
        ),
    ]  # fmt: skip


def test_guardians_with_numbers() -> None:
    school, noemie, malo, third, ali, can = read(GUARDIANS)
    assert isinstance(school, School)
    place = Place("familles.csv", 2)
    key = f"csv:{SCHOOL}:P1"
    assert noemie == Guardian(
        place=place, key=key, civility="Mme", family_name="LEROY", birth_name="VANDEPUTTE", given_name="Noémie",
        address_lines=("1 rue du Test", "Bât. B"), postcode="59990", city="Rivebelle", country="FRANCE",
        email="n.leroy@exemple.fr",
    )  # fmt: skip
    assert malo == StudentLink(place=place, student=f"csv:{SCHOOL}:701001", link=Link(key))
    assert third == StudentLink(place=place, student=f"csv:{SCHOOL}:701003", link=Link(key))
    assert (ali.key, ali.family_name, ali.birth_name) == (f"csv:{SCHOOL}:p1", "ÖZ", "ÖZ")
    assert isinstance(can, StudentLink)


def test_a_guardian_file_alone_creates_the_pupils_that_it_names() -> None:
    records = read(NAMED)
    assert issues(records) == []
    malo, zoe, again = some(records, Student)
    assert (malo.given_name, malo.class_name, malo.student_id) == ("Malo", "6A", "")
    assert (zoe.given_name, zoe.class_name) == ("Zoé", "4B")
    assert again.key == malo.key  # spelled otherwise, so said again; the third row says the same as the first
    assert [student for student, _ in links(records)] == [malo.key, zoe.key, malo.key, malo.key]
    assert len(set(people(records, Guardian))) == 3


def test_children_without_a_class_create_only_links() -> None:
    records = read("nom;prenom;nomenfant;prenomenfant\nLEROY;Noémie;LEROY;Malo\n")
    assert list(some(records, Student)) == []
    [(student, _)] = links(records)
    assert student == people(read("nom;prenom;classe\nLEROY;Malo;6A\n"), Student)[0]


def test_a_school_is_read_once_and_a_pupil_again_only_when_changed() -> None:
    records = read(NAMED + "LEROY;Anne;;LEROY;Malo;6B;;;\n")
    assert len(list(some(records, School))) == 1
    assert [item.class_name for item in some(records, Student)] == ["6A", "4B", "6A", "6B"]


@each_row(
    ("header", "cell", "authority"),
    [
        ("autorite", "1", 1), ("Autorité", "2", 2), ("Niveau responsabilité", "3", 3), ("autorite", "0", 0),
        ("autorite", "Légal", 1), ("autorite", "Personne à contacter", 3), ("autorité 1", "non", 0),
    ],
)  # fmt: skip
def test_authority_is_read_from_its_column(header: str, cell: str, authority: int) -> None:
    records = read(f"id;nom;prenom;idenfant1;{header}\nP1;LEROY;Noémie;1;{cell}\n")
    assert [link.authority for _, link in links(records)] == [authority]
    assert issues(records) == []


@each_row("cell", ["", "4", "peut-être", "1" * 500])
def test_an_unclear_authority_grants_no_right(cell: str) -> None:
    records = read(f"id;nom;prenom;idenfant;autorite\nP1;LEROY;Noémie;1;{cell}\n")
    assert [link.authority for _, link in links(records)] == [0]
    assert issues(records) == [("authority_unclear", 2, "")]


def test_each_child_may_have_its_own_rights() -> None:
    records = read("id;nom;prenom;idenfant1;autorite1;lien1;idenfant2;autorite2;lien2\nP;A;B;1;1;mère;2;3;autre\n")
    assert [(link.kinship, link.authority) for _, link in links(records)] == [("10", 1), ("90", 3)]


@each_row(
    ("cell", "kinship"),
    [("10", "10"), ("2", "10"), ("1", "20"), ("Mère", "10"), ("PÈRE", "20"), ("Tutrice", "50"), ("grand-mère", "38"),
     ("Assistant familial", "42"), ("", "")],
)  # fmt: skip
def test_kinship_is_a_code_or_a_word(cell: str, kinship: str) -> None:
    records = read(f"id;nom;prenom;idenfant;parente\nP1;LEROY;Noémie;1;{cell}\n")
    assert [link.kinship for _, link in links(records)] == [kinship]
    assert issues(records) == []


def test_an_unknown_kinship_is_a_warning() -> None:
    records = read("id;nom;prenom;idenfant;parente\nP1;LEROY;Noémie;1;voisine\n")
    assert issues(records) == [("kinship_unknown", 2, "")]


@pytest.mark.row("R-09")
@each_row("name", ["iss", "sub", "email_verified", "is_admin"])
def test_a_column_named_like_a_claim_is_an_unknown_column(name: str) -> None:
    plain = "id;nom;prenom;email;idenfant\nP1;LEROY;Noémie;n@exemple.fr;1\n"
    issue, *records = read(plain.replace("idenfant", f"idenfant;{name}").replace(";1\n", ";1;true\n"))
    assert (issue.code, issue.severity) == ("unknown_column", Severity.WARNING)
    assert f"« {name} »" in issue.message
    assert records == read(plain)


@pytest.mark.row("R-03")
def test_a_repeated_header_is_an_error() -> None:
    [issue] = read("nom;prenom;classe;Nom\nA;B;C;D\n")
    assert (issue.code, issue.severity, issue.refuses) == ("column_twice", Severity.ERROR, "")
    assert issues(read("nom;prenom;idenfant1;idenfant1\nA;B;C;D\n")) == [("column_twice", 1, "")]


def test_child_columns_may_repeat_and_a_synonym_is_reported() -> None:
    assert len(links(read("nom;prenom;idenfant;idenfant\nA;B;1;2\n"))) == 2
    assert issues(read("nom;prenom;idenfant;email;courriel\nA;B;1;a@exemple.fr;b@exemple.fr\n")) == [
        ("unknown_column", 1, "")
    ]


def test_the_file_or_the_operator_names_the_school() -> None:
    assert issues(read(NAMED, school=None)) == [("school_needed", 1, "")]
    assert len(read(NAMED, school=None)) == 1
    assert issues(read(NAMED, school="0599001A")) == [("school_wrong", 1, "")]
    assert issues(read(PUPILS, school=None)) == [("row_without_school", 3, "student")]
    assert issues(read(PUPILS.replace(OTHER, "0599002A"))) == [("row_without_school", 2, "student")]


@each_row("headers", ["nom;ville", "id;prenom", "nom;prenom", "nom;prenom;cantine"])
def test_a_file_without_required_columns_is_refused(headers: str) -> None:
    assert issues(read(f"{headers}\nA;B\n")) == [("columns_missing", 1, "")]


@pytest.mark.row("R-11")
@each_row(
    ("row", "code"),
    [
        ("P1;;Noémie;1", "guardian_without_name"),
        ("P1;LEROY;;1", "guardian_without_name"),
        (f"P1;{'x' * 201};Noémie;1", "field_too_long"),
        (f"{'1' * 61};LEROY;Noémie;1", "field_too_long"),
        ('P1;"LE\nROY";Noémie;1', "control_character"),
        ("P1;LE\x1b[2JROY;Noémie;1", "control_character"),
        ("P1;LEROY;Noémie;1;x", "too_many_cells"),
    ],
)
def test_an_invalid_guardian_is_refused_with_the_line(row: str, code: str) -> None:
    records = read(f"id;nom;prenom;idenfant\n{row}\nP2;ÖZ;Ali;2\n")
    assert issues(records) == [(code, 2, "guardian")]
    assert people(records, Guardian) == [f"csv:{SCHOOL}:P2"]


def test_a_file_of_headers_only_is_reported() -> None:
    assert issues(read("nom;prenom;classe\n\n;;\n")) == [("no_rows", 1, "")]


def test_a_child_of_a_refused_parent_is_accepted() -> None:
    records = read("nom;prenom;nomenfant;prenomenfant;classeenfant\n;;LEROY;Malo;6A\n")
    assert len(people(records, Student)) == 1
    assert issues(records) == [("guardian_without_name", 2, "guardian")]


def test_a_child_without_a_name_is_refused_and_the_parent_accepted() -> None:
    records = read("nom;prenom;nomenfant;prenomenfant;classeenfant\nLEROY;Noémie;LEROY;;6A\n")
    assert issues(records) == [("child_without_name", 2, "student")]
    assert len(people(records, Guardian)) == 1


def test_an_invalid_number_drops_only_the_link() -> None:
    records = read(f"id;nom;prenom;idenfant\nP1;LEROY;Noémie;{'1' * 61}\n")
    assert issues(records) == [("link_unreadable", 2, "")]
    records = read(f"id;nom;prenom;classe;relative\n1;LEROY;Malo;6A;{'1' * 61}\n")
    assert issues(records) == [("link_unreadable", 2, "")]


_CELL = st.text(st.sampled_from("aéB1 \x1b/"), max_size=4)
_LONG = st.sampled_from(["x" * 61, "x" * 201, "x" * 300, "1" * 61])


@given(st.lists(st.lists(_CELL | _LONG, min_size=1, max_size=14), max_size=6))
def test_every_row_becomes_a_record_or_an_issue_that_refuses_it(rows: list[list[str]]) -> None:
    headers = {kind: text.splitlines()[0] for kind, text in (("student", PUPILS), ("guardian", GUARDIANS))}
    headers["guardian of named children"] = NAMED.splitlines()[0]
    written = [number for number, row in enumerate(rows, 2) if "".join(row).strip()]
    for kind, header in headers.items():
        refused = kind.split()[0]
        record_type = Student if refused == "student" else Guardian
        records = read("\n".join([header, *map(";".join, rows), ""]))
        lines = [item.place.line for item in records if isinstance(item, record_type)]
        lines += [line for _, line, refuses in issues(records) if refuses == refused]
        assert sorted(lines) == written


@given(st.binary(max_size=300))
def test_arbitrary_bytes_do_not_raise(content: bytes) -> None:
    for header in (b"", b"nom;prenom;classe\n", NAMED.splitlines()[0].encode() + b"\n", b"nom,prenom,idenfant\r"):
        assert list(csv_file.read(source(header + content), FORM))


AAF = '<ficAlimMENESR><addRequest><attr name="ENTPersonNomPatro"/></addRequest></ficAlimMENESR>'
AAF1D = '<ficAlimMENESR><addRequest><attr name="ENTPersonNom"/></addRequest></ficAlimMENESR>'
PROLOGS = [
    "",
    '<?xml version="1.0" encoding="ISO-8859-15"?>\n',
    "\n  <!-- <BEE_ELEVES> --> <?x <BEE_ELEVES>?>\n",
    '<!DOCTYPE ficAlimMENESR SYSTEM "fic>Alim.dtd">',
    """<!DOCTYPE x PUBLIC 'a"[' "b'>" [ <!ENTITY a "]><BEE_ELEVES>"> <!-- ]> ' --> <?p ]> "?> <!ELEMENT x ANY> ] >\n""",
]


@each_row("prolog", PROLOGS)
@each_row("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso8859-15"])
def test_aaf_is_recognised_by_its_root_element(prolog: str, encoding: str) -> None:
    assert recognise(source(prolog + AAF, encoding=encoding)) is Format.AAF
    assert recognise(source(prolog + AAF1D, encoding=encoding)) is Format.AAF1D


@pytest.mark.parametrize("name", ["ENTPersonNom", "ENTPersRelEleveEleve", "ENTEcoleUAI"])
def test_aaf_of_primary_schools_is_recognised_by_its_vocabulary(name: str) -> None:
    assert recognise(source(f"<ficAlimMENESR><attr name='{name}'/>")) is Format.AAF1D


def test_aaf_of_primary_schools_is_recognised_by_its_archive_name() -> None:
    assert recognise(source(AAF, "ENT1D.20260901.Complet.tgz/ENT_EtabEducNat_0000.xml")) is Format.AAF1D
    assert recognise(source(AAF, "ENT2DVA.20260901.Complet.tgz/ENT_EtabEducNat_0000.xml")) is Format.AAF


@each_row("root", ["BEE_ELEVES", "BEE_EPHC_ELEVES", "BEE_RESPONSABLES", "BEE_EPHC_RESPONSABLES"])
def test_siecle_is_recognised(root: str) -> None:
    xml = f'<?xml version="1.0" encoding="ISO-8859-15"?><{root} xmlns:xsi="x"><PARAMETRES/>'
    assert recognise(source(xml, encoding="iso8859-15")) is Format.SIECLE


@each_row(
    "content",
    ["<BEE_NOMENCLATURES/>", "<BEE_STRUCTURES/>", "<html>", "", "\0", "nom;ville\nA;B\n", "<!-- <BEE_ELEVES>", "<"],
)
def test_other_files_are_not_recognised(content: str) -> None:
    assert recognise(source(content)) is None


@each_row("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_csv_is_recognised_by_its_headers(encoding: str) -> None:
    assert recognise(source(ONDE_PUPILS, encoding=encoding)) is Format.ONDE
    assert recognise(source(ONDE_GUARDIANS, encoding=encoding)) is Format.ONDE
    assert recognise(source(PUPILS, encoding=encoding)) is Format.CSV
    assert recognise(source(GUARDIANS.replace(";", "\t"), encoding=encoding)) is Format.CSV


def test_recognition_leaves_the_stream_unread() -> None:
    looked = source(AAF * 5_000)
    recognise(looked)
    assert looked.stream.read() == AAF.encode() * 5_000


def test_a_file_after_a_long_comment_is_recognised_in_an_archive(tmp_path: Path) -> None:
    content = f"<!-- {'x' * 60_000} -->{AAF}".encode()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("x")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    for name, raw in (("a.tgz", gzip.compress(file.getvalue())), ("a.xml", content)):
        (tmp_path / name).write_bytes(raw)
        [recognised] = [
            recognise(item) for item in open_sources([tmp_path / name], lambda _: None) if type(item) is Source
        ]
        assert recognised is Format.AAF


@each_row(
    "content",
    ["<!--" * 9_000, "<!DOCTYPE x [" + "<!-- -->" * 4_000, "<!DOCTYPE x " + "'\"" * 9_000, "<?" * 9_000, "[" * 9_000],
)
def test_an_adversarial_beginning_is_not_recognised(content: str) -> None:
    assert recognise(source(content)) is None


@each_row(
    ("name", "mode"),
    [
        ("ENT_0599001N_Complet_20260901_Eleve_0000.xml", Mode.COMPLETE),
        ("ENT2DVA.20260901.Complet.tgz/ENT_Eleve_0000.xml", Mode.COMPLETE),
        ("ENT2DComplet20260901.tgz", Mode.COMPLETE),
        ("dossier/ENT_0599001N_DELTA_20260901.xml", Mode.DELTA),
        ("ENT1D-delta.tgz/part.xml", Mode.DELTA),
        ("Delta/ENT_Complet.xml", Mode.COMPLETE),
        ("ElevesAvecAdresses.xml", None),
        ("incomplet.xml", None),
        ("INCOMPLET.xml", None),
        ("deltas_completes.xml", None),
        ("Complet_ou_Delta.xml", None),
        ("Delta.tgz/Complet_ou_Delta.xml", Mode.DELTA),
    ],
)
def test_the_mode_is_read_from_the_name(name: str, mode: Mode | None) -> None:
    assert mode_of(name) is mode


@each_row(
    ("member", "mode"),
    [
        ("Delta.tgz/Complet_ou_Delta.xml", Mode.DELTA),
        ("Delta.tgz/Complet/part.xml", Mode.DELTA),
        ("ENT2D.Complet.tgz/part.xml", Mode.COMPLETE),
        ("Complet/part.xml", None),
    ],
)
def test_the_mode_comes_from_the_file_or_archive_and_not_the_folder(member: str, mode: Mode | None) -> None:
    assert mode_of(path_in_archives(member)) is mode


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_recognised_without_an_error(content: bytes) -> None:
    for beginning in (b"", b"<", b"<!DOCTYPE ", b"\xff\xfe", b"nom;prenom;"):
        recognise(source(beginning + content))


@given(st.text(max_size=60))
def test_arbitrary_names_do_not_raise(name: str) -> None:
    mode_of(name)
