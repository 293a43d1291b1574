from pathlib import Path

import pytest
from click import Command, Group

from idp import __version__
from idp.cli import ENTRIES, SECTIONS, cli
from tests.commands.conftest import Run
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


def test_the_required_commands_exist() -> None:
    expected = """config check; db upgrade; db current; serve; worker; demo; client add; client list; client show;
        client rotate-secret; client disable; keys list; keys rotate; keys retire; charter publish; charter list;
        outbox list; outbox retry; account find; account show; account enable; account reopen; account unlink;
        account export; account erase; account force-password-change; staff invite; staff reset;
        audit show; purge; letters print"""
    assert {tuple(name.split()) for name in expected.split(";")} <= set(all_commands(cli))


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
