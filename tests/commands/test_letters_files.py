"""The files of `idp letters print`: one for each class, the list for a mail merge, and the state after a killed print.

P-01, P-06, R-04.
"""

import json
import signal
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError

from idp.accounts.models import Account
from idp.accounts.passwords.hasher import fold_provisional
from idp.clock import day_of
from idp.db import db, retry_unit_of_work
from idp.letters import printing, secrets
from idp.letters.files import LetterFile
from tests import forked
from tests.activation.steps import ACTIVATION
from tests.builders import COLLEGE, LYCEE, Build
from tests.commands.accounts import reload_account
from tests.commands.conftest import Run, check_refusal, read_json
from tests.commands.families import pages, parent, pupil, rows_of, secret_on, usernames_on
from tests.pages import heading, sign_in
from tests.waiting import is_alive, wait_for

pytestmark = pytest.mark.usefixtures("ent")

COLUMNS = (
    "uai;school;class;civility;family_name;given_name;address1;address2;address3;postcode;city;country;"
    "children;username;provisional_password;ent_url;valid_until"
)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def good(account: Account, secret: str) -> bool:
    hashed = reload_account(account).provisional_hash
    return hashed is not None and PasswordHasher().verify(hashed, fold_provisional(secret))


def per_class(act: Run, folder: Path, *options: str) -> Any:
    return read_json(act, "letters", "print", "--school", COLLEGE, "--per-class", "--out", str(folder), *options)


def test_each_class_gets_a_file_and_a_second_print_adds_new_letters_only(
    act: Run, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "IN_A_CLASS_FILE", 2)
    first, odd, none = pupil(build, "6e 1"), pupil(build, "../É/6e: 2"), pupil(build, "")
    crowd = [parent(build, first, family_name=name) for name in "ABC"]
    parent(build, odd), parent(build, none)
    folder = tmp_path / "lettres"
    answer = act("letters", "print", "--school", COLLEGE, "--per-class", "--out", str(folder))
    names = ["0599001N-6e-1.2.pdf", "0599001N-6e-1.pdf", "0599001N-sans-classe.pdf", "0599001N-É-6e-2.pdf"]
    assert files(folder) == names
    assert f"6e 1: 2 letters in {folder / names[1]}\n" in answer.out
    assert answer.out.endswith(f"5 letters in {folder}\n")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert usernames_on(folder / names[1], *crowd) == [account.username for account in crowd[:2]]
    assert usernames_on(folder / names[0], *crowd) == [crowd[2].username]

    late = parent(build, first)
    report = per_class(act, folder)
    assert (report["printed"], report["files"]) == (1, [str(folder / "0599001N-6e-1.3.pdf")])
    assert usernames_on(folder / "0599001N-6e-1.3.pdf", late, *crowd) == [late.username]
    assert per_class(act, folder)["files"] == []


def test_the_list_for_a_mail_merge_holds_the_same_letters(act: Run, app: Flask, build: Build, tmp_path: Path) -> None:
    child = pupil(build, "6e 1")
    account = parent(
        build,
        child,
        pupil(build, "2de 7", LYCEE, "Zoé"),
        address_lines=["Appartement 12", "", "Bâtiment B", "1 rue du Test", "Lieu-dit"],
        postcode="01990",
        city="Rivebelle",
        country="France",
    )
    out, path = tmp_path / "x.pdf", tmp_path / "x.csv"
    report = read_json(act, "letters", "print", "--school", COLLEGE, "--out", str(out), "--csv", str(path))
    assert report == {"printed": 1, "skipped": [], "pdf": str(out), "csv": str(path)}
    assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()[:3]) == (0o600, b"\xef\xbb\xbf")
    [row] = rows_of(path)
    assert list(row) == COLUMNS.split(";")
    secret = row["provisional_password"]
    valid_until = reload_account(account).provisional_expires_at
    assert valid_until is not None
    assert list(row.values())[:14] == [
        COLLEGE, "Collège des Tilleuls", "6e 1", "Mme", "LEROY-VANDEPUTTE", "Noémie", "Appartement 12", "Bâtiment B",
        "1 rue du Test, Lieu-dit", "01990", "Rivebelle", "France", "Malo (6e 1), Zoé (2de 7)", account.username,
    ]  # fmt: skip
    assert list(row.values())[15:] == ["https://ent.test/", f"{day_of(valid_until):%d/%m/%Y}"]
    assert fold_provisional(secret) == secret_on(pages(out)[0])
    assert heading(sign_in(app.test_client(), "/connexion", account.username, secret)) == ACTIVATION


