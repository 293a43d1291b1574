"""Rows K-01, K-02 and K-06 over all commands at once; K-07 is in `test_client.py`, weak secrets in `test_config.py`."""

import json
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from demo.ents import ents_at
from demo.processes import exported, neighbours, service
from idp.app import create_app
from idp.cli import cli
from idp.config import Settings
from idp.db import db
from idp.paths import CHECKOUT
from tests import forked
from tests.commands.conftest import Answer, Run
from tests.commands.processes import PATIENCE, environment
from tests.databases import ISSUER, SECRET, settings_for
from tests.pages import form_token, heading
from tests.waiting import wait_for

GUESSES = ("admin", "administrateur", "root", "test", "demo", "idp", "n.leroy")
AWAY = "postgresql://idp:dbp4ssword@127.0.0.1:1/idp"
SECRETS = ("password", "passwd", "secret", "token", "passphrase", "provisional", "pin", "credential")

APART = {
    ("serve",): "runs on, and without a database too: /readyz says so",
    ("desk", "serve"): "the same, for the desk",
    ("demo",): "makes a database of its own",
    ("config", "check"): "asks no database",
    ("doctor",): "reports it with all else: tests/commands/test_doctor.py",
    ("mail", "test"): "asks no database",
    ("dossier",): "asks no database: it tells of the settings",
}
_OTHERWISE = {
    ("worker",): ("--once",),
    ("client", "add"): ("ENT", "--uai", "0599001N", "--redirect-uri", "https://ent.test/cb"),
    ("client", "invite"): ("--uai", "0599001N"),
    ("outbox", "retry"): ("--dead",),
    ("outbox", "drop"): ("--dead",),
    ("letters", "print"): ("--username", "x", "--out", "letters.pdf"),
    ("school", "set"): ("0599001N", "--name", "x"),
    ("account", "find"): ("x",),
    ("account", "force-password-change"): ("--all", "--yes"),
}
_NAMED = {"redirect_uris": "https://ent.test/cb", "version": "1", "reason": "xxxx"}


