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

from idp.letters.files import LetterFile, LetterFileError, remove_leftovers

END = datetime(2027, 1, 23, 10, 15, 30, 123456, tzinfo=UTC)
PART = "x.pdf.20270123T101530123456.part"


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
