"""Many sign-ins at once: floods, races, and floods with the secret of a closed account."""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
import requests
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account
from idp.accounts.notices import RESET_REQUESTED
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import Base, db
from idp.operations.password_commands import build as build_filter
from idp.sessions.models import Session
from idp.throttle.counters import ThrottleCounter
from tests import forked
from tests.builders import PASSWORD, Build
from tests.closed import dispute
from tests.databases import SECRET, settings_for
from tests.pages import heading, sign_in
from tests.recovery.steps import answers, ask_password, journal, outbox
from tests.relying_party import Attempt, RelyingParty
from tests.settlements import REJECT, settle
from tests.stories.site import free_ports
from tests.waiting import wait_for


@dataclass(frozen=True)
class Answer:
    """A response: status, `Retry-After`, text, and its rank in the order of arrival."""

    status: int
    retry_after: str
    text: str
    before: int


@dataclass
class Crowd:
    port: int
    answered: int = 0

    def sign_ins(self, usernames: list[str], password: str) -> tuple[list[Answer], list[Answer]]:
        """Send the form from all browsers at once; return the responses, and those of a page requested meanwhile."""
        with ThreadPoolExecutor(1) as own:  # Playwright leaves an event loop running in the main thread
            return own.submit(lambda: asyncio.run(self._rush(usernames, password))).result()

    async def _rush(self, usernames: list[str], password: str) -> tuple[list[Answer], list[Answer]]:
        form = await self._exchange("GET", "/connexion", "198.51.100.1", "")
        cookie, token = re.search(r"idp-tx=[^;]+", form.text), re.search(r'csrf_token" value="([^"]+)"', form.text)
        assert cookie, form.text
        assert token, form.text

        def body(username: str) -> str:
            return urlencode({"csrf_token": token.group(1), "identifiant": username, "mot-de-passe": password})

        async def send(place: int, username: str) -> Answer:
            ip = f"10.0.{place // 250}.{place % 250}"
            answer = await self._exchange("POST", "/connexion", ip, body(username), cookie.group(0))
            self.answered += 1
            return answer

        self.answered = 0
        done = asyncio.Event()
        witness = asyncio.create_task(self._look_meanwhile(done))
        answers = await asyncio.gather(*(send(place, username) for place, username in enumerate(usernames)))
        done.set()
        return answers, await witness

    async def _look_meanwhile(self, done: asyncio.Event) -> list[Answer]:
        answers = []
        while not done.is_set():
            answers.append(await self._exchange("GET", "/mentions-legales", "198.51.100.2", ""))
            await asyncio.sleep(0.1)
        return answers

    async def _exchange(self, method: str, path: str, ip: str, body: str, cookie: str = "") -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = [
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"X-Forwarded-For: {ip}",
            "Connection: close",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
            f"Cookie: {cookie}",
        ]
        writer.write("\r\n".join([*head, "", body]).encode())
        text = (await reader.read()).decode(errors="replace")
        writer.close()
        await writer.wait_closed()
        retry = re.search(r"(?im)^retry-after: (\S+)", text)
        status = int(text.split(" ", 2)[1]) if text else 0
        return Answer(status, retry.group(1) if retry else "", text, self.answered)


_PEOPLE = 500
_HASHES = 1
"""The number of concurrent hashes of a worker, fixed so that it does not depend on the machine.

One, so that two workers hash on two cores at most: with more, hashes take the time in which the others are sent away.
"""
_PATIENCE = 120.0


