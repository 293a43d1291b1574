"""`idp --env-file`, and deploy/environment.sample."""

import os
import re
from pathlib import Path

import pytest

from idp.cli.environment_file import EnvironmentFileError, parse
from idp.config import PREFIX, Settings, shown
from idp.paths import CHECKOUT
from tests.commands.conftest import Run
from tests.databases import SECRET
from tests.rows import each_row

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
        assert answer.code == 2
        assert f"Error: {file}" in answer.err
        assert fault in answer.err


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
    assert answer.code == 1
    secrets = {"IDP_SMTP_URL", "IDP_DATABASE_URL"}
    for name in {name for name, value in values.items() if "…" in value} - secrets:
        assert name in answer.err
    filled = {name: REAL.get(name, value.replace("…", "Un texte")) for name, value in values.items()}
    file.write_text("".join(f"{name}={value}\n" for name, value in filled.items()))
    answer = bare("--env-file", str(file), "config", "check")
    assert (answer.code, answer.err) == (0, "")
    assert f"IDP_DATABASE_URL = {shown('database_url', REAL['IDP_DATABASE_URL'])}\n" in answer.out
