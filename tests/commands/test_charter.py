from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.commands.conftest import Run, check_refusal, read_json
from tests.rows import each_row


@pytest.fixture
def client_id(idp: Run) -> str:
    add = ("client", "add", "ENT des Tilleuls", "--uai", "0599001N", "--redirect-uri", "https://ent.test/cb")
    return str(read_json(idp, *add)["client_id"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "charte.md"
    file.write_text("\ufeff# Charte\n\nSoyons polis, même à l’écrit.\n", encoding="utf-8")
    return file


def test_a_version_becomes_the_current_one(idp: Run, client_id: str, file: Path, engine: Engine) -> None:
    assert read_json(idp, "charter", "list") == []
    publish = ("charter", "publish", client_id, str(file), "--version")
    assert idp(*publish, "1").out.startswith("version 1 is current since")
    version = read_json(idp, *publish, "2026-09")
    assert (version["client_id"], version["version"]) == (client_id, "2026-09")
    check_refusal(idp(*publish, "1"), "version 1 of ENT des Tilleuls exists already")
    first, second = read_json(idp, "charter", "list")
    assert set(first) == {"client_id", "client", "version", "published_at", "current"}
    assert (first["version"], first["current"]) == ("1", False)
    assert (second["version"], second["current"], second["client"]) == ("2026-09", True, "ENT des Tilleuls")
    assert [line[0] for line in idp("charter", "list").out.splitlines()] == [" ", "*"]
    with engine.connect() as connection:
        stored = connection.scalar(text("SELECT text FROM charter_version WHERE version = '1'"))
        number = connection.scalar(text("SELECT version FROM client"))
    assert stored == "# Charte\n\nSoyons polis, même à l’écrit.\n", "verbatim, without the mark of its encoding"
    assert number == 3, "processes that keep the client must look again"


@each_row(
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
    assert read_json(idp, "charter", "list") == []


def test_wrong_arguments_are_refused(idp: Run, client_id: str, file: Path) -> None:
    for version in ("", "v" * 41):
        answer = idp("charter", "publish", client_id, "--version", version, str(file))
        check_refusal(answer, "the version must have 1 to 40 characters")
    check_refusal(idp("charter", "publish", client_id, "--version", "1", "/dev/zero"), "/dev/zero is not text")
    check_refusal(idp("charter", "publish", "nobody", "--version", "1", str(file)), "no client nobody")
    assert idp("charter", "publish", client_id, "--version", "1", str(file.parent)).code == 2