@pytest.mark.row("R-04")
def test_cells_of_the_list_are_never_formulas(act: Run, build: Build, tmp_path: Path) -> None:
    child = pupil(build, "+6e 1", given_name="@SUM(A1)")
    lines = {"address_lines": ["\t=1", "\r=2"], "city": "a;b\n=c"}
    parent(build, child, family_name='=cmd|" /C calc"!A0', given_name="-1", **lines)
    path = tmp_path / "x.csv"
    assert act("letters", "print", "--school", COLLEGE, "--csv", str(path)).code == 0
    [row] = rows_of(path)
    assert (row["family_name"], row["city"]) == ('\'=cmd|" /C calc"!A0', "a;b\n=c")
    assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


@pytest.mark.row("P-01")
def test_clear_secrets_are_on_paper_only(act: Run, build: Build, tmp_path: Path) -> None:
    child = pupil(build, "6e 1")
    for _ in range(3):
        parent(build, child)
    out, path = tmp_path / "x.pdf", tmp_path / "x.csv"
    answer = act("letters", "print", "--school", COLLEGE, "--out", str(out), "--csv", str(path))
    assert files(tmp_path) == ["x.csv", "x.pdf"]
    with db.engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        stored = "".join(str(connection.execute(text(f'SELECT * FROM "{name}"')).all()) for name in tables)  # noqa: S608
    assert stored.count("$argon2id$") >= 3
    for page, row in zip(pages(out), rows_of(path), strict=True):
        assert fold_provisional(row["provisional_password"]) == secret_on(page)
        for spelling in (secret_on(page), row["provisional_password"]):
            assert spelling not in stored + answer.out + answer.err