def leaves(group: click.Group = cli, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield (*path, name), command


def arguments(path: tuple[str, ...], command: click.Command, folder: Path) -> list[str]:
    """Return the arguments of `idp` for `command`; create the files that it reads in `folder`."""
    typed = list(path)
    if path in {("roster", "check"), ("roster", "import")}:
        return [*typed, _families(folder), "--school", "0599001N"]
    if path in _OTHERWISE:
        return [*typed, *_OTHERWISE[path]]
    for parameter in command.params:
        if parameter.required:
            if isinstance(parameter, click.Option):
                typed.append(parameter.opts[0])
            typed.append(_value(parameter, folder))
    return typed


def _families(folder: Path) -> str:
    """Create a file with families: the import does not use the database for an empty file."""
    file = folder / "familles.csv"
    file.write_text("id;nom;prenom;nomenfant;prenomenfant;classeenfant\n1;LEROY;Anne;LEROY;Malo;6e 1\n", "utf-8")
    return str(file)


def _value(parameter: click.Parameter, folder: Path) -> str:
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return str(next(iter(kind.choices)))
    if isinstance(kind, click.Path) and not kind.exists:
        return str(folder / "made")
    if isinstance(kind, click.Path | click.File):
        file = folder / "file.md"
        file.write_text("# Texte\n", encoding="utf-8")
        return str(file)
    if kind is click.UUID:
        return str(uuid.uuid4())
    if kind is click.INT:
        return "1"
    return _NAMED.get(str(parameter.name), "x")


def dump(engine: Engine) -> dict[str, list[str]]:
    with engine.connect() as connection:
        return {
            name: sorted(repr(row) for row in connection.execute(text(f'SELECT * FROM "{name}"')))  # noqa: S608
            for name in inspect(engine).get_table_names()
        }


def is_one_sentence(answer: Answer) -> None:
    """Check a refusal: no output on stdout, one line on stderr, an exit code other than 0."""
    assert answer.code == 1, answer
    assert answer.out == ""
    assert answer.err.startswith("Error: "), answer.err
    assert answer.err.count("\n") == 1, answer.err


@pytest.fixture
def fresh(bare: Run, monkeypatch: pytest.MonkeyPatch, empty: Settings) -> Settings:
    """The settings of an installation that has its tables, and nothing else yet."""
    variables = {"ISSUER": ISSUER, "SECRET_KEY": SECRET, "DATABASE_URL": empty.database_url}
    for name, value in variables.items():
        monkeypatch.setenv(f"IDP_{name}", value)
    assert bare("db", "upgrade").code == 0
    return empty


@pytest.mark.row("K-01")
def test_a_fresh_install_has_no_account_and_no_key(fresh: Settings) -> None:
    engine = create_engine(fresh.database_url)
    held = dump(engine)
    engine.dispose()
    assert {"account", "client", "signing_key", "session"} <= held.keys()
    assert {name for name, rows in held.items() if rows} <= {"alembic_version", "noted_settings"}


@pytest.mark.row("K-01")
def test_a_fresh_install_accepts_no_default_password(fresh: Settings) -> None:
    app = create_app(fresh)
    assert not app.debug
    assert not app.testing
    browser = app.test_client()
    for guess in GUESSES:
        page = browser.get("/connexion", base_url=ISSUER)
        data = {"csrf_token": form_token(page), "identifiant": guess, "mot-de-passe": guess}
        answer = browser.post("/connexion", base_url=ISSUER, data=data)
        assert (answer.status_code, heading(answer)) == (200, "Connexion")
    for client in (*GUESSES, "ent", "1"):
        query = f"client_id={client}&response_type=code&redirect_uri=https://ent.test/cb&scope=openid"
        assert browser.get(f"/authorize?{query}", base_url=ISSUER).status_code == 400
    assert browser.get("/jwks.json", base_url=ISSUER).status_code in {200, 503}
    ready = browser.get("/readyz", base_url=ISSUER)
    assert (ready.status_code, ready.get_json()) == (503, {"status": "signing key"})
    with app.app_context():
        db.engine.dispose()


@pytest.mark.row("K-01")
def test_the_secret_key_has_no_default(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDP_ISSUER", ISSUER)
    for command in (("config", "check"), ("serve",), ("keys", "rotate")):
        answer = bare(*command)
        assert answer.code == 1
        assert not answer.out or command == ("config", "check"), "which shows the settings that it could read"
        assert "IDP_SECRET_KEY: must be 32 bytes or more" in answer.err


@pytest.mark.row("K-01")
def test_developer_pages_and_the_debugger_are_not_served(browser: FlaskClient) -> None:
    for place in ("/debug", "/console", "/__debugger__", "/admin", "/metrics"):
        assert browser.get(place).status_code == 404
    plain, debugged = browser.get("/"), browser.get("/?__debugger__=yes&cmd=resource&f=debugger.js")
    assert (debugged.status_code, debugged.headers["Location"]) == (plain.status_code, plain.headers["Location"])
    assert debugged.get_data() == plain.get_data()


@pytest.mark.row("K-02")
def test_commands_take_no_secret_as_an_option() -> None:
    options = [
        f"idp {' '.join(path)} {parameter.opts}"
        for path, command in leaves()
        for parameter in command.params
        if not (isinstance(parameter, click.Option) and parameter.is_flag)
        for name in (*parameter.opts, str(parameter.name))
        if parameter.name != "id_token_alg" and any(word in name.replace("-", "_").split("_") for word in SECRETS)
    ]
    assert options == []
    assert len(list(leaves())) > 15
    assert not [option for option in cli.params if isinstance(option, click.Option) and option.prompt]


@pytest.mark.row("K-02")
def test_secrets_are_printed_on_stdout_only(idp: Run) -> None:
    answer = idp("client", "add", "ENT", "--uai", "0599001N", "--redirect-uri", "https://ent.test/cb", "--json")
    fresh = idp("client", "rotate-secret", json.loads(answer.out)["client_id"], "--json")
    assert (answer.err, fresh.err) == ("", ""), "stderr goes to logs"


@pytest.mark.row("K-02")
def test_the_demonstration_passes_secrets_in_the_environment(tmp_path: Path) -> None:
    settings = settings_for("postgresql://idp:dbp4ssword@db.test/idp", smtp_url="smtps://idp:m4ilpassword@mail.test")
    ents = ents_at(8000, tmp_path)
    secrets = [SECRET, "dbp4ssword", "m4ilpassword"]
    secrets += [value for ent in ents for value in (ent.client_secret, ent.secret_key)]
    children = [*neighbours(settings, 8000, ents, tmp_path), *service(settings, 8000)]
    assert len(children) == 6
    for child in children:
        shown = " ".join(child.command)
        assert [secret for secret in secrets if secret in shown] == [], child.name


@pytest.mark.row("K-02")
def test_commands_of_the_manual_contain_no_secret() -> None:
    manual = CHECKOUT.joinpath("docs", "exploitation.md").read_text(encoding="utf-8")
    typed = [line for line in manual.splitlines() if "IDP_SECRET_KEY=" in line]
    assert typed
    assert all("IDP_SECRET_KEY=$(" in line for line in typed), "drawn by the shell, not written into its history"


@pytest.mark.row("K-06")
@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("path", [path for path, _ in leaves() if path not in APART], ids=" ".join)
def test_an_unreachable_database_is_a_one_line_error(
    bare: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: tuple[str, ...]
) -> None:
    more = {"breached_passwords": tmp_path / "breached.bloom"} if path == ("passwords", "load") else {}
    for name, value in exported(settings_for(AWAY, **more)).items():
        monkeypatch.setenv(name, value)
    answer = bare(*arguments(path, dict(leaves())[path], tmp_path))
    is_one_sentence(answer)
    assert "database" in answer.err
    assert "dbp4ssword" not in answer.err
    assert not (tmp_path / "made").exists()


@pytest.mark.row("K-06")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full: Linux")
@pytest.mark.parametrize("command", [("keys", "list"), ("config", "check"), ("client", "list", "--json")], ids=" ".join)
def test_unwritable_output_is_a_one_line_error(settings: Settings, tmp_path: Path, command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full, (tmp_path / "errors").open("wb+") as errors:
        shown = forked.Program(forked.IDP, *command, env=environment(settings), output=full, errors=errors)
        shown.wait()
        assert shown.returncode
        stderr = shown.stderr
    is_one_sentence(Answer(shown.returncode, "", stderr))


def held(engine: Engine) -> Connection:
    """Keep everybody from writing clients; return what must be closed to let them."""
    connection = engine.connect()
    connection.execute(text("LOCK TABLE client IN ACCESS EXCLUSIVE MODE"))
    return connection


def is_in_the_middle(engine: Engine) -> bool:
    with engine.connect() as connection:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'client'::regclass"
        return bool(connection.scalar(text(waiting)))


@pytest.mark.row("K-06")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_changes_nothing(settings: Settings, engine: Engine, number: signal.Signals) -> None:
    before, lock = dump(engine), held(engine)
    command = ["client", "add", "ENT", "--uai", "0599001N", "--redirect-uri", "https://ent.test/cb"]
    process = forked.Program(forked.IDP, *command, env=environment(settings))
    try:
        wait_for(lambda: is_in_the_middle(engine), process)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
        lock.close()
    assert process.returncode != 0
    assert out == ""
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 1, err
    assert dump(engine) == before


def test_every_exempted_command_exists() -> None:
    assert APART.keys() <= {path for path, _ in leaves()}
