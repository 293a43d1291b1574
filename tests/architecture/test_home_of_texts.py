"""What is typed, said and done once: days in Paris, texts of the desk, UAI, sentences of the shells, transactions."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from idp.cli import ENTRIES, account_view as english
from idp.cli.client import requests
from idp.desk import family_pages as french
from idp.families.refusals import Code
from idp.paths import TEMPLATES
from idp.registration.trial.findings import Repair
from tests import reference
from tests.architecture.tree import modules, named, nodes_of, parsed, sentences, shown, templates
from tests.rows import each_row

CLOCK = "idp/clock.py"


def days_in_paris(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that compute a day, a midnight or the end of a day in Paris."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="combine")) | ast.keyword(arg="tzinfo", value=ast.Name(id="PARIS")):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr="date", value=ast.Call(func=ast.Attribute(attr="astimezone")))):
                yield node.lineno
            case ast.Attribute(attr="year" | "month" | "day", value=ast.Call(func=ast.Attribute(attr="astimezone"))):
                yield node.lineno


def typed_texts(tree: ast.AST) -> Iterator[str]:
    """Yield what a module does itself with typed texts: compare a word in capitals, read a search or a day."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=ast.Call(func=ast.Attribute(attr="upper"))):
                yield "a word in capitals"
            case ast.Call(func=func, args=[ast.Constant(value="q") | ast.Name(), *_]) if (
                named(func) == "request.args.get"
            ):
                yield "a search"
            case ast.Call(func=ast.Attribute(attr="strptime")):
                yield "a day"


def test_days_in_paris_are_computed_in_one_module() -> None:
    matches = {shown(path): list(days_in_paris(parsed(path))) for path in modules("idp")}
    assert matches.pop(CLOCK), "the check no longer sees the home"
    assert {path: lines for path, lines in matches.items() if lines} == {}


def test_typed_texts_are_read_in_one_place() -> None:
    assert {(shown(path), what) for path in modules("idp/desk") for what in typed_texts(parsed(path))} == {
        ("idp/desk/fields.py", "a word in capitals"),
        ("idp/desk/fields.py", "a search"),
        ("idp/desk/fields.py", "a day"),
    }


@each_row(
    "code",
    [
        "datetime.combine(day, time(), PARIS)",
        "datetime(day.year, day.month, day.day, tzinfo=PARIS)",
        "now().astimezone(PARIS).date()",
        "moment.astimezone(PARIS).year",
    ],
)
def test_a_second_computation_would_be_seen(code: str) -> None:
    assert list(days_in_paris(ast.parse(code)))


@each_row(
    ("code", "what"),
    [
        ('(form.word.data or "").upper() != "BLOQUER"', "a word in capitals"),
        ('request.args.get("q", "")[:80]', "a search"),
        ('datetime.strptime(text, "%Y-%m-%d")', "a day"),
    ],
)
def test_a_second_reading_would_be_seen(code: str, what: str) -> None:
    assert list(typed_texts(ast.parse(code))) == [what]


UAI = "idp/uai.py"
_SECOND_RULE = re.compile(r"ABCDEFGHJKLMNPRSTUVWXYZ|\{7\}\[A-Z|control letter|bonne lettre")
_OF_A_SCHOOL = re.compile(r"uai|school", re.IGNORECASE)