def test_slips_are_printed_for_a_school(act: Run, build: Build, tmp_path: Path) -> None:
    child = pupil(build, "6e 1")
    crowd = [parent(build, child, family_name=name) for name in "ABCD"]
    out = tmp_path / "x.pdf"
    assert act("letters", "print", "--school", COLLEGE, "--strip", "--out", str(out)).out == f"4 letters in {out}\n"
    assert len(pages(out)) == 2
    assert good(crowd[3], secret_on(pages(out)[1]))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 1),
        (OperationalError(None, None, Exception("the answer to COMMIT was lost")), 0),
    ],
)
def test_the_letters_of_a_committed_print_stay_when_it_is_interrupted(
    act: Run, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    account = parent(build, pupil(build, "6e 1"))
    out, path = tmp_path / "x.pdf", tmp_path / "x.csv"

    def commit_and_fail(step: Callable[[], None]) -> None:
        retry_unit_of_work(step)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(secrets, "retry_unit_of_work", commit_and_fail)
        answer = act("letters", "print", "--school", COLLEGE, "--out", str(out), "--csv", str(path))
    assert answer.code == code
    assert ("interrupted; the letters of this print are valid" in answer.err) == bool(code)
    assert good(account, secret_on(pages(out)[0]))
    assert good(account, rows_of(path)[0]["provisional_password"])
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize(
    ("step", "keeps"), [("idp.letters.files._rename", True), ("idp.letters.secrets.retry_unit_of_work", False)]
)
def test_an_interrupted_print_keeps_the_letters_that_it_committed(
    act: Run, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, keeps: bool
) -> None:
    account = parent(build, pupil(build, "6e 1"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(step, interrupt)
        answer = act("letters", "print", "--school", COLLEGE, "--out", str(tmp_path / "x.pdf"))
    parts = list(tmp_path.iterdir())
    assert (answer.code, len(parts), reload_account(account).provisional_hash is not None) == (1, keeps, keeps)
    for part in parts:
        assert str(part) in answer.err
        assert good(account, secret_on(pages(part)[0]))


def killed(build: Build, tmp_path: Path, where: str) -> None:
    """Kill a print in the second of three classes; its child processes end too."""
    order = {"uai": COLLEGE, "out": str(tmp_path / "out"), "batch": 2, "where": where}
    db.session.rollback()
    done = forked.run("tests.commands.killed_print", build.settings.database_url, json.dumps(order))
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    pids = [int(line) for line in done.stdout.splitlines() if line.isdecimal()]
    assert len(pids) >= 2
    wait_for(lambda: not any(map(is_alive, pids)), tell=lambda: "processes that hash outlive who asked")


@pytest.fixture
def crowd(build: Build) -> list[Account]:
    classes = [pupil(build, f"6e {number}") for number in (1, 2, 3)]
    return [parent(build, child, family_name=name) for child in classes for name in "AB"]


def test_a_print_killed_before_its_commit_can_be_repeated(
    act: Run, build: Build, tmp_path: Path, crowd: list[Account]
) -> None:
    killed(build, tmp_path, "before")
    out = tmp_path / "out"
    assert [name.endswith(".part") for name in files(out)] == [False, True]
    first = [reload_account(account).provisional_hash for account in crowd]
    assert [hashed is not None for hashed in first] == [True, True, False, False, False, False]
    report = per_class(act, out)
    assert report["printed"] == 4
    assert [row["username"] for row in report["skipped"]] == [account.username for account in crowd[:2]]
    assert files(out) == ["0599001N-6e-1.pdf", "0599001N-6e-2.pdf", "0599001N-6e-3.pdf"]
    assert [reload_account(account).provisional_hash for account in crowd[:2]] == first[:2]
    papers = [page for name in files(out) for page in pages(out / name)]
    assert [good(account, secret_on(page)) for account, page in zip(crowd, papers, strict=True)] == [True] * 6


def test_a_print_killed_after_its_commit_keeps_the_only_copy(
    act: Run, build: Build, tmp_path: Path, crowd: list[Account]
) -> None:
    killed(build, tmp_path, "after")
    out = tmp_path / "out"
    [part] = out.glob("*.part")
    before = part.read_bytes()
    options = ("letters", "print", "--school", COLLEGE, "--per-class", "--out", str(out))
    check_refusal(act(*options), f"{part} holds valid letters")
    part.rename(part.with_name("deuxieme.pdf"))
    assert (out / "deuxieme.pdf").read_bytes() == before
    assert act(*options).code == 0
    assert files(out) == ["0599001N-6e-1.pdf", "0599001N-6e-3.pdf", "deuxieme.pdf"]
    assert [
        good(account, secret_on(page)) for account, page in zip(crowd[2:4], pages(out / "deuxieme.pdf"), strict=True)
    ] == [True] * 2


def test_a_failed_class_keeps_the_letters_of_former_classes(
    act: Run, build: Build, tmp_path: Path, crowd: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, prints = LetterFile.write, []

    def too_much(file: LetterFile, content: bytes, expires_at: datetime) -> None:
        prints.append(file)
        if len(prints) == 2:
            raise OSError(28, "No space left on device", "x.pdf")
        write(file, content, expires_at)

    monkeypatch.setattr(LetterFile, "write", too_much)
    out = tmp_path / "out"
    options = ("letters", "print", "--school", COLLEGE, "--per-class", "--out", str(out))
    answer = act(*options)
    assert answer.code == 1
    assert answer.out == f"6e 1: 2 letters in {out / '0599001N-6e-1.pdf'}\n"
    assert "No space left" in answer.err
    assert files(out) == ["0599001N-6e-1.pdf"]
    assert [reload_account(account).provisional_hash is None for account in crowd] == [False] * 2 + [True] * 4
    assert act(*options).code == 0
    assert len(files(out)) == 3
