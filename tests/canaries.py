"""Row O-01 for the whole suite: no secret of a test may be in a log, the journal or the outbox.

Each secret that the product creates during a test, and each password that it hashes, is a canary. All loggers are at
DEBUG. The test fails if a canary is in a place that operators can read; the message names the place.
"""

import json
import logging
import secrets
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import psycopg
import pytest
import structlog
from flask import Flask
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from idp import logging as log_lines, opaque
from idp.accounts.passwords.hasher import Hasher, fold_provisional
from idp.db import db
from idp.desk.staff import authenticators
from idp.letters import provisional
from idp.web import door
from tests.builders import PASSWORD, PROVISIONAL
from tests.databases import SECRET

SHORTEST = 8
"""Characters. A shorter canary could be found by chance."""
LONGEST = 2000
"""Characters. Forms refuse longer passwords; tests measure this time, so longer passwords are no canaries."""
_STORED = (
    ("the journal", "SELECT kind, details, actor FROM audit"),
    ("the outbox", "SELECT kind, payload, last_error FROM outbox"),
)
_ALWAYS = {PASSWORD: "a test's password", PROVISIONAL: "a provisional password", SECRET: "the secret key"}
_FOREIGN = "mail.log"  # the tests' SMTP server, which logs the mails that it receives


class Canaries(logging.Handler):
    """The secrets of one test with their kinds, and the texts that were written, with their places."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.forget()

    def forget(self) -> None:
        self.secrets: dict[str, str] = {}
        self.written: list[tuple[str, str]] = []
        for secret, what in _ALWAYS.items():
            self.add(secret, what)

    def add(self, secret: str, what: str) -> None:
        """Add `secret` as a canary: as it is, in JSON and percent-encoded."""
        if SHORTEST <= len(secret) <= LONGEST:
            for spelling in (secret, json.dumps(secret)[1:-1], quote_plus(secret, errors="replace")):
                self.secrets[spelling] = what

    def keep(self, where: str, text_written: str) -> None:
        self.written.append((where, text_written))

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != _FOREIGN:
            message = logging.Formatter("%(name)s %(message)s").format(record)
            self.keep(f"a line of {record.name}", f"{message} {record.args!r}")

    def keep_stored(self, engine: Engine) -> None:
        """Keep the rows of the journal and the outbox. The database may no longer exist."""
        try:
            with engine.connect() as connection:
                for where, query in _STORED:
                    for kind, details, content in connection.execute(text(query)):
                        values = json.loads(details) if isinstance(details, str) else details
                        values.pop("sid", None)  # `sid` is not secret: every ENT and the journal have it
                        self.keep(f"{where} ({kind})", f"{values} {content}")
        except (SQLAlchemyError, psycopg.Error):
            return

    def places(self) -> list[str]:
        """Return the kind and the place of each found canary, without the secret."""
        whole = "\n".join(text_written for _, text_written in self.written)
        if not whole:
            return []
        leaked = [secret for secret in self.secrets if secret in whole]
        return sorted(
            {
                f"{self.secrets[secret]} in {where}"
                for secret in leaked
                for where, text_written in self.written
                if secret in text_written
            }
        )


_current = Canaries()


def _noting(make: Callable[..., str], what: str) -> Callable[..., str]:
    def make_and_note(*arguments: Any, **more: Any) -> str:
        value = make(*arguments, **more)
        _current.add(value, what)
        return value

    return make_and_note


def _noting_typed(act: Callable[..., Any], place: int) -> Callable[..., Any]:
    def acted(*arguments: Any, **more: Any) -> Any:
        password = more.get("password", arguments[place] if len(arguments) > place else "")
        _current.add(password, "what somebody typed as a password")
        return act(*arguments, **more)

    return acted


def _provisional(draw: Callable[[], str]) -> Callable[[], str]:
    def drawn() -> str:
        value = draw()
        _current.add(value, "a provisional password")
        _current.add(provisional.show(value), "a provisional password")
        return value

    return drawn


def _recovery_codes(draw: Callable[..., list[str]]) -> Callable[..., list[str]]:
    def drawn(*arguments: Any) -> list[str]:
        values = draw(*arguments)
        for value in values:
            _current.add(value, "a recovery code")
            _current.add(value.replace("-", ""), "a recovery code")
        return values

    return drawn


@pytest.fixture(scope="session", autouse=True)
def _everything_is_heard() -> Iterator[None]:
    """Set all loggers to DEBUG for all settings, and add each secret where it is created."""
    configure, write = log_lines.configure, log_lines.write

    def loudly(_level: str = "INFO") -> None:
        root = logging.getLogger()
        if _current in root.handlers and root.level == logging.DEBUG and structlog.is_configured():
            return  # as it was left: each change of a level makes all loggers forget what they know
        configure("DEBUG")
        for handler in root.handlers:
            if isinstance(handler, log_lines._Handler):
                handler.setLevel(logging.INFO)  # shown records stay at INFO; kept records are at DEBUG
        root.setLevel(logging.DEBUG)
        if _current not in root.handlers:
            root.addHandler(_current)

    def keep(line: str) -> None:
        event = json.loads(line)
        _current.keep(f"the log ({event['event']})", f"{line} {event}")
        write(line)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_lines, "configure", loudly)
        patch.setattr(log_lines, "write", keep)
        patch.setattr(door, "write", keep)
        random = SimpleNamespace(token_urlsafe=_noting(secrets.token_urlsafe, "an unguessable value"))
        patch.setattr(opaque, "secrets", random)
        patch.setattr(opaque, "keyed_value", _noting(opaque.keyed_value, "a link's token"))
        patch.setattr(provisional, "draw", _provisional(provisional.draw))
        patch.setattr(Hasher, "hash", _noting_typed(Hasher.hash, 1))
        patch.setattr(Hasher, "verify", _noting_typed(Hasher.verify, 2))
        patch.setattr(authenticators, "new_totp", _noting(authenticators.new_totp, "a TOTP secret"))
        patch.setattr(authenticators, "draw_recovery_codes", _recovery_codes(authenticators.draw_recovery_codes))
        _ALWAYS[fold_provisional(PROVISIONAL)] = "a provisional password"
        loudly()
        yield
    logging.getLogger().removeHandler(_current)


@pytest.fixture(autouse=True)
def canaries(request: pytest.FixtureRequest) -> Iterator[Canaries]:
    _current.forget()
    url = request.getfixturevalue("database_url") if "database_url" in request.fixturenames else ""
    yield _current
    if url and "app" not in request.fixturenames:
        _current.keep_stored(_engine(url))
    if places := _current.places():
        pytest.fail(f"secrets were written down: {', '.join(places)}")


@lru_cache(maxsize=8)
def _engine(url: str) -> Engine:
    return create_engine(url, pool_size=1, pool_pre_ping=True)


def keep_stored(_app: Flask) -> None:
    """Keep the rows of the application's database before it is closed."""
    _current.keep_stored(db.engine)
