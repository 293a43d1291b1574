"""The whole service as it runs: web server, worker, two ENTs, SMTP server, each a process; on the test's database."""

import atexit
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import requests
from sqlalchemy import select

from demo import desk, school_file
from demo.ents import HOST, DemoEnt, ents_at
from demo.letters import Paper, SeededLetter
from demo.processes import DESK_OFFSET, SERVICE_HOST, SMTP_OFFSET, WEB_OFFSET, exported, neighbours, service
from demo.seed import seed
from demo.supervisor import Child, first_taken
from idp import schema
from idp.accounts.models import Account, School, SchoolNotice
from idp.accounts.school_notices import children_of
from idp.app import create_app
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.families import acts
from idp.families.disputes import Outcome
from idp.services import services_of
from tests import databases, forked, settlements
from tests.applications import SHARED
from tests.databases import SECRET

_PATIENCE = 120.0
_ON_DEMAND = frozenset({"desk"})
"""The parts that only some stories start."""
_GUARD = WEB_OFFSET + 1
_SPAN = _GUARD + 1
_guards: dict[int, socket.socket] = {}


def free_ports(worker: str) -> int:
    """Return the first of a run of free ports; test processes look in ranges of their own.

    The run's last port stays bound as long as the process lives: another test run on this machine passes by.
    """
    number = int(worker.removeprefix("gw")) if worker.startswith("gw") else 0
    for port in range(21000 + 1000 * number, 21000 + 1000 * (number + 1) - _SPAN, _SPAN):
        if _is_ours(port) and first_taken(range(port, port + _GUARD)) is None:
            return port
    raise AssertionError("no free ports")


def _is_ours(port: int) -> bool:
    """Take the run of ports that begins at `port`; say whether this process has it."""
    if port not in _guards:
        guard = socket.socket()
        try:
            guard.bind((HOST, port + _GUARD))
        except OSError:
            guard.close()
            return False
        atexit.register(guard.close)
        _guards[port] = guard
    return True


@dataclass(frozen=True)
class Letter:
    username: str
    provisional_password: str


@dataclass(frozen=True)
class _Seeded:
    """The data with which the stories of this process begin: to copy them takes less time than to make them."""

    ents: Sequence[DemoEnt]
    letters: Sequence[SeededLetter]
    folder: Path
    rows: databases.Rows

    @classmethod
    def on(cls, site: "Site") -> "_Seeded":
        site.seed()
        folder = Path(os.environ[SHARED]) / f"seeded-{os.getpid()}-{site.port}"
        shutil.copytree(site.folder, folder)
        return cls(site.ents, site.letters, folder, databases.rows_of(site.settings.database_url))

    def copy_to(self, site: "Site") -> None:
        site.ents, site.letters = self.ents, self.letters
        shutil.copytree(self.folder, site.folder, dirs_exist_ok=True)
        databases.replace_rows(site.settings.database_url, self.rows)


_seeded: dict[int, _Seeded] = {}
"""The data by the port of the site, which is part of the registrations."""


