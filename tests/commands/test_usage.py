"""The usage of all commands, the questions that some ask at a terminal, and who the journal says ran them."""

import io
import os
import pwd
import sys
from pathlib import Path

import pytest
from click import Command, Group
from flask import Flask
from sqlalchemy import select

from idp import __version__
from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.cli import ENTRIES, SECTIONS, application, cli
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.outbox.queue import enqueue
from idp.outbox.worker import DEAD
from tests import forked
from tests.builders import COLLEGE, Build
from tests.commands.conftest import Run
from tests.commands.processes import environment
from tests.rows import each_row


def all_commands(group: Group, *path: str) -> list[tuple[str, ...]]:
    paths = [path]
    for name, command in group.commands.items():
        paths += all_commands(command, *path, name) if isinstance(command, Group) else [(*path, name)]
    return paths


@each_row("path", all_commands(cli))
def test_help_needs_no_settings(bare: Run, path: tuple[str, ...]) -> None:
    answer = bare(*path, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"Usage: {' '.join(('idp', *path))} ")
    assert len(answer.out.splitlines()[2].strip()) > 5


@each_row("name", ENTRIES)
def test_list_of_commands_has_the_first_sentence_of_each_help(name: str) -> None:
    command = cli.commands[name]
    assert command.name == name
    listed = Command(name, help=ENTRIES[name].help)
    assert listed.get_short_help_str(limit=200) == command.get_short_help_str(limit=200)


def test_help_lists_each_command_in_one_section_with_its_whole_sentence(bare: Run) -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(ENTRIES)
    whole = " ".join(bare("--help").out.split())
    for name, entry in ENTRIES.items():
        assert f"{name} {entry.help}" in whole
    for name, group in cli.commands.items():
        if isinstance(group, Group):
            _, _, listed = bare(name, "--help").out.partition("\nCommands:\n")
            assert "..." not in listed


def test_version(bare: Run) -> None:
    answer = bare("--version")
    assert (answer.code, answer.out) == (0, f"idp, version {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("client", "frobnicate"),
        ("client", "add"),
        ("client", "add", "ENT"),
        ("client", "show"),
        ("client", "list", "--frobnicate"),
        ("client", "add", "ENT", "--redirect-uri", "https://ent.test/cb", "--profile-uri", "eleve"),
        (
            "client",
            "add",
            "ENT",
            "--redirect-uri",
            "https://e.test/cb",
            *(["--profile-uri", "eleve=https://e.test"] * 2),
        ),
        ("keys", "rotate", "--alg", "none"),
        ("keys", "rotate", "--bits", "512"),
        ("charter", "publish", "ent", "--version", "1", "/nowhere.md"),
        ("charter", "publish", "ent", "/etc/hostname"),
        ("serve", "--bind", "nowhere"),
        ("serve", "--bind", "127.0.0.1:http"),
        ("serve", "--bind", "127.0.0.1:70000"),
        ("serve", "--bind", ":8000"),
        ("serve", "--workers", "0"),
        ("outbox", "retry"),
        ("account", "find"),
        ("account", "find", " "),
        ("account", "find", "leroy", "--limit", "0"),
        ("account", "force-password-change"),
        ("account", "force-password-change", "--school", "0599001N", "--all"),
        ("account", "enable", "n.leroy", "n.martin"),
        *(
            ("account", "claims", "n.leroy", *options)
            for options in (
                ("--set", "nickname"),
                ("--set", "=x"),
                ("--set", "nickname=a", "--set", "nickname=b"),
                ("--set", "nickname=a", "--unset", "nickname"),
            )
        ),
        ("letters", "print", "--out", "letter.pdf"),
        ("letters", "print", "--username", "n.leroy"),
        ("letters", "print", "--username", "n.leroy", "--out", "/etc"),
        ("letters", "print", "--username", "n.leroy", "--out", "letter.pdf", "--reason", "x" * 201),
        ("audit", "show", "--kind", "frobnicate"),
        ("audit", "show", "--since", "5x"),
        ("client", "add", "ENT", "--redirect-uri", "https://ent.test/cb", "--audience", "all"),
        ("client", "add", "ENT", "--redirect-uri", "https://ent.test/cb", "--uai", "0599001A"),
        ("client", "invite", "--uai", "0599001A"),
        ("client", "invite", "--uai", "0599001N", "--subject", "email"),
        ("school", "set", "0599001N", "--name", "Collège", "--mail", "nimporte"),
    ],
    ids=" ".join,
)
def test_a_usage_error_exits_with_2_and_a_message(idp: Run, arguments: tuple[str, ...]) -> None:
    answer = idp(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Usage: idp")
    assert "\nError: " in answer.err


@pytest.mark.parametrize(
    "command", [("client", "show"), ("client", "add"), ("keys", "retire"), ("client", "disable"), ("outbox", "retry")]
)
def test_arguments_that_are_not_utf8_are_refused(bare: Run, command: tuple[str, ...]) -> None:
    answer = bare(*command, "caf\udce9")
    assert (answer.code, answer.out, answer.err) == (2, "", "Error: an argument is not UTF-8 text.\n")


def test_demo_refuses_a_configured_service(idp: Run, tmp_path: Path) -> None:
    answer = idp("demo")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: the demonstration does not start with IDP_DATABASE_URL")


WHY = ("--reason", "Un jugement")
ACTS = (
    ("staff", "end", "ines@college.test"),
    ("letters", "print", "--username", "USER", "--out", "FILE", *WHY),
    ("outbox", "drop", "MESSAGE"),
)


class _Terminal(io.StringIO):
    """The standard input of somebody who types the same answer to each question."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("ent")
@each_row("arguments", ACTS)
def test_an_act_on_one_person_or_message_waits_for_an_answer(
    act: Run, build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    child = build.child()
    account = build.active(children=[child])
    act("staff", "invite", "ines@college.test", "--name", "Inès Roy", "--role", "head", "--school", COLLEGE)
    with unit_of_work():
        message = enqueue("account.notice", {})
        message.outcome, message.finished_at = DEAD, now()
    named = {
        "USER": account.username,
        "MESSAGE": str(message.id),
        "FILE": str(tmp_path / "letter.pdf"),
    }
    command = [named.get(word, word) for word in arguments]
    before = db.session.get_one(Account, account.id).generation
    monkeypatch.setattr(sys, "stdin", _Terminal("n\n"))
    refused = act(*command)
    assert (refused.code, refused.out, "? [y/N]: " in refused.err) == (1, "", True)
    assert db.session.get_one(Account, account.id).generation == before
    monkeypatch.setattr(sys, "stdin", _Terminal("y\n"))
    assert act(*command).code == 0
    monkeypatch.setattr(sys, "stdin", _Terminal(""))
    again = act(*command, "--yes")
    assert "? [y/N]" not in again.err, "nothing is asked"


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
