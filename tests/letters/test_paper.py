"""The files of letters: no file is overwritten, incomplete, or deleted while it is the only valid copy."""

import fcntl
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from idp.letters.files import LetterFile, LetterFileError, check_appendable, remove_leftovers

END = datetime(2027, 1, 23, 10, 15, 30, 123456, tzinfo=UTC)
PART = "x.pdf.20270123T101530123456.part"
HEAD = b"a;b\r\n"


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_gets_its_name_when_it_is_published(tmp_path: Path) -> None:
    paper = LetterFile(tmp_path / "x.pdf")
    paper.write(b"letters", END)
    assert names(tmp_path) == [PART]
    paper.publish()
    assert names(tmp_path) == ["x.pdf"]
    assert (tmp_path / "x.pdf").read_bytes() == b"letters"
    assert stat.S_IMODE((tmp_path / "x.pdf").stat().st_mode) == 0o600


def test_a_discarded_file_is_removed(tmp_path: Path) -> None:
    paper = LetterFile(tmp_path / "x.pdf")
    paper.write(b"letters", END)
    paper.discard()
    paper.discard()
    paper.publish()
    assert names(tmp_path) == []
    paper.write(b"fewer", END)
    paper.publish()
    assert (tmp_path / "x.pdf").read_bytes() == b"fewer"


@pytest.mark.parametrize("links", [True, False])
def test_publish_never_replaces_a_file_created_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    def none(*_: object) -> None:
        raise PermissionError(1, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", none)
    paper = LetterFile(tmp_path / "x.pdf")
    paper.write(b"letters", END)
    (tmp_path / "x.pdf").write_bytes(b"another's")
    with pytest.raises(LetterFileError, match=PART):
        paper.publish()
    assert names(tmp_path) == ["x.pdf", PART]
    assert (tmp_path / "x.pdf").read_bytes() == b"another's"
    (tmp_path / "x.pdf").unlink()
    (tmp_path / PART).unlink()
    paper.write(b"letters", END)
    paper.publish()
    assert names(tmp_path) == ["x.pdf"]


@pytest.mark.row("W-09")
def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    paper = LetterFile(tmp_path / "x.pdf")
    with files_no_longer_than(3), pytest.raises(OSError, match="too large"):
        paper.write(b"letters", END)
    paper.discard()
    assert names(tmp_path) == []


def test_rows_are_appended_to_an_existing_list(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    for row in (b"1;2\r\n", b"3;4\r\n"):
        paper = LetterFile(path, HEAD)
        paper.write(HEAD + row, END)
        paper.publish()
    assert path.read_bytes() == HEAD + b"1;2\r\n3;4\r\n"
    assert names(tmp_path) == ["x.pdf"]


@pytest.mark.row("W-09")
def test_a_full_disk_keeps_the_list_and_a_part_with_the_new_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    first = LetterFile(path, HEAD)
    first.write(HEAD + b"1;2\r\n" * 3, END)
    first.publish()
    paper = LetterFile(path, HEAD)
    paper.write(HEAD + b"3;4\r\n", END)
    with files_no_longer_than(22), pytest.raises(LetterFileError, match=PART):
        paper.publish()
    assert path.read_bytes() == HEAD + b"1;2\r\n" * 3
    assert (tmp_path / PART).read_bytes() == HEAD + b"3;4\r\n"


@pytest.mark.parametrize("spoil", ["another file", "a link", "for all to read"])
def test_rows_are_not_added_to_a_foreign_file(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "x.csv"
    (tmp_path / "true.csv").write_bytes(HEAD)
    (tmp_path / "true.csv").chmod(0o600)
    check_appendable(path, HEAD)
    if spoil == "a link":
        path.symlink_to(tmp_path / "true.csv")
    else:
        path.write_bytes(b"other" if spoil == "another file" else HEAD)
        path.chmod(0o644 if spoil == "for all to read" else 0o600)
    with pytest.raises(OSError, match=r"x\.csv"):
        check_appendable(path, HEAD)


def test_leftovers_without_valid_letters_are_removed(tmp_path: Path) -> None:
    expiries: list[datetime] = []
    others = ["x.pdf", "x.pdf.part", "x.pdf.20271323T101530123456.part", "y.pdf.20270123T101530123456.part"]
    for name in (PART, *others):
        (tmp_path / name).touch()

    def nothing(expires_at: datetime) -> bool:
        expiries.append(expires_at)
        return False

    remove_leftovers([tmp_path / "x.pdf", tmp_path / "none" / "z.pdf"], nothing)
    assert names(tmp_path) == sorted(others)
    assert expiries == [END]
    remove_leftovers([tmp_path], nothing)
    assert names(tmp_path) == sorted(others[:-1]), "a whole folder"


def test_the_only_copy_of_valid_letters_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(b"letters")
    with pytest.raises(LetterFileError, match="rename it, or remove it"):
        remove_leftovers([tmp_path / "x.pdf"], lambda _end: True)
    assert (tmp_path / PART).read_bytes() == b"letters"


def test_a_part_of_a_running_print_is_not_removed(tmp_path: Path) -> None:
    with (tmp_path / PART).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LetterFileError, match="another print is writing"):
            remove_leftovers([tmp_path / "x.pdf"], lambda _end: False)
    assert names(tmp_path) == [PART]