@dataclass
class Site:
    """A running service. Its parts can be stopped and started again one by one."""

    settings: Settings
    port: int
    folder: Path
    ents: Sequence[DemoEnt] = ()
    letters: Sequence[SeededLetter] = ()
    children: dict[str, Child] = field(default_factory=dict)
    running: dict[str, forked.Program] = field(default_factory=dict)

    @classmethod
    def on(cls, database_url: str, folder: Path, worker: str) -> "Site":
        port = free_ports(worker)
        settings = Settings(
            env="development",
            issuer=f"http://{SERVICE_HOST}:{port}",
            desk_url=f"http://{desk.HOST}:{port + DESK_OFFSET}",
            secret_key=SECRET,
            database_url=database_url,
            smtp_url=f"smtp://{HOST}:{port + SMTP_OFFSET}",
            mail_from="ne-pas-repondre@exemple.fr",
            log_level="DEBUG",
            drain_seconds=0,
            academy="Académie des Deux-Rives",
            support_phone="03 53 01 12 12",
            support_hours="Mo-Fr 08:00-18:00",
        )
        site = cls(settings, port, folder)
        if database_url.startswith("postgresql"):
            seeded = _seeded.get(port) or _seeded.setdefault(port, _Seeded.on(site))
            seeded.copy_to(site)
        else:
            site.seed()
        site.children = {c.name: c for c in (*neighbours(settings, port, site.ents, folder), *service(settings, port))}
        return site

    def seed(self) -> None:
        """Make the data of the demonstration in the site's database and folder."""
        self.ents = ents_at(self.port, self.folder)
        schema.upgrade(self.settings)
        app = create_app(self.settings)
        with app.app_context():
            self.letters = seed(self.settings, self.ents, Paper(self.folder), self.folder / "fichiers")
            school_file.write(self.folder)
            db.session.remove()
            db.engine.dispose()
            services_of(app).close()

    def start(self, *names: str) -> None:
        """Start the named parts (without names all that every story needs) and wait until they answer."""
        parts = names or tuple(name for name in self.children if name not in _ON_DEMAND)
        for name in parts:
            child = self.children[name]
            inherited = {k: v for k, v in os.environ.items() if not k.startswith(("IDP_", "ENT_"))}
            with (self.folder / f"{name}.log").open("ab") as log:
                environment = {**inherited, **child.environment}
                self.running[name] = forked.Program(*forked.forkable(child.command), env=environment, output=log)
        until = time.monotonic() + _PATIENCE
        for name in parts:
            while not self.children[name].answers():
                assert self.running[name].poll() is None, self.log(name)
                assert time.monotonic() < until, f"{name} does not answer: {self.log(name)}"
                time.sleep(0.05)

    def stop(self, *names: str, kill: bool = False) -> None:
        """Stop the named parts (all without names), by SIGKILL if `kill`."""
        ended = [self.running.pop(name) for name in names or tuple(self.running) if name in self.running]
        for process in ended:
            process.kill() if kill else process.terminate()
        for process in ended:
            try:
                process.wait(_PATIENCE)
            except TimeoutExpired:
                process.kill()
                process.wait()

    def command(self, *arguments: str, code: int = 0) -> str:
        """Run `idp` as an operator does; return what it printed, its errors if `code` is not 0."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("IDP_")}
        done = forked.run(forked.IDP, *arguments, env={**inherited, **exported(self.settings)}, timeout=_PATIENCE)
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    @contextmanager
    def at_the_desk(self) -> Iterator[None]:
        """Run acts of the desk on the site's database, in this process."""
        app = create_app(self.settings)
        with app.app_context():
            try:
                yield
            finally:
                db.session.remove()
                db.engine.dispose()
                services_of(app).close()

    def settle(self, username: str, outcome: Outcome, reason: str) -> None:
        with self.at_the_desk():
            account = db.session.scalars(select(Account).where(Account.username == username)).one()
            settlements.settle(self.settings, account, outcome, reason=reason)

    def settle_notice(self, key: uuid.UUID, sentence: str) -> None:
        with self.at_the_desk(), unit_of_work():
            acts.settle_notice(key, sentence)

    def notices(self) -> list[dict[str, Any]]:
        with self.at_the_desk():
            rows = db.session.execute(
                select(SchoolNotice, School.uai, Account.username)
                .join(School, School.id == SchoolNotice.school_id)
                .join(Account, Account.id == SchoolNotice.account_id)
                .order_by(SchoolNotice.created_at, SchoolNotice.id)
            ).all()
            return [
                {
                    "id": notice.id,
                    "uai": uai,
                    "kind": notice.kind,
                    "account": username,
                    "children": [child.given_name for child in children_of([notice])[notice.id]],
                    "state": "open" if notice.settled_at is None else "settled",
                    "sentence": notice.sentence,
                }
                for notice, uai, username in rows
            ]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def wait_for_log(self, name: str, words: str) -> None:
        until = time.monotonic() + _PATIENCE
        while words not in (printed := self.log(name)):
            assert time.monotonic() < until, f"{name} never said {words}: {printed}"
            time.sleep(0.1)

    def logs(self) -> Iterator[tuple[str, str]]:
        for path in sorted(self.folder.glob("*.log")):
            yield path.stem, path.read_text(errors="replace")

    def secrets(self) -> Iterator[tuple[str, str]]:
        """Yield what no part may print, and what it is; while the mail catcher runs, the links of the mails too."""
        for letter in self.letters:
            yield letter.shown, "a provisional password"
            yield letter.shown.replace("-", ""), "a provisional password"
        for ent in self.ents:
            yield ent.client_secret, "a client secret"
            yield ent.secret_key, "an ENT's secret key"
        if "catcher" in self.running:
            for mail in self.mails():
                for link in re.findall(r"https?://\S+/([\w-]{43})\b", mail["text"]):
                    yield link, "a link's token"

    def letter(self, begun: str) -> Letter:
        """Return the one letter whose identifier is `begun` and digits: `n.leroy` finds that of `n.leroy4821`."""
        form = re.compile(rf"{re.escape(begun)}\d*")
        [drawn] = [letter for letter in self.letters if form.fullmatch(letter.username)]
        return Letter(drawn.username, drawn.shown)

    def mails(self, recipient: str = "") -> list[dict[str, Any]]:
        mails_found: list[dict[str, Any]] = requests.get(
            f"http://{HOST}:{self.port + WEB_OFFSET}/mails.json", timeout=_PATIENCE
        ).json()
        return [mail for mail in mails_found if not recipient or mail["to"] == [recipient]]

    def wait_for_subject(self, recipient: str, subject: str) -> None:
        """Wait for a mail with this subject; others may arrive meanwhile."""
        until = time.monotonic() + _PATIENCE
        while not any(mail["subject"] == subject for mail in self.mails(recipient)):
            assert time.monotonic() < until, f"no mail « {subject} »: {self.log('worker')}"
            time.sleep(0.1)

    def wait_for_mail(self, recipient: str, count: int = 1) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE
        while len(mails_found := self.mails(recipient)) < count:
            assert time.monotonic() < until, f"no mail for {recipient}: {self.log('worker')}"
            time.sleep(0.1)
        assert len(mails_found) == count
        return mails_found[-1]
