"""The two shells, the commands and the desk, own the sentences; what lies below them names no command and no option.

A sentence that a person of the desk reads must not tell her what to type in a shell, and nobody replaces words in it.
"""

import ast
import re
from collections.abc import Iterator

from idp.cli import ENTRIES
from idp.cli import account_view as english
from idp.cli.client import requests
from idp.desk import family_pages as french
from idp.families.refusals import Code
from idp.registration.trial.findings import Repair
from tests.architecture.tree import modules, parsed, sentences, shown

_COMMAND = re.compile(rf"\bidp (?:{'|'.join(ENTRIES)})\b")
_OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]+")
_SHELLS = (
    "idp/cli/",
    "idp/operations/",  # the engineers' commands
    "idp/serving/",
)
_SPEAKING_TO_ENGINEERS = {
    "idp/accounts/passwords/breached.py": "the file that an engineer makes by a command",
    "idp/config/settings.py": "the settings, which an engineer reads",
    "idp/database_faults.py": "the causes of an engineer's fault",
    "idp/dossier.py": "it reads a file of pip",
    "idp/metrics/catalogue.py": "the metrics, which an engineer reads",
    "idp/registration/metadata.py": "it declares the options of the commands",
    "idp/secret_check.py": "a service that does not start says so to an engineer",
}
_SAID_BY_THE_PAGE = {Code.NO_PASSKEY, Code.TIE_NOT_HOLDING}
"""Refusals for which a page of the desk shows its state, which says it."""


def _is_of_a_shell(path: str, source: str) -> bool:
    return path.startswith(_SHELLS) or path in _SPEAKING_TO_ENGINEERS or "import click" in source


def _texts(tree: ast.Module) -> Iterator[str]:
    documentation = {
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return (text for text in sentences(tree) if text not in documentation)


def test_no_text_below_the_shells_names_a_command_or_an_option() -> None:
    named = {
        (shown(path), text)
        for path in modules("idp")
        if not _is_of_a_shell(shown(path), path.read_text(encoding="utf-8"))
        for text in _texts(parsed(path))
        if _COMMAND.search(text) or _OPTION.search(text)
    }
    assert named == set()


def test_each_refusal_has_a_sentence_in_a_shell() -> None:
    assert english.SENTENCES.keys() | french.SENTENCES.keys() | _SAID_BY_THE_PAGE == set(Code)


def test_each_repair_of_a_finding_has_a_sentence_in_the_shell_of_engineers() -> None:
    assert requests.REPAIRS.keys() == set(Repair)
