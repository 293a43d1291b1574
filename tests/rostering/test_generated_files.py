"""The files of synthetic académies, format by format, read without the project's readers."""

import io
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from lxml import etree

from bench.academy.families import families
from bench.academy.mistakes import Kind
from bench.academy.produce import Order, Produced, produce
from bench.academy.schools import draw_schools
from bench.academy.writers import siecle
from bench.academy.writers.output import Folder

SEED, PUPILS, SCHOOLS = 7, 1_200, 17


def _made(out: Path, form: str, **options: object) -> Produced:
    numbers = {"seed": SEED, "pupils": PUPILS, "schools": SCHOOLS} | options
    return produce(Order(out=out, format=form, **numbers))  # type: ignore[arg-type]


def test_aaf_parts_are_numbered_and_limited_in_size(tmp_path: Path) -> None:
    _made(tmp_path, "aaf", part=500, latin9=True)

    parts = sorted(path.name for path in (tmp_path / "complet").glob("*_Eleve_*"))
    assert parts == [f"ENT_2D_Complet_20260921_Eleve_{number:04d}.xml" for number in range(3)]
    sizes = [len(etree.parse(path).getroot()) for path in sorted((tmp_path / "complet").glob("*_PersRelEleve_*"))]
    assert set(sizes[:-1]) == {500}
    assert 0 < sizes[-1] <= 500
    assert {_encoding(path.read_bytes()) for path in tmp_path.rglob("*.xml")} == {b"ISO-8859-15"}


def _encoding(document: bytes) -> bytes:
    return document.split(b'"')[3]


def test_a_tgz_holds_the_same_parts_as_the_folder(tmp_path: Path) -> None:
    _made(tmp_path / "plain", "aaf")
    _made(tmp_path / "packed", "aaf", archive=True)

    with tarfile.open(tmp_path / "packed" / "ENT_2D_Complet.tgz") as archive:
        packed = {name: _content(archive, name) for name in archive.getnames()}
    assert packed == {path.name: path.read_bytes() for path in (tmp_path / "plain" / "complet").iterdir()}
    assert set(map(_encoding, packed.values())) == {b"UTF-8"}


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None
    return member.read()


def test_old_siecle_files_have_the_counted_duplicate_representatives(tmp_path: Path) -> None:
    result = _made(tmp_path, "siecle", old=True, mistakes=0.3, schools=1, pupils=800)
    (path,) = tmp_path.rglob("ResponsablesAvecAdresses.xml")
    first: Counter[str] = Counter()
    for link in etree.parse(path).iter("RESPONSABLE_ELEVE"):
        first[link.findtext("ELEVE_ID") or ""] += link.findtext("RESP_LEGAL") == "1"

    assert sum(number == 2 for number in first.values()) == result.mistakes[Kind.TWO_FIRST.value] > 0


@pytest.mark.parametrize("zipped", [False, True])
def test_siecle_writes_two_latin_9_files_for_each_school_with_leavers(tmp_path: Path, *, zipped: bool) -> None:
    style = siecle.Style(root="BEE_EPHC", zipped=zipped)
    siecle.write(Folder(tmp_path), draw_schools(PUPILS, SCHOOLS), families(SEED, PUPILS, SCHOOLS), style)
    documents = [_document(path) for path in sorted(tmp_path.rglob("Eleves*"))]
    pupils = [pupil for household in families(SEED, PUPILS, SCHOOLS) for pupil in household.pupils]

    assert len(documents) == len(list(tmp_path.rglob("Responsables*"))) == SCHOOLS
    assert {document.docinfo.encoding for document in documents} == {"ISO-8859-15"}
    assert {document.getroot().tag for document in documents} == {"BEE_EPHC_ELEVES"}
    read = Counter(
        (document.findtext("PARAMETRES/UAJ"), element.get("ELEVE_ID"), element.findtext("NOM_DE_FAMILLE"))
        for document in documents
        for element in document.iter("ELEVE")
    )
    assert read == Counter((pupil.school.uai, str(pupil.student_id), pupil.family_name) for pupil in pupils)
    left = sum(1 for document in documents for _ in document.iter("DATE_SORTIE"))
    assert left == sum(bool(pupil.left_on) for pupil in pupils) > 0


def _document(path: Path) -> etree._ElementTree:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return etree.parse(io.BytesIO(archive.read(archive.namelist()[0])))
    return etree.parse(path)
