import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.commands.conftest import Run, check_refusal


@pytest.fixture
def client_id(idp: Run) -> str:
    registration = json.loads(
        idp(
            "client", "add", "ENT des Tilleuls", "--uai", "0599001N", "--redirect-uri", "https://ent.test/cb", "--json"
        ).out
    )
    return str(registration["client_id"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "charte.md"
    file.write_text("\ufeff# Charte\n\nSoyons polis, même à l’écrit.\n", encoding="utf-8")
    return file


def listed(idp: Run) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(idp("charter", "list", "--json").out)
    return rows


def test_a_version_becomes_the_current_one(idp: Run, client_id: str, file: Path, engine: Engine) -> None:
    assert listed(idp) == []
    assert idp("charter", "publish", client_id, "--version", "1", str(file)).out.startswith(
        "version 1 is current since"
    )
    version = json.loads(idp("charter", "publish", client_id, "--version", "2026-09", str(file), "--json").out)
    assert (version["client_id"], version["version"]) == (client_id, "2026-09")
    first, second = listed(idp)
    assert set(first) == {"client_id", "client", "version", "published_at", "current"}
    assert (first["version"], first["current"]) == ("1", False)
    assert (second["version"], second["current"], second["client"]) == ("2026-09", True, "ENT des Tilleuls")
    assert [line[0] for line in idp("charter", "list").out.splitlines()] == [" ", "*"]
    with engine.connect() as connection:
        stored = connection.scalar(text("SELECT text FROM charter_version WHERE version = '1'"))
        assert connection.scalar(text("SELECT version FROM client")) == 3, (
            "processes that keep the client must look again"
        )
    assert stored == "# Charte\n\nSoyons polis, même à l’écrit.\n", "verbatim, without the mark of its encoding"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the charter must have 1 to"),
        (b" \n\t\n", "the charter must have 1 to"),
        (b"x" * 100_001, "the charter must have 1 to"),
        ("Règles".encode("latin-1"), "is not UTF-8 text"),
        (b"PK\x03\x04\x00\x00", "is not text"),
        (b"\x00", "is not text"),
    ],
)
def test_an_invalid_charter_file_is_refused(idp: Run, client_id: str, file: Path, content: bytes, why: str) -> None:
    file.write_bytes(content)
    check_refusal(idp("charter", "publish", client_id, "--version", "1", str(file)), why)
    assert listed(idp) == []


def test_an_endless_file_is_refused(idp: Run, client_id: str) -> None:
    answer = idp("charter", "publish", client_id, "--version", "1", "/dev/zero")
    assert (answer.code, answer.err) == (1, "Error: /dev/zero is not text\n")


def test_a_folder_is_a_usage_error(idp: Run, client_id: str, tmp_path: Path) -> None:
    assert idp("charter", "publish", client_id, "--version", "1", str(tmp_path)).code == 2


def test_a_published_text_is_never_changed(idp: Run, client_id: str, file: Path) -> None:
    idp("charter", "publish", client_id, "--version", "1", str(file))
    check_refusal(
        idp("charter", "publish", client_id, "--version", "1", str(file)),
        "version 1 of ENT des Tilleuls exists already",
    )
    assert len(listed(idp)) == 1


@pytest.mark.parametrize("version", ["", "v" * 41])
def test_a_version_needs_a_name(idp: Run, client_id: str, file: Path, version: str) -> None:
    check_refusal(
        idp("charter", "publish", client_id, "--version", version, str(file)),
        "the version must have 1 to 40 characters",
    )


def test_an_unknown_client_is_refused(idp: Run, file: Path) -> None:
    answer = idp("charter", "publish", "nobody", "--version", "1", str(file))
    assert (answer.code, answer.out, answer.err) == (1, "", "Error: no client nobody\n")
