"""A standby takes over from the primary: nothing that was acknowledged is lost, and nobody restarts the service.

Each test takes seconds, because it starts a primary with a standby of its own.
"""

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest
import requests
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from idp import db
from idp.config import Settings
from idp.statements import Statement
from tests.applications import lent
from tests.builders import Build
from tests.commands.processes import PATIENCE, free_port, running
from tests.database.standby import Server
from tests.databases import prepare, settings_for
from tests.interop.visitor import Visitor
from tests.relying_party import Attempt, RelyingParty
from tests.statements.lending import connections_of, row_of

NOTE = Statement("INSERT INTO noted VALUES (:number) RETURNING number", {"number": int})
USE = Statement("UPDATE once SET used = true WHERE number = :number AND NOT used RETURNING number", {"number": int})
"""Single use, as a code is redeemed."""
_ALLOWED_SECONDS = 10
"""The promise of docs/fiabilite.md, with the time limits of production."""
_PARENTS = 4


@pytest.fixture
def pair(shared: Path) -> Iterator[tuple[Server, Server]]:
    """A primary with the tables of the service and of the writers, and its standby.

    Both run as another user, for whom pytest shuts its own folder at the start of each run.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(dir=shared, ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        primary = Server(folder / "primary")
        stack.callback(primary.end)
        prepare(primary.url)
        primary.sql("CREATE TABLE noted (number int PRIMARY KEY)")
        primary.sql("CREATE TABLE once AS SELECT number, false AS used FROM generate_series(0, 100000) number")
        primary.sql("ALTER TABLE once ADD PRIMARY KEY (number)")
        standby = primary.standby(folder / "standby")
        stack.callback(standby.end)
        yield primary, standby


class Writer:
    """Writes numbers in a thread, each once: by `write`, which raises OperationalError while the database is away."""

    def __init__(self, write: Callable[[int], object], numbers: range) -> None:
        self.acknowledged: list[int] = []
        self._is_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=[write, numbers])

    def _run(self, write: Callable[[int], object], numbers: range) -> None:
        for number in numbers:
            if self._is_ended.is_set():
                break
            try:
                write(number)
                self.acknowledged.append(number)
            except OperationalError:
                time.sleep(0.01)  # refused at once during the outage: do not use up the numbers

    def wait_for(self, count: int, seconds: float) -> None:
        total, until = len(self.acknowledged) + count, time.monotonic() + seconds
        while len(self.acknowledged) < total:
            assert time.monotonic() < until, "nothing is written any more"
            time.sleep(0.01)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._is_ended.set()
            self._thread.join()


@contextmanager
def writers(url: str) -> Iterator[tuple[Writer, Writer]]:
    settings = settings_for(url)
    engine = create_engine(
        make_url(settings.database_url).set(drivername="postgresql+psycopg"),
        **db.engine_options(pool_size=2),
    )

    def write(number: int) -> None:
        with engine.begin() as transaction:
            transaction.execute(text("INSERT INTO noted VALUES (:number)"), {"number": number})

    with connections_of(settings) as connections:

        def use(number: int) -> None:
            row_of(connections, NOTE, number=number)
            row_of(connections, USE, number=number)

        yield (
            Writer(use, range(0, 100_000, 2)),
            Writer(write, range(1, 1_000_000, 2)),
        )
    engine.dispose()


@dataclass
class Parents:
    """Parents who sign in again and again at a running service, each in a thread."""

    settings: Settings
    ent: RelyingParty
    usernames: list[str]
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When each parent was signed in: `time.monotonic()`."""
    failures: list[str] = field(default_factory=list)
    _is_ended: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, settings: Settings) -> "Parents":
        with lent(settings, own=True):
            build = Build(settings)
            ent, usernames = build.ent(), [build.active().username for _ in range(_PARENTS)]
        return cls(settings, ent, usernames)

    @contextmanager
    def signing_in(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._repeat, args=[username]) for username in self.usernames]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_ended.set()
            for thread in threads:
                thread.join()

    def _repeat(self, username: str) -> None:
        while not self._is_ended.is_set():
            visitor = Visitor(Path("no-authorities"))
            visitor.stops_at = self.ent.redirect_uri
            try:
                visitor.open(self.settings.issuer + self.ent.url(Attempt()))
                visitor.sign_in(username)
                assert "code=" in "".join(visitor.steps), f"{visitor.page.status_code} {visitor.heading}"
                self.times[username].append(time.monotonic())
            except (AssertionError, requests.RequestException) as fault:
                self.failures.append(repr(fault)[:200])
                time.sleep(0.1)
            finally:
                visitor.close()

    def wait_until_all_sign_in_after(self, moment: float, seconds: float) -> None:
        until = time.monotonic() + seconds
        while late := [name for name in self.usernames if not self.times[name] or self.times[name][-1] < moment]:
            assert time.monotonic() < until, f"{len(late)} parents cannot sign in: {self.failures[-3:]}"
            time.sleep(0.05)


def _url(pair: tuple[Server, Server]) -> str:
    hosts = ",".join(quote(server.host, safe="") for server in pair)
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


@contextmanager
def parents(pair: tuple[Server, Server], log: Path) -> Iterator[Parents]:
    port = free_port()
    values = {"env": "development", "issuer": f"http://127.0.0.1:{port}"}
    created = Parents.of(settings_for(pair[0].url, **values))
    arguments = ("serve", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "8")
    with running(settings_for(_url(pair), **values), log, *arguments), created.signing_in():
        yield created


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stands still"])
def test_sign_ins_and_writes_go_to_the_new_primary_without_a_restart(
    pair: tuple[Server, Server], fault: signal.Signals, tmp_path: Path
) -> None:
    primary, standby = pair
    with (
        parents(pair, tmp_path / "serve.log") as families,
        writers(_url(pair)) as both,
        both[0].running(),
        both[1].running(),
    ):
        families.wait_until_all_sign_in_after(0, seconds=PATIENCE)
        for writer in both:
            writer.wait_for(20, seconds=10)
        primary.inject(fault)
        standby.run("pg_ctl", "-D", str(standby.folder), "-w", "promote")
        promoted = time.monotonic()
        for writer in both:
            writer.wait_for(1, promoted + _ALLOWED_SECONDS - time.monotonic())
        families.wait_until_all_sign_in_after(promoted, promoted + _ALLOWED_SECONDS - time.monotonic())
        for writer in both:
            writer.wait_for(20, seconds=PATIENCE)
    acknowledged = {number for writer in both for number in writer.acknowledged}
    stored = [number for (number,) in standby.sql("SELECT number FROM noted")]
    assert acknowledged <= set(stored), "an acknowledged write was lost"
    again = [number for (number,) in standby.sql("UPDATE once SET used = true WHERE NOT used RETURNING number")]
    assert not set(again) & set(both[0].acknowledged), "what was used can be used once more"
    assert len(stored) - len(acknowledged) <= len(both), "only a write whose answer was lost may be stored without one"
