"""No service and no command starts with a secret key that is not the key of its database."""

import json
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from idp import schema
from idp.config import Settings
from tests.commands.conftest import Run
from tests.databases import SECRET
from tests.rows import each_row

OTHER = "u5m9Qf0sX3kTzR7wVb2NcY8hLpD4gJ6eA1iK-oZxWq"
SERVICES = (("serve", "--bind", "127.0.0.1:0"), ("desk", "serve", "--bind", "127.0.0.1:0"), ("worker", "--once"))
COMMANDS = (
    ("letters", "print", "--school", "0599001N", "--csv", "nowhere.csv"),
    ("staff", "invite", "a@exemple.test", "--name", "Anne", "--role", "engineer"),
    ("client", "rotate-secret", "moncollege"),
    ("roster", "check", "nowhere"),
    ("purge",),
)

pytestmark = pytest.mark.usefixtures("new_connections")


@pytest.fixture
def with_key(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_key(key: str, *fallbacks: str) -> None:
        monkeypatch.setenv("IDP_SECRET_KEY", key)
        monkeypatch.setenv("IDP_SECRET_KEY_FALLBACKS", json.dumps(fallbacks))

    return set_key


@pytest.fixture
def migrated(act: Run, engine: Engine) -> Run:
    """A database whose check value was written by `idp db upgrade`, and whose service has never started."""
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM noted_settings")
    assert act("db", "upgrade").code == 0
    return act


@each_row("command", [*SERVICES, *COMMANDS])
def test_no_service_and_no_command_starts_with_another_key(
    migrated: Run, with_key: Callable[..., None], command: tuple[str, ...]
) -> None:
    with_key(OTHER)
    answer = migrated(*command)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: IDP_SECRET_KEY is not the key of this database")
    assert ("idp config accept-secret-key" in answer.err, SECRET in answer.err) == (True, False)


def test_the_commands_that_help_with_a_lost_key_start_with_another_one(
    migrated: Run, with_key: Callable[..., None]
) -> None:
    with_key(OTHER)
    for command in (("keys", "list"), ("audit", "verify"), ("doctor", "--json")):
        assert "is not the key of this database; nothing was done" not in migrated(*command).err, command


def test_a_rotation_starts_on_each_node_in_any_order(migrated: Run, with_key: Callable[..., None]) -> None:
    """Each node learns the new key as a fallback, then writes with it, then forgets the former."""
    for key, *fallbacks in ((SECRET,), (SECRET, OTHER), (OTHER, SECRET), (SECRET, OTHER), (OTHER, SECRET), (OTHER,)):
        with_key(key, *fallbacks)
        assert migrated("worker", "--once").code == 0
    with_key(SECRET)
    assert migrated("worker", "--once").code == 1, "a node that does not know the new key"


def test_a_key_in_place_of_a_lost_one_is_accepted_on_request(migrated: Run, with_key: Callable[..., None]) -> None:
    assert migrated("config", "accept-secret-key").out == "nothing to do: the database knows this key\n"
    with_key(OTHER)
    assert migrated("config", "accept-secret-key").code == 1, "nobody answers the question"
    assert migrated("worker", "--once").code == 1
    assert migrated("db", "upgrade").code == 0
    assert migrated("worker", "--once").code == 1, "an upgrade does not accept it"
    assert migrated("config", "accept-secret-key", "--yes").code == 0
    assert migrated("worker", "--once").code == 0


def test_the_first_start_with_tables_but_no_check_value_writes_it(
    migrated: Run, engine: Engine, settings: Settings, with_key: Callable[..., None]
) -> None:
    assert schema.current(settings)[0]
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM noted_settings")
    with_key(OTHER)
    assert migrated("worker", "--once").code == 0
    with_key(SECRET)
    assert migrated("worker", "--once").code == 1


def test_a_database_that_does_not_answer_is_reported_by_the_service_itself(
    idp: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDP_DATABASE_URL", "postgresql://idp@127.0.0.1:1/idp")
    assert "the database cannot be used" in idp("worker", "--once").err
