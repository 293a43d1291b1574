"""Refusals of `idp demo`, with one sentence and before anything is written."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from demo import commands, folder
from demo.processes import ports_of
from idp import schema
from tests.commands.processes import NUMBER


@pytest.fixture(autouse=True)
def nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the command creates a database or an application."""
    monkeypatch.setattr(commands, "create_app", lambda _settings: pytest.fail("nothing must be made"))
    monkeypatch.setattr(schema, "upgrade", lambda _settings: pytest.fail("no database must be touched"))


def run(data: Path, *arguments: str, **environment: str) -> Result:
    command = commands.command(data)
    clean = {"IDP_ENV": None, "IDP_DATABASE_URL": None, "IDP_CONFIG": None, "DEMO_PORT": None}
    return CliRunner().invoke(command, arguments, env={**clean, **environment})


def read_refusal(result: Result) -> str:
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    return result.stderr


@pytest.fixture
def block() -> int:
    """Return the first of a block of ports that are free just now."""
    for port in range(15_000 + 1000 * NUMBER, 60_000, 100):
        sockets = [socket.socket() for _ in ports_of(port)]
        try:
            for probe, number in zip(sockets, ports_of(port), strict=True):
                probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
        return port
    pytest.fail("no free ports")


def test_production_settings_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    assert "IDP_ENV=production" in read_refusal(run(data, IDP_ENV="production"))
    assert "IDP_DATABASE_URL" in read_refusal(run(data, IDP_DATABASE_URL="postgresql://idp@db/idp"))
    assert "IDP_CONFIG" in read_refusal(run(data, IDP_CONFIG="/etc/idp.toml"))
    assert not data.exists()


@pytest.mark.parametrize("offset", [0, 1, 2, 25, 26])
def test_a_busy_port_is_named_with_the_way_out(tmp_path: Path, block: int, offset: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", block + offset))
        taken.listen()
        message = read_refusal(run(tmp_path / "demo", DEMO_PORT=str(block)))
    assert f"port {block + offset}, for" in message
    assert "DEMO_PORT=" in message
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("port", ["0", "abc", "65510", "-1", ""])
def test_an_impossible_port_is_a_usage_error(tmp_path: Path, port: str) -> None:
    assert run(tmp_path / "demo", "--port", port).exit_code == 2


def test_two_demonstrations_on_one_folder_are_refused(tmp_path: Path, block: int) -> None:
    with folder.alone(tmp_path / "demo"):
        assert "another demonstration uses" in read_refusal(run(tmp_path / "demo", "--port", str(block)))


def test_missing_sample_ents_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("idp.paths.CHECKOUT", tmp_path)
    assert "clients/" in read_refusal(run(tmp_path / "demo"))


def test_a_demonstration_of_a_former_release_is_refused(tmp_path: Path, block: int) -> None:
    (tmp_path / "idp.db").touch()
    message = read_refusal(run(tmp_path, "--port", str(block)))
    assert message.count("\n") == 1
    assert "make demo-reset" in message


def test_a_reset_deletes_everything(tmp_path: Path) -> None:
    data = tmp_path / "demo"
    data.mkdir()
    (data / "idp.db").touch()
    assert run(data, "--reset").exit_code == 0
    assert not data.exists()


def test_a_lost_secret_is_explained(tmp_path: Path, block: int) -> None:
    (tmp_path / "postgresql").mkdir()
    assert "make demo-reset" in read_refusal(run(tmp_path, "--port", str(block)))


def test_a_spoilt_list_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "letters.json").write_text("{")
    with pytest.raises(Exception, match="is not valid"):
        folder.read_json(tmp_path / "letters.json", absent=[])
    assert (tmp_path / "letters.json").read_text() == "{"
