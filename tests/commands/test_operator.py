"""The journal records the operator of a command: the real user id, not a name from the environment."""

import os
import pwd
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from idp.audit.models import AuditEntry
from idp.cli import application
from idp.clock import now
from idp.config import Settings
from idp.db import db
from tests import forked
from tests.builders import Build
from tests.commands.processes import environment

LIES = {"LOGNAME": "mallory", "USER": "mallory", "LNAME": "mallory", "USERNAME": "mallory", "SUDO_USER": "mallory"}

UNSET = "4294967295"


def user(uid: int) -> str:
    return f"uid {uid} ({pwd.getpwuid(uid).pw_name})"


@pytest.mark.row("O-08")
def test_actor_is_the_real_user_whatever_the_environment_says(app: Flask, build: Build, settings: Settings) -> None:
    account = build.active(disabled_at=now())
    clean = {name: value for name, value in environment(settings).items() if name != "SUDO_UID"}
    db.session.rollback()
    forked.succeed(forked.IDP, "account", "enable", account.username, env={**clean, **LIES})
    change = select(AuditEntry.actor).where(AuditEntry.kind == "account.changed")
    [actor] = db.session.scalars(change)
    assert actor.startswith(user(os.getuid()))
    assert "mallory" not in actor
    db.session.rollback()


@pytest.mark.row("O-08")
@pytest.mark.parametrize(
    ("uid", "login", "sudo", "actor"),
    [
        (0, "1", "2", "uid 0 (root), login uid 1 (daemon)"),
        (2, "1\n", None, "uid 2 (bin), login uid 1 (daemon)"),
        (1, "1", "0", "uid 1 (daemon)"),
        (0, UNSET, "1", "uid 0 (root), says SUDO_UID uid 1 (daemon)"),
        (0, None, "4294967294", "uid 0 (root), says SUDO_UID uid 4294967294"),
        (0, UNSET, None, "uid 0 (root)"),
        (0, UNSET, "", "uid 0 (root)"),
        (0, UNSET, "daemon", "uid 0 (root)"),
        (0, UNSET, "-1", "uid 0 (root)"),
        (0, UNSET, "99999999999", "uid 0 (root)"),
        (0, UNSET, "١", "uid 0 (root)"),
        (1, UNSET, "0", "uid 1 (daemon)"),
        (4_294_967_000, None, "0", "uid 4294967000"),
    ],
)
def test_the_login_is_the_kernels_and_sudo_uid_is_hearsay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uid: int, login: str | None, sudo: str | None, actor: str
) -> None:
    for name, value in LIES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SUDO_UID", raising=False)
    if sudo is not None:
        monkeypatch.setenv("SUDO_UID", sudo)
    if login is not None:
        (tmp_path / "loginuid").write_text(login)
    monkeypatch.setattr(application, "_LOGIN", tmp_path / "loginuid")
    monkeypatch.setattr("os.getuid", lambda: uid)
    assert application._operator() == actor


def test_longest_actor_fits_the_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "loginuid").write_text("4294967294")
    monkeypatch.setattr(application, "_LOGIN", tmp_path / "loginuid")
    monkeypatch.setattr("os.getuid", lambda: 4_294_967_293)
    long = pwd.struct_passwd(("n" * 200, "x", 0, 0, "", "", ""))
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: long)
    assert len(application._operator()) <= 80
