"""The journal records the operator of a command: the real user id, not a name from the environment."""

import os
import pwd

import pytest
from flask import Flask
from sqlalchemy import select

from idp.audit.models import AuditEntry
from idp.cli import application
from idp.config import Settings
from idp.db import db
from tests import forked
from tests.builders import Build
from tests.commands.processes import environment

LIES = {"LOGNAME": "mallory", "USER": "mallory", "LNAME": "mallory", "USERNAME": "mallory", "SUDO_USER": "mallory"}


def user(uid: int) -> str:
    return f"uid {uid} ({pwd.getpwuid(uid).pw_name})"


@pytest.mark.row("O-08")
def test_actor_is_the_real_user_whatever_the_environment_says(app: Flask, build: Build, settings: Settings) -> None:
    account = build.active()
    clean = {name: value for name, value in environment(settings).items() if name != "SUDO_UID"}
    db.session.rollback()
    forked.succeed(forked.IDP, "account", "disable", account.username, env={**clean, **LIES})
    change = select(AuditEntry.actor).where(AuditEntry.kind == "account.changed")
    assert db.session.scalars(change).all() == [user(os.getuid())]
    db.session.rollback()


@pytest.mark.row("O-08")
@pytest.mark.parametrize(
    ("uid", "sudo", "actor"),
    [
        (0, "1", "uid 0 (root) via sudo from uid 1 (daemon)"),
        (0, "4294967294", "uid 0 (root) via sudo from uid 4294967294"),
        (0, None, "uid 0 (root)"),
        (0, "", "uid 0 (root)"),
        (0, "daemon", "uid 0 (root)"),
        (0, "-1", "uid 0 (root)"),
        (0, "99999999999", "uid 0 (root)"),
        (0, "١", "uid 0 (root)"),
        (1, "0", "uid 1 (daemon)"),
        (4_294_967_000, "0", "uid 4294967000"),
    ],
)
def test_sudo_user_is_trusted_for_root_only(
    monkeypatch: pytest.MonkeyPatch, uid: int, sudo: str | None, actor: str
) -> None:
    for name, value in LIES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SUDO_UID", raising=False)
    if sudo is not None:
        monkeypatch.setenv("SUDO_UID", sudo)
    monkeypatch.setattr("os.getuid", lambda: uid)
    assert application._operator() == actor


def test_longest_actor_fits_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "4294967294")
    long = pwd.struct_passwd(("n" * 200, "x", 0, 0, "", "", ""))
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: long)
    assert len(application._operator()) <= 80
