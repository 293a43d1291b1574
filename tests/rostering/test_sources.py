"""Reading of files, folders and archives, and refusal of hostile archives (R-02)."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from idp.rostering.files.archives import Limits
from idp.rostering.files.sources import LIMITS, Source, open_sources, total_size
from idp.rostering.records import Issue, Severity

AAF = b"<ficAlimMENESR/>"


def read(*paths: Path, limits: Limits = LIMITS) -> list[tuple[str, bytes | str]]:
    """Return name and bytes of each source, name and code of each issue; check the end of the progress bar."""
    steps: list[int] = []
    items: list[tuple[str, bytes | str]] = []
    for item in open_sources(paths, steps.append, limits):
        if isinstance(item, Issue):
            assert item.message.endswith(".")
            items.append((item.place.file, item.code))
        else:
            items.append((item.name, item.stream.read()))
    assert sum(steps) == total_size(paths)
    return items


def codes(*paths: Path, limits: Limits = LIMITS) -> list[str]:
    return [what for _, what in read(*paths, limits=limits) if isinstance(what, str)]


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def member(name: str, content: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for key, value in attributes.items():
        setattr(entry, key, value)
    return entry, content


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for entry, content in members:
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


class TestFolders:
    def test_a_file_keeps_the_name_given_by_the_operator(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "ENT.xml").write_bytes(AAF)
        monkeypatch.chdir(folder)
        assert read(Path("ENT.xml")) == [("ENT.xml", AAF)]

    def test_a_folder_is_read_two_levels_deep_in_name_order(self, folder: Path) -> None:
        for name in ("b.xml", "a.xml", "c/d.xml", ".hidden", "ficAlimMENESR.dtd", "Thumbs.db", "__MACOSX/x", ".git/x"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(name.encode())
        expected = [(str(folder / name), name.encode()) for name in ("a.xml", "b.xml", "c/d.xml")]
        assert read(folder) == expected

    def test_a_deeper_folder_is_reported(self, folder: Path) -> None:
        (folder / "a/b/c").mkdir(parents=True)
        (folder / "a/b/c/d.xml").write_bytes(AAF)
        assert codes(folder) == ["folder_too_deep", "nothing_to_read"]

    def test_a_link_out_of_the_folder_is_not_followed(self, folder: Path) -> None:
        (folder / "outside.xml").write_bytes(AAF)
        (folder / "in").mkdir()
        (folder / "in/part.xml").write_bytes(AAF)
        (folder / "in/out.xml").symlink_to(folder / "outside.xml")
        (folder / "in/out").symlink_to(folder)
        (folder / "in/nowhere").symlink_to(folder / "nothing")
        (folder / "in/same.xml").symlink_to("part.xml")
        (folder / "in/loop").symlink_to(".")
        assert [what for _, what in read(folder / "in")] == [*["link_outside"] * 4, AAF]

    def test_a_file_that_is_named_twice_is_read_once(self, folder: Path) -> None:
        (folder / "a.xml").write_bytes(AAF)
        assert read(folder / "a.xml", folder) == [(str(folder / "a.xml"), AAF)]

    def test_missing_paths_and_special_files_are_reported(self, folder: Path) -> None:
        os.mkfifo(folder / "fifo")
        assert codes(folder) == ["not_a_file", "nothing_to_read"]
        (folder / "empty").mkdir()
        for path, code in (
            (folder / "nothing", "file_missing"),
            (folder / "fifo", "not_a_file"),
            (folder / "empty", "nothing_to_read"),
            (Path("a\0b"), "file_missing"),
        ):
            assert codes(path) == [code]

    def test_an_unreadable_file_is_reported(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "a.xml").write_bytes(AAF)

        def refuse(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr("idp.rostering.files.sources._unread", refuse)  # root may open any file
        assert codes(folder / "a.xml") == ["file_unreadable"]


class TestArchives:
    def test_a_zip_is_recognised_under_any_name(self, folder: Path) -> None:
        path = zipped(folder / "export.bin", ("Eleves.xml", AAF), ("a/b/c.csv", b"x"), ("vide/", b""))
        assert read(path) == [(f"{path}/Eleves.xml", AAF), (f"{path}/a/b/c.csv", b"x")]

    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_a_tar_is_recognised_under_any_name(self, folder: Path, mode: str) -> None:
        path = tarred(
            folder / "export.bin", member("d", type=tarfile.DIRTYPE), member("d/1.xml", AAF),
            member("é", b"x" * 99_999), member("long/" * 40 + "2.xml", AAF), mode=mode,
        )  # fmt: skip
        assert read(path) == [
            (f"{path}/d/1.xml", AAF), (f"{path}/é", b"x" * 99_999), (f"{path}/{'long/' * 40}2.xml", AAF),
        ]  # fmt: skip

    def test_system_files_are_skipped(self, folder: Path) -> None:
        path = zipped(folder / "a.zip", ("__MACOSX/._a.xml", b"x"), ("x/.DS_Store", b"x"), ("A.DTD", b"x"))
        assert codes(path) == ["nothing_to_read"]

    def test_a_partly_read_member_is_skipped_and_closed(self, folder: Path) -> None:
        path = tarred(folder / "a.tgz", member("1", b"x" * 300_000), member("2", AAF))
        opened = open_sources([path], lambda _: None)
        first = next(opened)
        assert isinstance(first, Source)
        first.stream.peek(1)
        second = next(opened)
        assert isinstance(second, Source)
        assert (second.name, second.stream.read()) == (f"{path}/2", AAF)
        with pytest.raises(ValueError, match="closed"):
            first.stream.read()

    def test_a_zip_is_read_in_a_folder_or_a_tar(self, folder: Path) -> None:
        (folder / "in").mkdir()
        inner = zipped(folder / "in/siecle.zip", ("Eleves.xml", AAF))
        outer = tarred(folder / "all.tgz", member("siecle.zip", inner.read_bytes()))
        assert read(folder / "in") == [(f"{inner}/Eleves.xml", AAF)]
        assert read(outer) == [(f"{outer}/siecle.zip/Eleves.xml", AAF)]

    def test_a_spreadsheet_is_read_as_a_file(self, folder: Path) -> None:
        sheet = zipped(folder / "familles.xlsx", ("[Content_Types].xml", b"<x/>"), ("xl/sheet.xml", AAF))
        [(name, content)] = read(sheet)
        assert (name, content) == (str(sheet), sheet.read_bytes())
        outer = tarred(folder / "all.tar", member("familles.xlsx", sheet.read_bytes()), mode="w")
        assert read(outer) == [(f"{outer}/familles.xlsx", sheet.read_bytes())]

    def test_progress_counts_the_bytes_of_the_archive(self, folder: Path) -> None:
        path = tarred(folder / "a.tgz", *(member(str(n), os.urandom(50_000)) for n in range(8)))
        steps: list[int] = []
        for item in open_sources([path], steps.append):
            assert isinstance(item, Source)
            item.stream.read()
        assert sum(steps) == path.stat().st_size
        assert len(steps) > 3


class TestR02:
    @pytest.mark.row("R-02")
    @pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "C:\\x", "c:x", "..\\x", "..", "\\\\host\\x"])
    def test_a_path_outside_the_archive_is_refused(self, folder: Path, name: str) -> None:
        assert codes(zipped(folder / "a.zip", ("good.xml", AAF), (name, AAF))) == ["archive_unsafe"]
        assert codes(tarred(folder / "a.tgz", member(name, AAF))) == ["archive_unsafe"]

    @pytest.mark.row("R-02")
    @pytest.mark.parametrize(
        "kind",
        [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"],
    )
    def test_a_link_or_a_device_in_a_tar_is_refused(self, folder: Path, kind: bytes) -> None:
        link = member("x", type=kind, linkname="/etc/passwd")
        assert codes(tarred(folder / "a.tgz", link)) == ["archive_unsafe"]

    @pytest.mark.row("R-02")
    def test_a_link_in_a_zip_is_refused(self, folder: Path) -> None:
        link = zipfile.ZipInfo("x")
        link.create_system = 3
        link.external_attr = 0o120777 << 16
        assert codes(zipped(folder / "a.zip", (link, b"/etc/passwd"))) == ["archive_unsafe"]

    @pytest.mark.row("R-02")
    def test_an_encrypted_member_is_refused(self, folder: Path) -> None:
        path = zipped(folder / "a.zip", ("x", AAF))
        raw = bytearray(path.read_bytes())
        raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
        path.write_bytes(raw)
        assert codes(path) == ["archive_encrypted"]

    @pytest.mark.row("R-02")
    def test_an_archive_in_an_archive_is_refused(self, folder: Path) -> None:
        inner = zipped(folder / "inner.zip", ("x", AAF)).read_bytes()
        tar = tarred(folder / "inner.tgz", member("x", AAF)).read_bytes()
        plain = tarred(folder / "inner.tar", member("x", AAF), mode="w").read_bytes()
        for content in (inner, tar, plain):
            assert codes(zipped(folder / "a.zip", ("x", content))) == ["archive_nested"]
        assert codes(tarred(folder / "a.tgz", member("x", tar))) == ["archive_nested"]
        deep = zipped(folder / "deep.zip", ("x.zip", inner)).read_bytes()
        assert codes(tarred(folder / "a.tgz", member("x", deep))) == ["archive_nested"]

    @pytest.mark.row("R-02")
    def test_an_archive_above_the_size_limit_is_refused(self, folder: Path) -> None:
        limits = Limits(total=1_000)
        path = zipped(folder / "a.zip", ("1", b"x" * 600), ("2", b"x" * 600))
        assert read(path, limits=limits) == [(str(path), "archive_too_large")]
        assert codes(tarred(folder / "a.tgz", member("1", b"x" * 1_200)), limits=limits) == ["archive_too_large"]

    @pytest.mark.row("R-02")
    def test_the_limits_cover_all_archives_together(self, folder: Path) -> None:
        for name in ("1", "2", "3"):
            zipped(folder / name, (name, b"x" * 600))
        assert codes(folder, limits=Limits(total=1_500)) == ["archive_too_large"]
        assert codes(folder, limits=Limits(entries=2)) == ["archive_too_large"]

    @pytest.mark.row("R-02")
    def test_a_zip_with_a_false_size_is_refused(self, folder: Path) -> None:
        path = zipped(folder / "a.zip", ("x", b"x" * 5_000_000))
        raw = path.read_bytes().replace(struct.pack("<L", 5_000_000), struct.pack("<L", 100))
        path.write_bytes(raw)
        [(name, content), (_, code)] = read(path)
        assert (name, content, code) == (f"{path}/x", b"", "archive_broken")

    @pytest.mark.row("R-02")
    def test_the_compression_ratio_is_limited(self, folder: Path) -> None:
        zeros = b"\0" * (20 << 20)
        limits = Limits(ratio=100)
        assert read(zipped(folder / "a.zip", ("x", zeros)), limits=limits)[0][1] == "archive_too_large"
        assert codes(tarred(folder / "a.tgz", member("x", zeros)), limits=limits) == ["archive_too_large"]

    @pytest.mark.row("R-02")
    def test_members_with_shared_bytes_are_refused(self, folder: Path) -> None:
        path = zipped(folder / "a.zip", ("x", os.urandom(5_000)))
        raw = path.read_bytes()
        at, end = raw.index(b"PK\x01\x02"), raw.index(b"PK\x05\x06")
        directory = raw[at:end] * 3
        tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, len(directory), at, 0)
        path.write_bytes(raw[:at] + directory + tail)
        assert codes(path) == ["archive_too_large"]

    @pytest.mark.row("R-02")
    def test_an_archive_of_a_million_entries_is_refused(self, folder: Path) -> None:
        path = folder / "a.zip"
        entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
        directory = entry * 1_000_000
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(directory), 1)
        end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**6, 10**6, len(directory), 0)
        tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        path.write_bytes(b"PK\x03\x04" + directory + end + locator + tail)
        assert codes(path) == ["archive_too_large"]
        few = tarred(folder / "a.tgz", *(member(str(number)) for number in range(12)))
        assert codes(few, limits=Limits(entries=10)) == ["archive_too_large"]

    @pytest.mark.row("R-02")
    def test_an_oversized_header_is_refused(self, folder: Path) -> None:
        path = folder / "a.tgz"
        entry, _ = member("x", type=tarfile.XHDTYPE)
        entry.size = 6 << 30
        with gzip.open(path, "wb", 1) as file:
            file.write(entry.tobuf() + b"\0" * (4 << 20))
        assert codes(path) == ["archive_broken"]

    @pytest.mark.row("R-02")
    def test_archives_are_read_without_temporary_files(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "in").mkdir()
        (folder / "tmp").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
        inner = zipped(folder / "in/b.zip", ("x/y.xml", AAF)).read_bytes()
        tarred(folder / "in/a.tgz", member("x/y.xml", AAF), member("z.zip", inner))
        before = sorted(folder.rglob("*"))
        for item in open_sources([folder / "in"], lambda _: None):
            assert isinstance(item, Source)
            assert sorted(folder.rglob("*")) == before


class TestDamage:
    @pytest.mark.parametrize("mode", ["w", "w:gz"])
    def test_a_truncated_tar_is_reported(self, folder: Path, mode: str) -> None:
        whole = tarred(folder / "a", member("1", AAF * 100), member("2", AAF * 100), mode=mode).read_bytes()
        # a plain tar ends with its first block of zeros; what comes after is padding
        end = len(whole) if mode == "w:gz" else 2 * (512 + 2048)
        path = folder / "b"
        for size in range(512, end, 512) if mode == "w" else range(20, end, 7):
            path.write_bytes(whole[:size])
            assert codes(path), size

    def test_a_damaged_header_does_not_end_a_tar(self, folder: Path) -> None:
        path = tarred(folder / "a", member("1", AAF), member("2", AAF), mode="w")
        raw = bytearray(path.read_bytes())
        raw[1024] ^= 0xFF
        path.write_bytes(raw)
        assert [what for _, what in read(path)] == [AAF, "archive_broken"]

    def test_data_after_the_end_of_a_tar_is_reported(self, folder: Path) -> None:
        path = tarred(folder / "a", member("1", AAF), mode="w")
        path.write_bytes(path.read_bytes() * 2)
        assert codes(path) == ["archive_broken"]

    def test_a_truncated_or_changed_zip_is_reported(self, folder: Path) -> None:
        path = zipped(folder / "a.zip", ("x", os.urandom(3_000)))
        raw = path.read_bytes()
        for content in (raw[:-30], raw[:500] + bytes([raw[500] ^ 1]) + raw[501:]):
            path.write_bytes(content)
            assert codes(path) == ["archive_broken"]

    def test_unsupported_archives_are_reported(self, folder: Path) -> None:
        for magic in (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x01\x00", b"\xfd7zXZ\x00", b"BZh91AY&SY"):
            (folder / "a").write_bytes(magic + b"\0" * 100)
            assert codes(folder / "a") == ["archive_unknown"]
        (folder / "a").write_bytes(gzip.compress(AAF))
        assert codes(folder / "a") == ["archive_broken"], "a gzip without a tar"

    def test_control_characters_in_names_are_replaced(self, folder: Path) -> None:
        path = tarred(folder / "a.tgz", member("\x1b[2J\udce9.xml", AAF))
        assert read(path) == [(f"{path}/�[2J�.xml", AAF)]

    def test_every_issue_of_an_archive_stops_the_import(self, folder: Path) -> None:
        (folder / "a").write_bytes(b"PK\x03\x04")
        [issue] = open_sources([folder / "a"], lambda _: None)
        assert isinstance(issue, Issue)
        assert (issue.severity, issue.refuses) == (Severity.ERROR, "")


def _zip_bytes() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.xml", AAF * 5)
        archive.writestr("c.csv", b"x;y\n" * 50)
    return file.getvalue()


def _tar_bytes() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for entry, content in (member("a/b.xml", AAF * 5), member("é" * 120, b"x;y\n" * 50)):
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize("make", [_zip_bytes, _tar_bytes, lambda: gzip.compress(_tar_bytes(), mtime=0)])
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_archive_does_not_raise(make: Callable[[], bytes], data: st.DataObject, folder: Path) -> None:
    raw = bytearray(make())
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    assert read(path)


@given(st.binary(max_size=700))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_bytes_do_not_raise(folder: Path, content: bytes) -> None:
    for magic in (b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08\x00"):
        (folder / "any").write_bytes(magic + content)
        assert read(folder / "any")
