"""The settings of docs/sauvegarde.md, section 3, restore to an instant, and then to a later one from the same copy."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import pytest

from idp.paths import CHECKOUT
from tests.database.standby import Server
from tests.waiting import wait_for

pytestmark = pytest.mark.interop

_PAGE = (CHECKOUT / "docs/sauvegarde.md").read_text(encoding="utf-8").partition("\n## 3. ")[2].partition("\n## ")[0]
_AGAIN = "recovery_target_timeline = 'current'"


@contextmanager
def served(data: Path) -> Iterator[Server]:
    server = Server(data)
    try:
        yield server
    finally:
        server.end()


@dataclass(frozen=True)
class Restore:
    """A folder with a base copy, and an archive to which the test copies what a server would."""

    folder: Path

    def archive(self, data: Path) -> None:
        """Copy the write-ahead log and the history of the time lines, never over what is there."""
        for path in (data / "pg_wal").glob("0*"):
            if not (self.folder / "wal" / path.name).exists():
                shutil.copy(path, self.folder / "wal")
                (self.folder / "wal" / path.name).chmod(0o644)

    def numbers_at(self, instant: str, *more: str) -> list[int]:
        """Restore the base copy to the instant by the page's settings; return the numbers in it."""
        [settings] = re.findall(r"restauration.conf <<'FIN'\n((?:    .*\n)*?)    FIN\n", _PAGE)
        settings = settings.replace("/sauvegarde/wal", str(self.folder / "wal"))
        lines = re.sub(r"(recovery_target_time = ').*'", rf"\g<1>{instant}'", settings).splitlines()
        base = self.folder / "base"
        data = Path(mkdtemp(prefix="restored-", dir=self.folder))
        shutil.copytree(base, data, dirs_exist_ok=True)
        with (data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{line.strip()}\n" for line in (*lines, *more))
        (data / "recovery.signal").touch()
        for path in (data, *data.rglob("*")):
            shutil.chown(path, base.owner(), base.group())
        with served(data) as server:
            wait_for(lambda: server.sql("SELECT pg_is_in_recovery()") == [(False,)])
            numbers = [number for (number,) in server.sql("SELECT number FROM noted ORDER BY number")]
            self.archive(data)
            return numbers


def test_a_second_restore_reaches_a_later_instant(shared: Path) -> None:
    with TemporaryDirectory(dir=shared, ignore_cleanup_errors=True) as name:
        restore, instants = Restore(Path(name)), []
        restore.folder.chmod(0o777)  # the servers run as another user
        (restore.folder / "wal").mkdir()
        with served(restore.folder / "first") as server:
            copied = ("-D", str(restore.folder / "base"), "-c", "fast", "-X", "none")
            server.run("pg_basebackup", "-h", server.host, "-U", "postgres", *copied)
            server.sql("CREATE TABLE noted (number serial)")
            for _ in range(3):
                server.sql("INSERT INTO noted DEFAULT VALUES")
                instants.append(str(server.sql("SELECT clock_timestamp()::text")[0][0]))
            server.sql("SELECT pg_switch_wal()")
            restore.archive(server.folder)
        assert restore.numbers_at(instants[0]) == [1]
        assert (restore.folder / "wal" / "00000002.history").exists(), "the first try began a history of its own"
        assert f"`{_AGAIN}`" in _PAGE
        assert restore.numbers_at(instants[1], _AGAIN) == [1, 2]
