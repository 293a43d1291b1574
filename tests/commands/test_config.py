"""Settings: `idp config check`, `idp --env-file`, and deploy/environment.sample."""

import os
import re
from contextlib import nullcontext
from pathlib import Path

import pytest

from idp import config
from idp.cli.environment_file import EnvironmentFileError, parse
from idp.config import PREFIX, Settings, shown
from idp.config.rules import check_issuer
from idp.paths import CHECKOUT
from tests.commands.conftest import Run
from tests.databases import NOWHERE, SECRET
from tests.rows import each_row

GOOD = {"IDP_ISSUER": "https://connexion.exemple.fr", "IDP_SECRET_KEY": SECRET, "IDP_DATABASE_URL": NOWHERE}
COMPLETE = {
    "IDP_MAIL_FROM": "ne-pas-repondre@exemple.fr",
    "IDP_ACADEMY": "Académie des Deux-Rives",
    "IDP_SUPPORT_PHONE": "03 53 01 12 12",
    "IDP_LEGAL_PUBLISHER": "Académie des Deux-Rives",
    "IDP_PUBLICATION_DIRECTOR": "La rectrice",
    "IDP_LEGAL_HOST": "Hébergeur des Deux-Rives",
    "IDP_CONTACT_MAIL": "contact@exemple.fr",
    "IDP_DPO_MAIL": "dpd@exemple.fr",
    "IDP_ACCESSIBILITY_MAIL": "accessibilite@exemple.fr",
}
"""The settings that pages for real families need."""


