"""`idp passwords` creates the filter of stolen passwords and counts affected accounts."""

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.config import Settings
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.commands.accounts import OPERATOR
from tests.commands.conftest import Events, Run, check_refusal, read_json
from tests.databases import settings_for
from tests.pages import sign_in


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings with a filter file that does not exist yet."""
    return settings_for(database_url, breached_passwords=tmp_path / "breached.bloom")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "list.txt"
    path.write_text(f"{PASSWORD}\nanother stolen one\nshort\n", encoding="utf-8")
    return path


def test_load_updates_the_filter_of_the_running_service(
    act: Run, app: Flask, browser: FlaskClient, build: Build, events: Events, source: Path, tmp_path: Path
) -> None:
    account = build.active()
    assert sign_in(browser, "/connexion", account.username, PASSWORD).status_code == 200
    answer = act("passwords", "load", str(source))
    assert answer.out.startswith("2 passwords of 12 characters or more, of 3 lines, in ")
    [event] = events("password.list_loaded")
    assert (event.actor, event.details) == (OPERATOR, {"passwords": 2})
    page = sign_in(app.test_client(), "/connexion", account.username, PASSWORD)
    assert "liste de mots de passe volés" in page.text


def test_load_reports_an_error_and_keeps_the_former_filter(
    act: Run, source: Path, settings: Settings, tmp_path: Path
) -> None:
    act("passwords", "load", str(source))
    (hashes := tmp_path / "hashes.txt").write_text("000000005AD76BD555C1D6D771DE417A4B87E4B4:10\n")
    answer = act("passwords", "load", str(hashes))
    check_refusal(answer, "Error: the list holds hashes: give plain passwords, one a line\n")
    assert act("passwords", "load", str(tmp_path / "nothing")).code == 2
    (tmp_path / "breached.bloom.part").mkdir()
    check_refusal(act("passwords", "load", str(source)), "the former filter stays in use")


def test_load_needs_the_setting(idp: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IDP_BREACHED_PASSWORDS")
    check_refusal(idp("passwords", "load", str(source)), "IDP_BREACHED_PASSWORDS")


def test_a_lower_minimum_length_allows_shorter_passwords(
    idp: Run, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.write_text("eightlet\nseven77\n")
    monkeypatch.setenv("IDP_PASSWORD_MIN_LENGTH", "8")
    assert idp("passwords", "load", str(source)).out.startswith("1 passwords of 8 characters or more, of 2 lines")


def test_the_setting_must_name_a_file_in_a_folder(idp: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "no folder" / "file"):
        monkeypatch.setenv("IDP_BREACHED_PASSWORDS", str(wrong))
        assert "IDP_BREACHED_PASSWORDS: must be a file" in idp("config", "check").err


def test_report_counts_the_accounts_that_are_concerned_by_school(
    act: Run, app: Flask, build: Build, source: Path, tmp_path: Path
) -> None:
    act("passwords", "load", str(source))
    both = [build.child(), build.child("Lila", uai=LYCEE)]
    for account in (build.active(children=both), build.active(email=None), build.active(password="x" * 20)):
        sign_in(app.test_client(), "/connexion", account.username, PASSWORD)
    shown = read_json(act, "passwords", "report")
    assert (shown["accounts"], shown["without_address"]) == (2, 1)
    assert shown["schools"] == [
        {"uai": COLLEGE, "name": "Collège des Tilleuls", "accounts": 2},
        {"uai": LYCEE, "name": "Lycée Louise-Weber", "accounts": 1},
    ]
    assert (shown["filter"]["passwords"], shown["filter"]["fault"]) == (2, None)
    text = act("passwords", "report").out
    assert "accounts whose password is in it, and not yet replaced: 2" in text
    assert "in need of a new letter: 1" in text
    (tmp_path / "breached.bloom").write_bytes(b"damaged")
    for how in ((), ("--json",)):
        damaged = act("passwords", "report", *how)
        assert (damaged.code, damaged.out) == (1, ""), "a count would mislead"
        assert "is not in use" in damaged.err
    (tmp_path / "breached.bloom").unlink()
    assert "No such file or directory" in act("passwords", "report", "--json").err
