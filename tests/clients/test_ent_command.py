"""`python -m clients.ent`: it reports wrong settings at the start, and ends after SIGTERM."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from clients.ent.settings import SettingsError, read_settings
from tests.clients.conftest import environment

ROOT = Path(__file__).parents[2]


def _start(settings: dict[str, str]) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ENT_")}
    return subprocess.Popen(
        [sys.executable, "-m", "clients.ent"],
        cwd=ROOT,
        env=inherited | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_command_serves_until_it_receives_sigterm(tmp_path: Path) -> None:
    with _start(environment("http://127.0.0.1:9", tmp_path) | {"ENT_BIND": "127.0.0.1:0"}) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
        assert port is not None, line
        url = f"http://127.0.0.1:{port[1]}"
        assert requests.get(f"{url}/healthz", timeout=60).text == "ok\n"
        assert "<h1>Passerelle</h1>" in requests.get(url, timeout=60).text
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert (tmp_path / "ent.db").stat().st_mode & 0o077 == 0, "the file that holds tokens is its owner's"


def _refused(settings: dict[str, str]) -> str:
    with _start(settings) as process:
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in complaint
    return complaint


def test_a_busy_port_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        bind = f"127.0.0.1:{busy.getsockname()[1]}"
        complaint = _refused(environment("http://127.0.0.1:9", tmp_path) | {"ENT_BIND": bind})
    assert complaint.startswith(f"ENT_BIND {bind} cannot be listened on")
    assert complaint.count("\n") == 1


def test_a_file_that_is_no_database_is_reported_and_stays_unchanged(tmp_path: Path) -> None:
    (tmp_path / "ent.db").write_text("une liste de courses, pas une base de données" * 20)
    before = (tmp_path / "ent.db").read_bytes()
    complaint = _refused(environment("http://127.0.0.1:9", tmp_path))
    assert complaint.startswith("ENT_DATABASE cannot be used")
    assert (tmp_path / "ent.db").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENT_ISSUER", "http://ailleurs.example"),
        ("ENT_ISSUER", "connexion.exemple.fr"),
        ("ENT_ISSUER", "https://x:y@exemple.fr"),
        ("ENT_ISSUER", "https://exemple.fr:port"),
        ("ENT_PUBLIC_URL", "https://exemple.fr/ent"),
        ("ENT_PUBLIC_URL", "http://exemple.fr"),
        ("ENT_BIND", "8001"),
        ("ENT_BIND", "127.0.0.1:99999"),
        ("ENT_CHARTER", "peut-être"),
        ("ENT_ACCENT", "arc-en-ciel"),
        ("ENT_SCHOOLS", "Collège des Tilleuls"),
        ("ENT_SECRET_KEY", "trop-court"),
        ("ENT_CA_BUNDLE", "/nulle/part.pem"),
        ("ENT_CLIENT_SECRET", ""),
        ("ENT_NOM", "Passerelle"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(environment("https://connexion.exemple.fr", tmp_path) | {name: value})
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(f"{name} ")
    assert "trop-court" not in caught.value.faults[0]


def test_every_fault_is_reported_together() -> None:
    complaint = _refused({"ENT_BIND": "rien"})
    for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "NAME", "PUBLIC_URL", "DATABASE", "SECRET_KEY", "BIND"):
        assert f"ENT_{name} " in complaint
