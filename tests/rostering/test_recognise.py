"""Formats are recognized by the content of files, modes by their names."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.rostering.files.sources import Source, open_sources
from idp.rostering.reading import mode_of, path_in_archives, recognise
from idp.rostering.records import Format, Mode
from tests.rostering.files import source
from tests.rostering.test_csv_file import GUARDIANS, PUPILS
from tests.rostering.test_onde import ONDE_GUARDIANS, ONDE_PUPILS
from tests.rows import each_row

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
def test_arbitrary_bytes_do_not_raise(content: bytes) -> None:
    for beginning in (b"", b"<", b"<!DOCTYPE ", b"\xff\xfe", b"nom;prenom;"):
        recognise(source(beginning + content))


@given(st.text(max_size=60))
def test_arbitrary_names_do_not_raise(name: str) -> None:
    mode_of(name)