def second_rules(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that validate, normalise or refuse a UAI."""
    for node in nodes_of(tree):
        match node:
            case ast.FunctionDef(name="is_uai"):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr="upper", value=typed)) if _OF_A_SCHOOL.search(ast.unparse(typed)):
                yield node.lineno
            case ast.Constant(value=str() as text) if _SECOND_RULE.search(text):
                yield node.lineno


def prose(path: Path) -> set[int]:
    """Return the lines on which docstrings begin; they may explain the UAI."""
    return {
        node.value.lineno
        for node in nodes_of(parsed(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def test_a_uai_is_checked_and_normalised_in_one_module() -> None:
    matches = {
        f"{shown(path)}:{line}"
        for path in modules("idp")
        if shown(path) != UAI
        for line in set(second_rules(parsed(path))) - prose(path)
    }
    assert matches == set()


@each_row(
    ("text", "is_one"),
    [
        ("wanted = uai.strip().upper()", True),
        ("(form.school or '').strip().upper()", True),
        ("cells.raw('uai').upper()", True),
        ("re.compile(r'[0-9]{7}[A-Z]')", True),
        ("'ABCDEFGHJKLMNPRSTUVWXYZ'[number % 23]", True),
        ("raise ValueError('must be a UAI: seven digits and their control letter')", True),
        ("def is_uai(text): ...", True),
        ("field.upper()", False),
        ("normalised_uai(form.school)", False),
    ],
)
def test_a_second_rule_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert any(second_rules(ast.parse(text))) is is_one


TRANSACTIONS = "idp/db.py"
OWN_TRANSACTIONS = {
    "idp/throttle/guard.py": "a try stays counted, whatever becomes of the caller's unit of work",
    "idp/outbox/leases.py": "a lease is committed apart from what the handler of the message does",
    "idp/rostering/lock.py": "the lock of the imports is held by a transaction of its own connection",
    "idp/outbox/queue.py": "the same worker, which has no session of its own",
    "idp/schema.py": "migrations, without an application",
    "idp/rostering/reconcile/staging.py": "the private SQLite database of an import",
}
"""The modules that have transactions of their own, and why."""
SLOW = {
    "idp/accounts/passwords/hasher.py": "a hash",
    "idp/accounts/passwords/breached.py": "the first reading of a large file",
    "idp/mail/smtp.py": "an SMTP dialogue",
    "idp/http_client/outgoing.py": "an HTTP request",
    "idp/oidc/client_auth/client_keys.py": "a wait for a thread that does an HTTP request",
    "idp/oidc/keys/ring.py": "a wait for a thread that reads the keys by a connection of its own",
    "idp/throttle/guard.py": "a connection of its own",
    "idp/statements.py": "a connection of its own",
}
"""The modules that release the session's connection, and what for."""
_METHODS = {"commit", "rollback", "begin", "begin_nested"}
_STATEMENT = re.compile(r"(BEGIN|COMMIT|ROLLBACK)\b( IMMEDIATE)?;?")


def controls(tree: ast.AST) -> Iterator[int]:
    for node in nodes_of(tree):
        match node:
            case ast.Attribute(attr=name) if name in _METHODS:
                yield node.lineno
            case ast.Constant(value=str() as text) if _STATEMENT.fullmatch(text):
                yield node.lineno


def test_transactions_begin_and_end_in_one_module() -> None:
    matches = {shown(path) for path in modules("idp", "demo") if any(controls(parsed(path)))}
    assert matches == {TRANSACTIONS, *OWN_TRANSACTIONS}


def test_connection_is_released_by_what_is_slow_and_not_by_its_callers() -> None:
    matches = {
        shown(path)
        for path in modules("idp", "demo")
        for node in nodes_of(parsed(path))
        if isinstance(node, ast.Call) and named(node.func).endswith("release_connection")
    }
    assert matches == {TRANSACTIONS, *SLOW}


@each_row(
    ("text", "is_one"),
    [
        ("db.session.commit()", True),
        ("db.session().rollback()", True),
        ("with Session(db.engine) as session, session.begin(): ...", True),
        ("committing = partial(db.session.commit)", True),
        ("connection.execute(text('BEGIN IMMEDIATE'))", True),
        ("with unit_of_work(): db.session.flush()", False),
        ("'to commit is to begin'", False),
    ],
)
def test_a_second_home_would_be_seen(text: str, is_one: bool) -> None:  # noqa: FBT001 - a row of the table above
    assert any(controls(ast.parse(text))) is is_one


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


_NUMBER = "trois|quatre|cinq|six|sept|huit|neuf|dix|douze|quinze|vingt|trente|quarante|cinquante|soixante|cents?"
_NOUN = (
    "secondes?|minutes?|heures|jours|semaines|mois|ans|fois|accès|comptes|courriers|mails|essais|lettres|caractères|"
    "personnes|enfants|contacts|codes|par heure|par jour|en un"
)
_STATED = re.compile(rf"\b(?:\d+|{_NUMBER})(?:\s(?:(?:premi|derni)\w+\s)?(?:{_NOUN})\b|\s?%(?![(}}]))", re.IGNORECASE)


def test_a_text_takes_the_number_of_a_rule_from_the_rule() -> None:
    written = [
        *(path for path in templates() if "desk" in path.parts),
        *reference.GUIDES,
        *TEMPLATES.glob("dossier/_*.md"),
    ]
    texts = [(shown(path), reference.MARKED.sub("", path.read_text(encoding="utf-8"))) for path in written]
    texts += [(shown(path), text) for path in modules("idp/desk") for text in _texts(parsed(path))]
    assert _STATED.search("il ferme cinq accès par heure"), "the check no longer sees a number"
    assert {(path, match[0]) for path, text in texts for match in _STATED.finditer(text)} == set()
    pages = {name: page for name, page in reference.PAGES.items() if name.startswith(("bureau/", "menaces"))}
    stale = [name for name, page in pages.items() if (reference.FOLDER / name).read_text(encoding="utf-8") != page()]
    assert stale == [], "make reference"