def put(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in {**GOOD, **values}.items():
        monkeypatch.setenv(name, value)


def test_check_shows_every_setting_without_secrets(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    former = SECRET[::-1]
    put(
        monkeypatch,
        **COMPLETE,
        IDP_SECRET_KEY_FALLBACKS=f'["{former}"]',
        IDP_DATABASE_URL="postgresql://idp:dbp4ssword@db.test/idp?sslmode=verify-full",
        IDP_TRUSTED_PROXIES="1",
        IDP_SMTP_URL="smtps://idp:m4ilpassword@mail.test",
    )
    answer = bare("config", "check")
    assert (answer.code, answer.err) == (0, "")
    *rows, rate = answer.out.splitlines()
    assert re.match(r"password hashes: [1-9][0-9]* a second on one core", rate)
    shown = dict(row.split(" = ", 1) for row in rows)
    assert set(shown) == {f"IDP_{name.upper()}" for name in Settings.model_fields}
    assert shown["IDP_ISSUER"] == "https://connexion.exemple.fr"
    assert not [secret for secret in (SECRET, former, "dbp4ssword", "m4ilpassword") if secret in answer.out]


@each_row(
    ("url", "shown"),
    [
        (
            "postgresql://db.test/idp?user=u53r&password=s3cret&sslpassword=s3cret&passfile=/etc/pass",
            "postgresql://db.test/idp?user=(hidden)&password=(hidden)&sslpassword=(hidden)&passfile=/etc/pass",
        ),
        ("postgresql:///idp?host=@socket&PASSWORD=s3cret", "postgresql:///idp?host=@socket&PASSWORD=(hidden)"),
        ("postgresql://u53r:s3@cret@db.test/idp", "postgresql://(hidden)"),
        (
            "postgresql://u53r:s3cret@db1.test:5432,[::1]:5433/idp?target_session_attrs=read-write&sslmode=require",
            "postgresql://(hidden)@/idp?host=db1.test,::1&port=5432,5433&sslmode=require&target_session_attrs=read-write",
        ),
        ("postgresql://u53r:s3@cr?et@db.test/idp", "postgresql://(hidden)"),
        ("postgresql://db.test/idp&password=s3cret", "postgresql://(hidden)"),
        ("postgresql://db.test/idp?a=1?password=s3cret", "postgresql://db.test/idp?a=(hidden)"),
    ],
)
def test_secrets_in_options_of_the_database_url_are_hidden(
    bare: Run, monkeypatch: pytest.MonkeyPatch, url: str, shown: str
) -> None:
    put(monkeypatch, **COMPLETE, IDP_DATABASE_URL=url)
    answer = bare("config", "check")
    assert f"IDP_DATABASE_URL = {shown}\n" in answer.out
    assert not re.search("s3|cret|u53r", answer.out + answer.err)


@each_row("command", [("db", "upgrade"), ("worker", "--once"), ("client", "list")])
def test_secrets_of_the_database_url_are_absent_from_errors(
    bare: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    url = "postgresql://127.0.0.1:1/idp?user=u53r&password=s3cret&sslmode=wr0ng"
    put(monkeypatch, IDP_ENV="development", IDP_LOG_LEVEL="DEBUG", IDP_DATABASE_URL=url)
    answer = bare(*command)
    assert answer.code == 1
    assert not re.search("s3cret|u53r", answer.out + answer.err)


def test_check_lists_every_fault_by_name_without_values(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    put(
        monkeypatch,
        IDP_ISSUER="http://connexion.exemple.fr/",
        IDP_SECRET_KEY="t00short",
        IDP_DATABASE_URL="mysql://h0st",
        IDP_CODE_LIFETIME="0",
        IDP_OUTGOING_ALLOW="n0tjson",
        IDP_TRUSTED_PROXIES="many",
        IDP_FROBNICATE="1",
        IDP_SECRETKEY="l3aked",
    )
    answer = bare("config", "check")
    assert answer.code == 1
    first, *faults = answer.err.splitlines()
    assert first == "Error: the settings cannot be used:"
    wrong = ("ISSUER", "DATABASE_URL", "CODE_LIFETIME", "TRUSTED_PROXIES", "OUTGOING_ALLOW")
    beside = ("FROBNICATE", "SECRETKEY", "SECRET_KEY", "MAIL_FROM", "ACADEMY", "LEGAL_PUBLISHER", "DPO_MAIL")
    for name in (*wrong, *beside):
        assert [line for line in faults if line.startswith(f"IDP_{name}: ")], (name, faults)
    assert "IDP_FROBNICATE: unknown setting" in faults
    assert not re.search("t00short|h0st|many|l3aked|n0tjson", answer.err + answer.out)
    assert len({line.partition(":")[0] for line in faults}) == len(faults), "each setting once"
    shown = {line.partition(" = ")[0] for line in answer.out.splitlines()}
    assert shown == {f"IDP_{name.upper()}" for name in Settings.model_fields} - {f"IDP_{name}" for name in wrong}


@each_row("command", [("doctor",), ("worker", "--once"), ("serve", "--bind", "127.0.0.1:0")])
def test_a_command_that_wrong_settings_stop_names_the_one_that_shows_all_faults(
    bare: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    put(monkeypatch, **COMPLETE, IDP_FROBNICATE="1")
    monkeypatch.setenv("IDP_DPO_MAIL", "…")
    answer = bare(*command)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.splitlines()[1:] == [
        "IDP_FROBNICATE: unknown setting",
        "`idp config check` names the faults of the other settings too.",
    ]
    all_faults = bare("config", "check").err
    assert "IDP_DPO_MAIL: " in all_faults
    assert "names the faults of the other" not in all_faults, "it is this command"


def test_the_secret_key_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    put(monkeypatch, IDP_SECRET_KEY_FILE=str(file), IDP_SECRET_KEY="")
    assert config.load().secrets == (SECRET.encode(),)


@each_row(
    ("file", "key", "fault"),
    [
        ("key", SECRET, "IDP_SECRET_KEY: must be empty, since IDP_SECRET_KEY_FILE is set"),
        ("none", "", "IDP_SECRET_KEY_FILE: cannot be read \\(No such file or directory\\)"),
        ("binary", "", "IDP_SECRET_KEY_FILE: cannot be read \\(not UTF-8\\)"),
        ("empty", "", "IDP_SECRET_KEY: must be 32 bytes or more"),
    ],
)
def test_a_file_that_gives_no_secret_key_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, key: str, fault: str
) -> None:
    for name, content in {"key": SECRET.encode(), "binary": b"\xff" * 40, "empty": b"\n"}.items():
        (tmp_path / name).write_bytes(content)
    put(monkeypatch, IDP_SECRET_KEY_FILE=str(tmp_path / file), IDP_SECRET_KEY=key)
    with pytest.raises(config.ConfigurationError, match=fault):
        config.load()


@each_row(
    ("url", "is_valid"),
    [
        ("https://bureau.exemple.fr", True),
        ("https://bureau.exemple.fr:8443", True),
        ("http://[::1]:8000", True),
        ("https://Bureau.exemple.fr", False),
        ("HTTPS://bureau.exemple.fr", False),
        ("https://bureau.exemple.fr:443", False),
        ("https://bureau.exemple.fr:0443", False),
        ("https://bureau.exemple.fr:", False),
        ("http://127.0.0.1:80", False),
        ("https://école.exemple.fr", False),
        (" https://bureau.exemple.fr", False),
    ],
)
def test_public_urls_are_written_as_browsers_write_origins(url: str, *, is_valid: bool) -> None:
    """The desk compares its URL with the header `Origin`, and the ENTs compare the issuer, character by character."""
    refused = nullcontext() if is_valid else pytest.raises(ValueError, match="as browsers write it")
    with refused:
        check_issuer(url)


@pytest.mark.row("K-01")
@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"IDP_SECRET_KEY": "short"}, "IDP_SECRET_KEY: must be 32 bytes or more"),
        ({"IDP_SECRET_KEY": ""}, "IDP_SECRET_KEY: must be 32 bytes or more"),
        ({"IDP_SECRET_KEY": "a" * 40}, "IDP_SECRET_KEY: must be random"),
        ({"IDP_ISSUER": "http://connexion.exemple.fr"}, "IDP_ISSUER: must be https"),
        ({"IDP_ISSUER": "http://127.0.0.1:8000"}, "IDP_ISSUER: must be https"),
        ({"IDP_ISSUER": "connexion.exemple.fr"}, "IDP_ISSUER: must be a URL"),
        ({"IDP_ENV": "staging"}, "IDP_ENV: "),
        ({"IDP_SMTP_URL": "http://mail"}, "IDP_SMTP_URL: must be smtp://"),
        ({"IDP_MAIL_FROM": "nobody"}, "IDP_MAIL_FROM: must be one email"),
        ({"IDP_THEME": "/nowhere"}, "IDP_THEME: must be a folder"),
        ({"IDP_CONFIG": "/nowhere.toml"}, "IDP_CONFIG: no such file"),
        ({"IDP_DATABASE_URL": "postgresql://u:p@h:port/x"}, "IDP_DATABASE_URL: "),
        ({"IDP_DATABASE_URL": "sqlite:///var/idp.db"}, "IDP_DATABASE_URL: must begin with postgresql://: the service"),
        ({"IDP_DATABASE_URL": "postgresql://u:p@h1:5432,h2:port/x"}, "IDP_DATABASE_URL: is not a URL"),
        ({"IDP_OUTGOING_ALLOW": '["0.0.0.0/0"]'}, "IDP_OUTGOING_ALLOW: entry 1 is wider than any private network"),
        ({"IDP_OUTGOING_ALLOW": '["ent.test", "::/0"]'}, "IDP_OUTGOING_ALLOW: entry 2 is wider"),
        ({"IDP_OUTGOING_ALLOW": '["0.0.0.0/1", "128.0.0.0/1"]'}, "IDP_OUTGOING_ALLOW: entry 1 is wider"),
        ({"AUTHLIB_INSECURE_TRANSPORT": "1"}, "AUTHLIB_INSECURE_TRANSPORT: must not be set"),
    ],
)
def test_a_weak_secret_or_an_invalid_setting_is_refused(
    bare: Run, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], fault: str
) -> None:
    """By each command: `test_a_command_that_wrong_settings_stop_names_the_one_that_shows_all_faults`."""
    put(monkeypatch, **values)
    answer = bare("config", "check")
    assert answer.code == 1
    assert any(line.startswith(fault) for line in answer.err.splitlines()), answer.err


