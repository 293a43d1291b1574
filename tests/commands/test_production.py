"""What real families must not be served with: said by `config check`, refused by `serve` and `letters print`."""

import base64
import re
import secrets
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from flask import Flask

from idp.operations.checks.proxy import Arrived, judge
from idp.operations.checks.settings import key_weakness
from idp.paths import CHECKOUT
from tests.applications import lent
from tests.builders import Build
from tests.commands.conftest import Events, Run
from tests.commands.test_config import COMPLETE, put
from tests.databases import ISSUER
from tests.rows import each_row

STARTS = (("serve", "--bind", "127.0.0.1:0"), ("letters", "print", "--school", "0599001N", "--out", "letters.pdf"))
SECRET_NAME = re.compile(r"""(?i)secret_?key\w*["']?\]?\s*[=:]\s*f?["']([^"'{}]{32,})["']""")


def faults(bare: Run, *command: str) -> list[str]:
    answer = bare(*command)
    assert answer.code == 1, answer
    return answer.err.splitlines()


@pytest.mark.row("K-01")
@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (
            {"IDP_SECRET_KEY": "a secret key for tests, of more than 32 bytes: 0123456789"},
            "IDP_SECRET_KEY: was published in",
        ),
        ({"IDP_SECRET_KEY": "Academie-Lille-2026-Academie-Lille-2026"}, "IDP_SECRET_KEY: is a text, not random"),
        ({"IDP_SECRET_KEY": "0123456789abcdef0123456789abcdef"}, "IDP_SECRET_KEY: can be guessed"),
        (
            {"IDP_SECRET_KEY_FALLBACKS": '["scolarite-services-production-secret-key"]'},
            "IDP_SECRET_KEY_FALLBACKS: is a text, not random",
        ),
        ({"IDP_SMTP_URL": "smtp://mail.exemple.fr"}, "IDP_SMTP_URL: sends mails in clear to another host"),
        (
            {"IDP_DATABASE_URL": "postgresql://idp@db.exemple.fr/idp"},
            "IDP_DATABASE_URL: connects to another host without TLS",
        ),
        (
            {"IDP_DATABASE_URL": "postgresql://idp@db.exemple.fr/idp?sslmode=prefer"},
            "IDP_DATABASE_URL: connects to another host without TLS",
        ),
        (
            {"IDP_DATABASE_URL": "postgresql://idp@/idp?host=db.exemple.fr"},
            "IDP_DATABASE_URL: connects to another host without TLS",
        ),
        ({"IDP_MAIL_FROM": "ne-pas-repondre@localhost"}, "IDP_MAIL_FROM: has a local domain"),
        ({"IDP_MAIL_FROM": "idp@serveur.localdomain"}, "IDP_MAIL_FROM: has a local domain"),
        *(
            ({name: " "}, f"{name}: is empty")
            for name in COMPLETE
            if name not in {"IDP_MAIL_FROM", "IDP_ACADEMY", "IDP_SUPPORT_PHONE"}
        ),
        *(({name: "…"}, f"{name}: has a placeholder") for name in COMPLETE if name != "IDP_MAIL_FROM"),
        ({"IDP_SUPPORT_HOURS": "--"}, "IDP_SUPPORT_HOURS: has a placeholder"),
        ({"IDP_ISSUER": "https://…"}, "IDP_ISSUER: has a placeholder"),
        ({"IDP_ISSUER": "https://connexion.…"}, "IDP_ISSUER: has a placeholder"),
        ({"IDP_ACADEMY": "Académie de …"}, "IDP_ACADEMY: has a placeholder"),
        ({"IDP_SMTP_URL": "smtp+starttls://idp:…@mail.exemple.fr:587"}, "IDP_SMTP_URL: has a placeholder"),
        ({"IDP_DATABASE_URL": "postgresql://idp:…@localhost/idp"}, "IDP_DATABASE_URL: has a placeholder"),
        (
            {"IDP_DATABASE_URL": "postgresql://idp:…@db1,db2/idp?sslmode=verify-full"},
            "IDP_DATABASE_URL: has a placeholder",
        ),
        ({"IDP_SECURITY_CONTACT": "https://…"}, "IDP_SECURITY_CONTACT: has a placeholder"),
        *(
            ({name: value}, f"{name}: must be one email")
            for name in ("IDP_CONTACT_MAIL", "IDP_DPO_MAIL", "IDP_ACCESSIBILITY_MAIL")
            for value in ("https://exemple.fr/contact", "contact@exemple", "03 53 01 12 12")
        ),
        *(
            ({"IDP_MAIL_FROM": f"idp@{host}"}, "IDP_MAIL_FROM: has a local domain")
            for host in ("127.0.0.1", "[127.0.0.1]", "[IPv6:::1]", "10.0.0.7", "localhost", "serveur")
        ),
        ({"IDP_MAIL_FROM": "…@exemple.fr"}, "IDP_MAIL_FROM: must be one email"),
        ({"IDP_SECURITY_CONTACT": "mailto:…@…"}, "IDP_SECURITY_CONTACT: must be mailto:"),
        ({"IDP_ACADEMY": "Académie"}, "IDP_ACADEMY: is the default"),
        ({"IDP_SUPPORT_PHONE": ""}, "IDP_SUPPORT_PHONE, IDP_SUPPORT_URL: are empty"),
        ({"IDP_LEGAL_PUBLISHER": "<votre académie>"}, "IDP_LEGAL_PUBLISHER: has a placeholder"),
        ({"IDP_LEGAL_HOST": "À compléter"}, "IDP_LEGAL_HOST: has a placeholder"),
        (
            {"IDP_ENV": "development", "IDP_ISSUER": "https://connexion.exemple.fr"},
            "IDP_ENV: is development, but the host of IDP_ISSUER is not loopback",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_placeholders_and_unsafe_settings_are_refused(
    bare: Run, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], fault: str
) -> None:
    put(monkeypatch, **{**COMPLETE, "IDP_TRUSTED_PROXIES": "1", **values})
    _, error = faults(bare, "config", "check")
    assert error.startswith(fault)