@contextmanager
def _server(database_url: str, port: int, folder: Path) -> Iterator[int]:
    """Run `idp serve` as operators do, behind one proxy; yield its process id."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IDP_")}
    environment |= {
        "IDP_ENV": "development",
        "IDP_ISSUER": f"http://127.0.0.1:{port}",
        "IDP_SECRET_KEY": SECRET,
        "IDP_DATABASE_URL": database_url,
        "IDP_TRUSTED_PROXIES": "1",
        "IDP_HASH_CONCURRENCY": str(_HASHES),
        "IDP_DRAIN_SECONDS": "0",
    }
    command = [str(Path(sys.executable).with_name("idp")), "serve", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    with (folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(port), process, (folder / "serve.log").read_text)
        yield process.pid
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=_PATIENCE).status_code == 200
    except requests.RequestException:
        return False


def _peaks(pid: int) -> dict[int, int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    peaks = {}
    for child in children:
        [line] = [x for x in Path(f"/proc/{child}/status").read_text().splitlines() if x.startswith("VmHWM")]
        peaks[int(child)] = int(line.split()[1]) // 1024
    return peaks


@pytest.mark.row("W-01")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_five_hundred_concurrent_sign_ins_are_served_or_get_retry_after(
    build: Build, tmp_path: Path, worker_id: str
) -> None:
    accounts = [build.active().username for _ in range(10)]
    url, port = build.settings.database_url, free_ports(worker_id)
    db.session.remove()
    db.engine.dispose()
    with _server(url, port, tmp_path) as pid:
        crowd = Crowd(port)
        crowd.sign_ins(accounts[:2], PASSWORD)  # at least one worker has served a sign-in
        calm = _peaks(pid)
        answers, meanwhile = crowd.sign_ins([*accounts, *(f"x.inconnu{n}" for n in range(_PEOPLE - 10))], PASSWORD)
        peaks = _peaks(pid)

    assert len(answers) == _PEOPLE
    served = [answer for answer in answers if answer.status in {200, 303}]
    excess = [answer for answer in answers if answer.status == 503]
    assert len(served) + len(excess) == _PEOPLE, {answer.status for answer in answers}
    assert served
    assert len(excess) > 3 * len(served), "most are sent away; were they made to wait, most would be served"
    assert sorted(answer.before for answer in excess)[len(excess) // 2] < max(answer.before for answer in served)
    # 5 s when too many passwords are checked at once; 8 s when a slow machine let too many wait for a thread
    refusals = {answer.retry_after for answer in excess}
    assert {"5"} <= refusals <= {"5", "8"}
    assert all("Votre compte va bien." in answer.text for answer in excess)
    # other pages wait in the same queue: some are sent away where sign-ins are
    assert {page.status for page in meanwhile} <= ({200, 503} if "8" in refusals else {200})
    assert any(page.status == 200 and 0 < page.before < _PEOPLE for page in meanwhile), "other pages answer meanwhile"
    assert calm.keys() == peaks.keys(), "no worker died"
    assert max(peaks.values()) < max(calm.values()) + 19 * (_HASHES + 1) + 40, (calm, peaks)


@pytest.mark.row("W-11")
@pytest.mark.parametrize("requests_sent", [40, pytest.param(300, marks=pytest.mark.long)])
def test_a_flood_of_authorization_requests_writes_nothing(app: Flask, ent: RelyingParty, requests_sent: int) -> None:
    def rows() -> dict[str, int]:
        db.session.rollback()
        return {
            table.name: db.session.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }

    before = rows()
    for n in range(requests_sent):
        flood = app.test_client()
        flood.environ_base["REMOTE_ADDR"] = f"203.0.113.{n % 250}"
        answer = flood.get(ent.url(Attempt(state=f"s{n}"), login_hint=None if n % 2 else "profil:parent"))
        assert answer.status_code == 303
        assert flood.get(answer.headers["Location"]).status_code == 200
    assert rows() == before


_RENEW = "Choisissez un nouveau mot de passe"
_CLOSED = "Ce compte est fermé pour le moment"
_PARTS = "Un lien part maintenant"
_ASKED = "Un message a déjà été demandé pour ce compte"


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Settings:
    """Settings whose list of stolen passwords has that of every built account, if the test needs it."""
    source, target = tmp_path / "list.txt", tmp_path / "breached.bloom"
    listed = PASSWORD if "breached" in request.node.name else "une autre phrase, que personne n’a"
    source.write_text(f"{listed}\n", encoding="utf-8")
    build_filter(source, target, shortest=12, tell=lambda _label: lambda _read: None)
    return settings_for(database_url, breached_passwords=target)


def _shut(build: Build, how: str) -> Account:
    account = build.active(contested_at=now() if how == "contested" else None)
    if how in {"blocked", "contested"}:
        db.session.execute(update(Account).where(Account.id == account.id).values(password_state=PasswordState.BLOCKED))
    if how == "disputed":
        dispute(account.id)
    db.session.commit()
    return account


def _rows() -> int:
    rows = db.session.scalar(select(func.count()).select_from(AuditEntry)) or 0
    db.session.rollback()
    return rows + len(outbox(RESET_REQUESTED))


@pytest.mark.parametrize("how", ["blocked", "breached", "contested", "disputed"])
def test_right_password_of_a_shut_account_writes_once_a_minute(browser: FlaskClient, build: Build, how: str) -> None:
    account = _shut(build, how)
    expected = _RENEW if how in {"blocked", "breached"} else _CLOSED
    first = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert heading(first) == expected
    before = _rows()
    for _ in range(5):
        again = sign_in(browser, "/connexion", account.username, PASSWORD)
        assert heading(again) == expected
    assert _rows() == before
    assert len(answers()) == 1
    if expected == _RENEW:
        assert len(outbox(RESET_REQUESTED)) == 1
        assert _PARTS in first.text
        assert _PARTS not in again.text, "no link is sent"
        assert _ASKED in again.text
        assert 'href="/mot-de-passe-oublie"' in again.text


def test_another_link_is_sent_after_the_wait(browser: FlaskClient, build: Build) -> None:
    account = _shut(build, "blocked")
    sign_in(browser, "/connexion", account.username, PASSWORD)
    with time_machine.travel(now().timestamp() + 61, tick=True):
        assert _PARTS in sign_in(browser, "/connexion", account.username, PASSWORD).text
    assert len(outbox(RESET_REQUESTED)) == 2


def test_breached_password_is_closed_although_links_were_asked_for_before(
    browser: FlaskClient, parent: Account
) -> None:
    # A request for a link by another person must not keep a stolen password valid.
    ask_password(browser, parent.username)
    page = sign_in(browser, "/connexion", parent.username, PASSWORD)
    assert heading(page) == _RENEW
    assert _PARTS in page.text, "what others ask for does not count"
    assert len(journal("password.breached")) == 1


def test_link_is_sent_at_once_when_the_school_has_settled(browser: FlaskClient, build: Build) -> None:
    account = build.active(
        contested_at=now(), password_state=PasswordState.BLOCKED, contested_email="ancienne@exemple.fr"
    )
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == _CLOSED
    settle(build.settings, account, REJECT)
    page = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert heading(page) == _RENEW
    assert _PARTS in page.text
    assert len(outbox(RESET_REQUESTED)) == 1


PROCESSES, ACCOUNTS = 8, 5
_SLOW_LOCKS = """
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(0.002); IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$;
CREATE TRIGGER slowly BEFORE INSERT OR UPDATE OR DELETE ON throttle FOR EACH ROW EXECUTE FUNCTION slowly()
"""
"""Statements that lock rows in opposite orders meet: each pauses before it locks the next row."""


@pytest.mark.row("Z-01")
@pytest.mark.parametrize("tries", [30, pytest.param(300, marks=pytest.mark.long)])
def test_people_of_one_network_sign_in_at_once(app: Flask, build: Build, database_url: str, tries: int) -> None:
    # Each process signs in to the same accounts, in another order, from two networks of one site.
    right = [build.active().username for _ in range(ACCOUNTS)]
    wrong = [build.active().username for _ in range(2)]
    drawn = random.Random(7)
    usernames = [[drawn.choice([*right, *right, *wrong]) for _ in range(tries)] for _ in range(PROCESSES)]
    db.session.remove()
    if database_url.startswith("postgresql"):
        with psycopg.connect(database_url) as connection:
            connection.execute(_SLOW_LOCKS)
    order = {"database": database_url, "usernames": usernames, "wrong": wrong}
    done = forked.run("tests.login.rush", timeout=300, stdin=json.dumps(order))
    assert done.returncode == 0, done.stderr[-2000:]
    answers = Counter((username in wrong, status) for answer in json.loads(done.stdout) for username, status in answer)
    assert answers.keys() == {(False, 303), (True, 200)}, answers
    sessions = db.session.scalar(select(func.count()).select_from(Session))
    journal = select(func.count()).select_from(AuditEntry).where(AuditEntry.kind == "sign_in")
    assert sessions == answers[False, 303]
    assert db.session.scalar(journal.where(AuditEntry.result == "ok")) == answers[False, 303]
    assert db.session.scalar(journal.where(AuditEntry.result == "refused")) == answers[True, 200]
    left: Counter[str] = Counter()
    for limit, count in db.session.execute(select(ThrottleCounter.limit, ThrottleCounter.count)):
        left[re.sub(r":\d+", "", limit)] += count
    refused = answers[True, 200]
    assert {limit: count for limit, count in left.items() if count and limit.startswith("sign_in")} == {
        "sign_in_account": refused,
        "sign_in_ip": refused,
        "sign_in_ip:site": refused,
        "sign_in_requests": refused,
        "sign_in_requests:site": refused,
    }
