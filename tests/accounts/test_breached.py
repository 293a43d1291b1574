"""Stolen password lists: the filter that is made of one, and how a node reads it."""

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from idp.accounts.passwords import breached
from idp.accounts.passwords.breached import BreachedPasswords, UnreadableFilterError
from idp.accounts.passwords.policy import Identity, check_password
from idp.operations.password_commands import ListRefusedError, Loaded, build

STOLEN = ("tortue velours cascade", "Été-à-la-Plage-2019", "iloveyou12345")


def _build(source: Path, target: Path, shortest: int = 12) -> Loaded:
    return build(source, target, shortest=shortest, tell=lambda _label: lambda _read: None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "list.txt"
    path.write_text("\n".join((*STOLEN, "short", "", "x" * 129)), encoding="utf-8")
    return path


@pytest.fixture
def target(source: Path, tmp_path: Path) -> Path:
    path = tmp_path / "breached.bloom"
    _build(source, path)
    return path


def test_every_listed_password_is_found_in_any_case_and_without_accents(target: Path) -> None:
    listed = BreachedPasswords(target)
    for password in (*STOLEN, "TORTUE VELOURS CASCADE", "ete-a-la-plage-2019", "E\u0301te\u0301-à-la-Plage-2019"):
        assert listed.holds(password), password
    for password in ("tortue velours cascades", "short", "", "x" * 129, "y" * 100_000):
        assert not listed.holds(password), password


def test_too_short_or_too_long_passwords_are_left_out(source: Path, tmp_path: Path) -> None:
    counts = _build(source, tmp_path / "filter")
    assert (counts.lines, counts.passwords) == (6, 3)
    assert _build(source, tmp_path / "filter", shortest=5).passwords == 4


def test_a_list_in_any_encoding_and_with_any_line_ending_is_read(tmp_path: Path) -> None:
    source, target = tmp_path / "list.txt", tmp_path / "filter"
    lines = [
        "château-fort-1999".encode("latin-1"),
        "château-fort-2000".encode(),
        b"$HEX[6368c3a2746561752d666f72742d32303031]",
        b"\xff\xfe\x00 any bytes at all",
        b"long" * 1_000_000,
        b"the last line has no end",
    ]
    source.write_bytes(b"\r\n".join(lines))
    assert _build(source, target).passwords == 5
    listed = BreachedPasswords(target)
    assert all(listed.holds(f"château-fort-{year}") for year in (1999, 2000, 2001))
    assert listed.holds("the last line has no end")


def test_the_filter_is_read_the_same_by_every_process(target: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from idp.accounts.passwords.breached import BreachedPasswords;"
        f"print(BreachedPasswords(Path(sys.argv[1])).holds({STOLEN[0]!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    assert done.stdout.splitlines()[-1] == "True"


def test_the_filter_is_small_and_seldom_wrong(tmp_path: Path) -> None:
    source, chance = tmp_path / "list.txt", random.Random(7)
    source.write_text("\n".join(f"{chance.getrandbits(80):020x}" for _ in range(20_000)))
    assert _build(source, tmp_path / "filter").bytes < 20_000 * 3.7 + 600
    listed = BreachedPasswords(tmp_path / "filter")
    assert sum(listed.holds(f"{chance.getrandbits(80):020x}") for _ in range(50_000)) <= 2


_FIFTY = "".join(f"a stolen one {n}\n" for n in range(50))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no line"),
        (b"short\nlines\n", "no line"),
        (b"000000005AD76BD555C1D6D771DE417A4B87E4B4:10\n00000000A8DAE4228F821FB418F59826079BF368:4\n", "hashes"),
        (b"8846f7eaee8fb117ad06bdd830b7586c\n" * 3, "hashes"),
        (bytes(range(256)) * 40, "control characters"),
        (_FIFTY.encode("utf-16"), "control characters"),
        (_FIFTY.encode() + b"and one with \x01\n", "control characters"),
    ],
)
def test_a_list_of_hashes_or_an_empty_list_is_refused_and_the_former_filter_stays(
    target: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    before, other = target.read_bytes(), tmp_path / "other"
    other.write_bytes(content)
    with pytest.raises(ListRefusedError, match=reason):
        _build(other, target)
    assert target.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_a_pipe_and_a_second_load_are_refused(source: Path, target: Path, tmp_path: Path) -> None:
    with pytest.raises(ListRefusedError, match="regular"):
        _build(Path("/dev/null"), target)
    import fcntl  # noqa: PLC0415

    with (tmp_path / "breached.bloom.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ListRefusedError, match="another load"):
            _build(source, target)


def test_a_partial_file_of_a_killed_load_is_ignored_and_replaced(source: Path, tmp_path: Path) -> None:
    (tmp_path / "filter.part").write_bytes(b"half")
    _build(source, tmp_path / "filter")
    assert BreachedPasswords(tmp_path / "filter").holds(STOLEN[0])
    assert not (tmp_path / "filter.part").exists()


def _damaged(content: bytes, how: str) -> bytes:
    spoiled = {
        "empty": b"",
        "cut": content[:-1],
        "bit": bytes([content[0] ^ 1]) + content[1:],
        "foreign": os.urandom(len(content)),
        "version": content.replace(b"idp breached passwords 1", b"idp breached passwords 9"),
        "trailer": content[:-512] + b"{}".ljust(512),
        "array": content[:-512] + b"[]".ljust(512),
    }
    return spoiled[how]


@pytest.mark.parametrize("how", ["empty", "cut", "bit", "foreign", "version", "trailer", "array"])
def test_a_damaged_filter_is_logged_once_and_refuses_nothing(target: Path, how: str) -> None:
    target.write_bytes(_damaged(target.read_bytes(), how))
    with pytest.raises(UnreadableFilterError):
        breached.load(target)
    listed = BreachedPasswords(target)
    with capture_logs() as lines:
        assert not any(listed.holds(password) for password in STOLEN)
    assert [line["log_level"] for line in lines] == ["error"]
    assert str(target) not in str(lines)


def test_a_missing_file_is_logged_once_and_used_when_it_comes(source: Path, tmp_path: Path) -> None:
    listed = BreachedPasswords(tmp_path / "later")
    with capture_logs() as lines:
        assert [listed.holds(STOLEN[0]) for _ in range(2)] == [False, False]
    assert len(lines) == 1
    _build(source, tmp_path / "later")
    assert listed.holds(STOLEN[0])


def test_a_new_filter_is_used_at_once_and_a_damaged_one_leaves_the_former_in_use(target: Path, tmp_path: Path) -> None:
    listed, other = BreachedPasswords(target), tmp_path / "other.txt"
    assert not listed.holds("renard moulin enclume")
    other.write_text("renard moulin enclume\n")
    _build(other, target)
    assert listed.holds("renard moulin enclume")
    assert not listed.holds(STOLEN[0])
    for spoil in (lambda: target.write_bytes(b"damaged"), target.unlink):
        spoil()
        with capture_logs():
            assert listed.holds("renard moulin enclume")


def test_concurrent_first_threads_all_wait_for_the_filter(target: Path) -> None:
    listed, results, barrier = BreachedPasswords(target), [], threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        results.append(listed.holds(STOLEN[0]))

    crowd = [threading.Thread(target=ask) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert results == [True] * 8


def test_without_the_setting_no_password_is_looked_up() -> None:
    assert not BreachedPasswords(None).holds(STOLEN[0])


def test_a_stolen_password_is_refused_with_its_reason_and_last_of_all(target: Path) -> None:
    listed, nobody = BreachedPasswords(target), Identity("")
    for password, person, codes in (
        (STOLEN[0], nobody, ["breached"]),
        (STOLEN[0].title(), nobody, ["breached"]),
        (STOLEN[0], Identity("", names=("Tortue",)), ["name"]),
        ("orage brique hamster violon", nobody, []),
    ):
        faults = check_password(password, person=person, is_breached=listed.holds)
        assert [fault.code.value for fault in faults] == codes
