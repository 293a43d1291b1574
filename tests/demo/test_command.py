"""`idp demo`: refusals with one sentence before anything is written, and the database server that it starts."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import make_url

from demo import commands, folder, folder as folders
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


PROGRAM = """
import sys
from pathlib import Path
from demo import postgresql
from demo.folder import alone
from demo.supervisor import StopRequest, Supervisor

folder = Path(sys.argv[1])
with alone(folder), postgresql.sockets_for(folder) as sockets, StopRequest() as stop:
    with Supervisor(stop, logs=folder / "logs", folder=folder, inherited={"PGPORT": "1"}) as watched:
        watched.start([postgresql.server(folder, sockets)])
        failure = watched.run(lambda: print(postgresql.url_at(sockets), flush=True))
sys.exit(str(failure) if failure else 0)
"""
WRITE = "CREATE TABLE kept AS SELECT 'é' AS word"
READ = "SELECT upper(word) FROM kept"
Started = tuple["subprocess.Popen[str]", str]


@pytest.fixture
def start() -> Iterator[Callable[[Path], Started]]:
    """Start a server in a folder; return its supervisor and its URL."""
    with ExitStack() as started:

        def start(folder: Path) -> Started:
            process = started.enter_context(
                subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, text=True)
            )
            started.callback(process.terminate)
            assert process.stdout
            return process, process.stdout.readline().strip()

        yield start


def query(url: str, statement: str) -> list[object]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return [value for (value,) in cursor.fetchall()] if "kept AS" not in statement else []


def test_a_second_start_continues_with_the_data(tmp_path: Path, start: Callable[[Path], Started]) -> None:
    process, url = start(tmp_path)
    query(url, WRITE)
    process.terminate()
    assert process.wait() == 0
    assert not (tmp_path / "postgresql" / "postmaster.pid").exists()
    assert query(start(tmp_path)[1], READ) == ["É"]


def test_it_opens_no_port_and_its_socket_is_its_owners(tmp_path: Path, start: Callable[[Path], Started]) -> None:
    _, url = start(tmp_path)
    assert query(url, "SHOW listen_addresses") == [""]
    assert (tmp_path / ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o700


def test_it_starts_again_after_it_was_killed(tmp_path: Path, start: Callable[[Path], Started]) -> None:
    process, url = start(tmp_path)
    query(url, WRITE)
    with psycopg.connect(url):  # it waits for this client, and the next start does not
        process.kill()
        process.wait()
        _, url = start(tmp_path)
    assert query(url, READ) == ["É"]


def test_it_starts_again_when_another_process_has_its_number(tmp_path: Path, start: Callable[[Path], Started]) -> None:
    process, _ = start(tmp_path)
    lock = tmp_path / "postgresql" / "postmaster.pid"
    _, _, rest = lock.read_text().partition("\n")
    process.terminate()
    process.wait()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        for path, content in ((lock, rest), (tmp_path / ".s.PGSQL.5432.lock", rest)):
            path.write_text(f"{other.pid}\n{content}")
        _, url = start(tmp_path)
        assert query(url, "SELECT 1") == [1]
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("name", ["long" * 30, "a, 'b' & c"])
def test_any_folder_will_do(tmp_path: Path, start: Callable[[Path], Started], name: str) -> None:
    process, url = start(tmp_path / name)
    assert query(url, "SELECT 1") == [1]
    sockets = Path(str(make_url(url).query["host"]))
    assert sockets.is_dir()
    process.terminate()
    process.wait()
    assert not sockets.exists()


def test_a_reset_ends_a_demonstration_that_runs(tmp_path: Path, start: Callable[[Path], Started]) -> None:
    process, _ = start(tmp_path)
    with folders.alone(tmp_path, end_other=True):
        assert process.wait() == 0