def test_the_environment_overrides_the_settings_file(
    bare: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "idp.toml"
    file.write_text(f'issuer = "https://file.test"\nsecret_key = "{SECRET}"\nacademy = "Académie du fichier"\n')
    put(monkeypatch, **COMPLETE, IDP_CONFIG=str(file), IDP_ISSUER="https://environment.test")
    for name in ("IDP_ACADEMY", "IDP_SECRET_KEY"):
        monkeypatch.delenv(name)
    answer = bare("config", "check")
    assert (answer.code, SECRET in answer.out) == (0, False)
    for shown_setting in ("IDP_ISSUER = https://environment.test", "IDP_ACADEMY = Académie du fichier"):
        assert shown_setting in answer.out


@each_row(
    ("content", "fault"),
    [
        (b"frobnicate = 1\n", "IDP_FROBNICATE: "),
        (b"issuer = \n", "IDP_CONFIG"),
        (b"\xff\xfe\x00", "IDP_CONFIG"),
    ],
)
def test_a_file_with_a_fault_is_named(
    bare: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, fault: str
) -> None:
    (file := tmp_path / "idp.toml").write_bytes(content)
    put(monkeypatch, IDP_CONFIG=str(file))
    answer = bare("config", "check")
    assert (answer.code, fault in answer.err) == (1, True)


SAMPLE = CHECKOUT / "deploy" / "environment.sample"
FOR_DEVELOPERS = {"IDP_ENV"}
"""Settings that no operator sets, and that the sample does not have."""
REAL = {
    "IDP_ISSUER": "https://connexion.exemple.fr",
    "IDP_SECRET_KEY": SECRET,
    "IDP_DATABASE_URL": "postgresql://idp:s3cret@db.exemple.fr/idp?sslmode=verify-full",
    "IDP_MAIL_FROM": "ne-pas-repondre@exemple.fr",
    **{f"IDP_{name}_MAIL": "nom@exemple.fr" for name in ("CONTACT", "DPO", "ACCESSIBILITY")},
}
"""What replaces a placeholder of the sample that no text can replace."""


@each_row(
    ("content", "expected"),
    [
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("# comment\n; another\n\n  A = one two \t\n", {"A": "one two"}),
        ("A=\nB=''\n", {"A": "", "B": ""}),
        ("A=x=y&z#not a comment;\n", {"A": "x=y&z#not a comment;"}),
        ('A=it\'s "so"\n', {"A": 'it\'s "so"'}),
        ("A='one \\ $two '\n", {"A": "one \\ $two "}),
        ('A=" one \\" \\$two \\n "\n', {"A": ' one " $two \\n '}),
        ("A='two\nlines'\nB=1\n", {"A": "two\nlines", "B": "1"}),
        ('A="one \\\nline"\n', {"A": "one line"}),
        ("A=one \\\n  line\nB=1\n", {"A": "one   line", "B": "1"}),
        ("A=a\\b\\\\c\\ \n", {"A": "ab\\c "}),
        ("A='one' \"two\" three\n", {"A": "onetwothree"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=$(date) ${HOME}\n", {"A": "$(date) ${HOME}"}),
        ('A=["one", "two"]\n', {"A": '["one", "two"]'}),
        ("A=last\\", {"A": "last"}),
    ],
)
def test_a_file_is_read_as_systemd_reads_it(content: str, expected: dict[str, str]) -> None:
    """systemd.exec(5), `EnvironmentFile=`."""
    assert parse(content.encode()) == expected


@each_row(
    ("content", "fault"),
    [
        (b"A=1\nexport B=s3cret\n", "line 2: what stands before = is no name"),
        (b"A=1\n\nIDP_HOST s3cret\n", "line 3: there is no ="),
        (b"1A=s3cret\n", "line 1: what stands before = is no name"),
        (b"A='s3cret\nB=1\n", "line 1: a quote is not closed"),
        (b'A="s3cret\\"\n', "line 1: a quote is not closed"),
        (b"# comment \\\nA=s3cret\n", "line 1: a comment ends with a backslash"),
        (b"A=s3cret\xe9\n", "is not UTF-8"),
        (b"A=s3cret\0\n", "has a NUL"),
    ],
)
def test_what_systemd_would_skip_is_refused_without_values(content: bytes, fault: str) -> None:
    with pytest.raises(EnvironmentFileError) as refused:
        parse(content)
    assert str(refused.value).startswith(fault)
    assert "s3cret" not in str(refused.value)


def test_a_command_runs_with_the_settings_of_the_file_which_win(
    bare: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "environment"
    file.write_text(f"IDP_ISSUER=https://file.exemple.fr\nIDP_SECRET_KEY={SECRET}\n")
    monkeypatch.setattr(os, "environ", {**os.environ, "IDP_ISSUER": "https://shell.exemple.fr"})
    shown_by_check = bare("--env-file", str(file), "config", "check").out
    assert "IDP_ISSUER = https://file.exemple.fr\n" in shown_by_check


def test_a_missing_or_wrong_file_is_wrong_usage(bare: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("IDP_ISSUER https://connexion.exemple.fr\n")
    for file, fault in ((tmp_path / "missing", "cannot be read (No such file or directory)"), (wrong, "line 1: ")):
        answer = bare("--env-file", str(file), "config", "check")
        assert (answer.code, f"Error: {file}" in answer.err, fault in answer.err) == (2, True, True)


def sample(*, whole: bool) -> dict[str, str]:
    """Return the settings of the sample; with `whole`, those that it shows with their default value too."""
    text = SAMPLE.read_text()
    return parse((re.sub(r"(?m)^#(?=IDP_)", "", text) if whole else text).encode())


def test_the_sample_has_every_setting_of_an_operator_with_its_default() -> None:
    every = {f"{PREFIX}{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert every.keys() >= FOR_DEVELOPERS
    assert sample(whole=True).keys() == every.keys() - FOR_DEVELOPERS | {"IDP_CONFIG"}
    required = sample(whole=False)
    for name, value in sample(whole=True).items():
        if name not in required and value not in ("", "[]"):
            default = every[name].default
            assert value == (str(default).lower() if isinstance(default, bool) else str(default)), name


def test_the_sample_is_refused_until_its_placeholders_are_replaced(
    bare: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, values = tmp_path / "environment", sample(whole=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    answer = bare("--env-file", str(SAMPLE), "config", "check")
    secrets = {"IDP_SMTP_URL", "IDP_DATABASE_URL"}
    assert {name for name, value in values.items() if "…" in value and name not in answer.err} <= secrets
    filled = {name: REAL.get(name, value.replace("…", "Un texte")) for name, value in values.items()}
    file.write_text("".join(f"{name}={value}\n" for name, value in filled.items()))
    answer = bare("--env-file", str(file), "config", "check")
    assert (answer.code, answer.err) == (0, "")
    assert f"IDP_DATABASE_URL = {shown('database_url', REAL['IDP_DATABASE_URL'])}\n" in answer.out