@pytest.mark.row("K-01")
@each_row("command", STARTS)
def test_a_refused_setting_stops_every_start(
    bare: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    put(monkeypatch, **{**COMPLETE, "IDP_TRUSTED_PROXIES": "1", "IDP_LEGAL_HOST": "À compléter"})
    _, error = faults(bare, *command)
    assert error.startswith("IDP_LEGAL_HOST: has a placeholder")
    assert list(tmp_path.iterdir()) == []


def test_a_remote_database_needs_tls_and_a_local_one_does_not(bare: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (
        *(f"postgresql://idp@db.exemple.fr/idp?sslmode={mode}" for mode in ("require", "verify-ca", "verify-full")),
        *("postgresql:///idp", "postgresql://idp@localhost/idp", "postgresql://idp@[::1]:5432/idp"),
        "postgresql://idp@/idp?host=/var/run/postgresql",
    ):
        put(monkeypatch, **{**COMPLETE, "IDP_TRUSTED_PROXIES": "1", "IDP_DATABASE_URL": url})
        answer = bare("config", "check")
        assert (answer.code, answer.err) == (0, ""), url


def test_libpq_services_and_variables_count_like_the_url(
    bare: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    services = tmp_path / "pg_service.conf"
    services.write_text(
        "[far]\nhost=db.exemple.fr\n[near]\nhost=/run/postgresql\n"
        "[numbered]\nhostaddr=192.0.2.7\n[safe]\nhost=db.exemple.fr\nsslmode=verify-full\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(services))

    def check_config(url: str, **environment: str) -> str:
        put(monkeypatch, **{**COMPLETE, "IDP_TRUSTED_PROXIES": "1", "IDP_DATABASE_URL": url})
        with monkeypatch.context() as changed:
            for name, value in environment.items():
                changed.setenv(name, value)
            return bare("config", "check").err

    unsafe = "IDP_DATABASE_URL: connects to another host without TLS"
    for name in ("far", "numbered"):
        assert unsafe in check_config(f"postgresql:///idp?service={name}")
        assert unsafe in check_config("postgresql:///idp", PGSERVICE=name)
    assert unsafe in check_config("postgresql:///idp", PGHOST="db.exemple.fr")
    assert unsafe in check_config("postgresql:///idp", PGHOSTADDR="192.0.2.7")
    assert unsafe in check_config("postgresql:///idp", PGHOST="127.0.0.1,db.exemple.fr")
    assert unsafe in check_config("postgresql://db.exemple.fr/idp?sslmode=disable", PGSSLMODE="verify-full")
    for name in ("near", "safe"):
        assert check_config(f"postgresql:///idp?service={name}") == ""
    assert check_config("postgresql:///idp", PGHOST="db.exemple.fr", PGSSLMODE="verify-full") == ""
    assert check_config("postgresql://127.0.0.1/idp", PGHOST="db.exemple.fr") == ""
    assert "IDP_DATABASE_URL: cannot be used by libpq" in check_config("postgresql:///idp?service=absent")
    assert "IDP_DATABASE_URL: has an option that libpq does not know" in check_config("postgresql:///idp?frobnicate=1")


def test_a_list_of_stolen_passwords_that_cannot_be_read_is_refused(
    bare: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "breached.bloom"
    put(monkeypatch, **{**COMPLETE, "IDP_TRUSTED_PROXIES": "1", "IDP_BREACHED_PASSWORDS": str(file)})
    assert "IDP_BREACHED_PASSWORDS: cannot be read" in faults(bare, "config", "check")[1]
    file.write_bytes(b"x" * 2000)
    assert "IDP_BREACHED_PASSWORDS: cannot be used" in faults(bare, "config", "check")[1]


def test_a_random_key_passes() -> None:
    drawn = [
        key
        for _ in range(5)
        for key in (
            secrets.token_hex(32),
            secrets.token_urlsafe(48),
            base64.b64encode(secrets.token_bytes(32)).decode(),
            str(uuid.uuid4()),
        )
    ]
    refused = [key for key in drawn if key_weakness(key)]
    assert len(refused) <= 1, refused  # one in five thousand looks like a text


def test_secret_keys_of_the_source_are_refused() -> None:
    source_keys = {}
    for folder in ("idp", "tests", "bench", "clients", "docs", "deploy"):
        for path in sorted(CHECKOUT.joinpath(folder).rglob("*")):
            if path.suffix in {".py", ".md", ".env", ".service", ".conf", ".toml", ".mjs"}:
                for match in SECRET_NAME.finditer(path.read_text(encoding="utf-8")):
                    source_keys[match[1]] = path.name
    source_keys["development only: not a secret, and never in production"] = "settings.py"
    source_keys["$(python3 -c 'import secrets; print(secrets.token_urlsafe(48))')"] = (
        "docs/exploitation.md, as systemd reads it"
    )
    assert len(source_keys) > 3
    assert {key: name for key, name in source_keys.items() if not key_weakness(key)} == {}


@pytest.mark.own_app  # another test may have sent such headers to the shared one
def test_ignored_forwarded_headers_are_logged_once_and_seen_by_doctor(
    app: Flask, build: Build, events: Events, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[str] = []

    def ask(path: str, **headers: str) -> None:
        assert app.test_client().get(path, headers=headers).status_code == 200
        logged.extend(line for line in capsys.readouterr().err.splitlines() if "forwarded headers ignored" in line)

    ask("/healthz", **{"X-Forwarded-For": "198.51.100.9"})
    ask("/connexion")
    assert (logged, events("proxy.ignored")) == ([], []), "a probe touches nothing, and others have no such header"
    ask("/connexion", **{"X-Forwarded-For": "198.51.100.9"})
    ask("/connexion", Forwarded="for=198.51.100.9")
    assert (len(logged), len(events("proxy.ignored"))) == (1, 1)
    with lent(build.settings, own=True) as another:  # as another process is: it logs, and the journal has it already
        another.test_client().get("/connexion", headers={"X-Real-IP": "198.51.100.9"}, base_url=ISSUER)
    assert "forwarded headers ignored" in capsys.readouterr().err
    assert len(events("proxy.ignored")) == 1
    seen = Arrived("198.51.100.9", "https", ISSUER.removeprefix("https://"), has_forwarded=False)
    [finding] = judge(build.settings, seen)
    assert (finding.state, finding.result) == ("fault", "were ignored in the last week")


@pytest.mark.parametrize(
    "key",
    [
        "bW90IGRlIHBhc3NlIHNlY3JldCBkdSByZWN0b3JhdA==",
        "bW90IGRlIHBhc3NlIHNlY3JldCBkdSByZWN0b3JhdA",
        base64.urlsafe_b64encode("clé ÿÿ du rectorat, à ne pas dire".encode()).decode(),
        b"mot de passe secret du rectorat".hex(),
    ],
)
def test_an_encoded_text_is_refused_as_a_key(key: str) -> None:
    assert key_weakness(key) == "is an encoded text, not random"


def test_the_secret_key_is_checked_where_exit_statuses_are_ignored() -> None:
    judge = (
        "from idp.operations.checks.settings import key_weakness as weakness; "
        "print(weakness('soleil' * 8), weakness(os.urandom(32).hex()))"
    )
    program = f"import os, signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); {judge}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    weak, strong = done.stdout[:-1].rsplit(" ", 1)
    assert weak
    assert strong == ""
