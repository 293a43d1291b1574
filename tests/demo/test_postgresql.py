"""The database server of a demonstration: each test starts it in a process of its own, as `idp demo` does."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from demo import folder as folders

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


def run(url: str, statement: str) -> list[object]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return [value for (value,) in cursor.fetchall()] if "kept AS" not in statement else []


def test_a_second_start_continues_with_the_data(tmp_path: Path, start: Callable[[Path], Started]) -> None:
    process, url = start(tmp_path)
    run(url, WRITE)
    process.terminate()
    assert process.wait() == 0
    assert not (tmp_path / "postgresql" / "postmaster.pid").exists()
    assert run(start(tmp_path)[1], READ) == ["É"]


def test_it_opens_no_port_and_its_socket_is_its_owners(tmp_path: Path, start: Callable[[Path], Started]) -> None:
    _, url = start(tmp_path)
    assert run(url, "SHOW listen_addresses") == [""]
    assert (tmp_path / ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o700


def test_it_starts_again_after_it_was_killed(tmp_path: Path, start: Callable[[Path], Started]) -> None:
    process, url = start(tmp_path)
    run(url, WRITE)
    with psycopg.connect(url):  # it waits for this client, and the next start does not
        process.kill()
        process.wait()
        _, url = start(tmp_path)
    assert run(url, READ) == ["É"]


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
        assert run(url, "SELECT 1") == [1]
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("name", ["long" * 30, "a, 'b' & c"])
def test_any_folder_will_do(tmp_path: Path, start: Callable[[Path], Started], name: str) -> None:
    process, url = start(tmp_path / name)
    assert run(url, "SELECT 1") == [1]
    sockets = Path(str(make_url(url).query["host"]))
    assert sockets.is_dir()
    process.terminate()
    process.wait()
    assert not sockets.exists()


def test_a_reset_ends_a_demonstration_that_runs(tmp_path: Path, start: Callable[[Path], Started]) -> None:
    process, _ = start(tmp_path)
    with folders.alone(tmp_path, end_other=True):
        assert process.wait() == 0
